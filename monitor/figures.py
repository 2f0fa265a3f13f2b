"""The counts and notes of a join's file as parts of the snapshot: pure, one function for each."""

from datetime import UTC, datetime
from typing import Any

from monitor.drift import Change
from monitor.snapshot import Alarm, AlarmCount, Cause, Version


def causes(counts: dict[str, int]) -> list[Cause]:
    """Dead letters by cause, the most frequent first."""
    found = []
    for name, count in counts.items():
        if name.startswith("dead/"):
            stage, _, code = name.removeprefix("dead/").partition("/")
            found.append(Cause(stage=stage, code=code, count=count))
    return sorted(found, key=lambda each: (-each.count, each.stage, each.code))


def versions(counts: dict[str, int], notes: dict[str, str]) -> list[Version]:
    """The versions that answered, by name."""
    found = []
    for name, count in counts.items():
        if name.startswith("version/"):
            model, _, version = name.removeprefix("version/").rpartition(":")
            found.append(
                Version(model=model, version=version, count=count, last_at=notes.get(name, ""))
            )
    return sorted(found, key=lambda each: (each.model, each.version))


def alarm_counts(counts: dict[str, int]) -> list[AlarmCount]:
    """How many alarms there were, by error and version."""
    found = []
    for name, count in counts.items():
        if name.startswith("alarm/"):
            metric, _, reference = name.removeprefix("alarm/").partition("/")
            model, _, version = reference.rpartition(":")
            found.append(AlarmCount(metric=metric, model=model, version=version, count=count))
    return found


def alarm(change: Change) -> Alarm:
    """A change of an error as it is shown."""
    model, _, version = change.version.rpartition(":")
    fields: dict[str, Any] = {"before": change.before, "after": change.after}
    return Alarm(
        at=text_of(change.at), metric=change.metric, model=model, version=version, **fields
    )


def text_of(seconds: float) -> str:
    """Unix seconds as RFC 3339 in UTC."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
