"""What of a day's figures is worth a sentence at the top of the report, and how urgent it is.

Pure: rules of thumb, each with its number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING, Final

from batch.report.drifting import Drift, Moved
from batch.report.quality import Quality

if TYPE_CHECKING:
    from batch.report.figures import DayFigures

_ENOUGH: Final = 3  # days before, to say what is usual
_SPREADS: Final = 3.0  # from the median, of the usual distance from it
_AT_LEAST: Final = 0.1  # a change below a tenth is none worth telling
_SOME_REJECTED: Final = 0.01  # the share of rejected rows that is worth a look
_MANY_REJECTED: Final = 0.05  # the share that asks for someone
_NAMED: Final = 3  # features in a sentence


class Tone(StrEnum):
    """How urgent a finding is."""

    FINE = "fine"
    LOOK = "look"
    ACT = "act"


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence, and the section of the page that has more."""

    tone: Tone
    text: str
    section: str


def findings(
    days: "Sequence[DayFigures]",
    label: str | None,
    drifts: Sequence[Drift],
    quality: Quality,
) -> tuple[Finding, ...]:
    """The findings, in the order in which they are told."""
    today, before = days[-1], [each for each in days[:-1] if each.state == "complete"]
    found = [_complete(today), _rejected(today)]
    if today.scored:
        found += [_rows(today, before), _level(today, before, label), _drifted(drifts)]
    found.append(_quality(quality))
    missing = [each for each in days[:-1] if each.state not in {"complete", "none"}]
    if missing:
        names = ", ".join(f"{each.day:%-d %B}" for each in missing)
        found.append(Finding(Tone.LOOK, f"Not scored completely: {names}.", "days"))
    return tuple(each for each in found if each is not None)


def worst(found: Sequence[Finding]) -> Tone:
    """The most urgent tone of all."""
    tones = {each.tone for each in found}
    return next((tone for tone in (Tone.ACT, Tone.LOOK) if tone in tones), Tone.FINE)


def _complete(today: "DayFigures") -> Finding | None:
    if today.state != "complete":
        text = f"The day is not scored completely: its run is {today.state}."
        return Finding(Tone.ACT, text, "runs")
    if not today.rows:
        return Finding(Tone.ACT, "The source has no rows of this day.", "runs")
    if not today.scored:
        return Finding(Tone.ACT, "Not one row could be scored.", "rejected")
    return None


def _rejected(today: "DayFigures") -> Finding | None:
    if not today.rejected:
        return Finding(Tone.FINE, "No row was rejected.", "rejected") if today.rows else None
    rows = "row was" if today.rejected == 1 else "rows were"
    share = today.rejected_share
    text = f"{today.rejected:,} {rows} rejected ({_percent(share)}"
    for limit, tone in ((_MANY_REJECTED, Tone.ACT), (_SOME_REJECTED, Tone.LOOK)):
        if share > limit:
            return Finding(tone, f"{text}, above the limit of {limit:.0%}).", "rejected")
    text = f"{text}, within the limit of {_SOME_REJECTED:.0%})."
    return Finding(Tone.FINE, text, "rejected")


def _rows(today: "DayFigures", before: "Sequence[DayFigures]") -> Finding | None:
    return _change("Rows", today.rows, [each.rows for each in before], "{:,.0f}")


def _level(
    today: "DayFigures", before: "Sequence[DayFigures]", label: str | None
) -> Finding | None:
    if label is not None and label in today.shares:
        earlier = [each.shares[label] for each in before if label in each.shares]
        called = "outliers" if label == "-1" and "1" in today.shares else f"“{label}”"
        return _change(f"Share of {called}", today.shares[label], earlier, "{:.1%}")
    if today.mean is None:
        return None
    earlier = [each.mean for each in before if each.mean is not None]
    return _change("Mean prediction", today.mean, earlier, "{:,.4g}")


def _change(what: str, now: float, before: Sequence[float], form: str) -> Finding | None:
    shown = form.format(now)
    if not before:
        return Finding(Tone.FINE, f"{what}: {shown}; no earlier day to compare with.", "days")
    usual = median(before)
    text = f"{what}: {shown}, usually {form.format(usual)}"
    if len(before) < _ENOUGH:
        days = "one earlier day" if len(before) == 1 else f"{len(before)} earlier days"
        return Finding(Tone.FINE, f"{text} (from {days}).", "days")
    spread = median(abs(each - usual) for each in before)
    away = abs(now - usual)
    if away <= _SPREADS * max(spread, 1e-12) or away <= _AT_LEAST * abs(usual):
        return Finding(Tone.FINE, f"{text}: as usual.", "days")
    return Finding(Tone.LOOK, f"{text}: unusually {'high' if now > usual else 'low'}.", "days")


def _drifted(drifts: Sequence[Drift]) -> Finding | None:
    if not drifts:
        return None
    by_verdict = {moved: [each.name for each in drifts if each.moved is moved] for moved in Moved}
    for moved, tone, text in _DRIFTED:
        if names := by_verdict[moved]:
            return Finding(tone, text.format(names=_named(names)), "drift")
    return Finding(Tone.FINE, "Inputs and answers are as on the days before.", "drift")


_FAR: Final = "far from the data that the model was bundled with: {names}."
_DRIFTED: Final = (
    (Moved.SUDDENLY, Tone.LOOK, "Unlike the days before: {names}. Ask their source what changed."),
    (Moved.STRONGLY, Tone.LOOK, f"Possibly new, too few days before to say: {_FAR}"),
    (
        Moved.KNOWN,
        Tone.FINE,
        f"Inputs and answers are as on the days before, but {_FAR} Train anew if quality falls.",
    ),
    (Moved.SLIGHTLY, Tone.FINE, "Inputs and answers: a little moved, nothing to do: {names}."),
)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _quality(quality: Quality) -> Finding | None:
    if quality.summary is None:
        return None
    tone = Tone.LOOK if quality.is_worse_than_naive else Tone.FINE
    return Finding(tone, quality.summary, "quality")


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "below 0.1%"  # noqa: PLR2004 - what the format shows
