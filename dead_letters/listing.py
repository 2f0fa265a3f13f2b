"""What `list` and `show` tell of dead letters, as values. Pure; must not know how it is shown."""

import base64
import heapq
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

from dead_letters.letter import DeadLetter
from runtime.dead_letter import omitted_value_bytes, original_headers

Text = str | dict[str, str] | None


class Listing:
    """Counts dead letters by (stage, code), and keeps the latest `maximum` without their values."""

    def __init__(self, maximum: int) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self._maximum = maximum
        self._latest: list[tuple[str, int, int, DeadLetter]] = []

    @property
    def total(self) -> int:
        """How many were added."""
        return self.counts.total()

    def add(self, letter: DeadLetter) -> None:
        """Count a letter, and keep it while it is among the latest."""
        failure = letter.failure
        self.counts[failure.stage, failure.code] += 1
        entry = failure.failed_at, letter.partition, letter.offset, replace(letter, value=None)
        if len(self._latest) < self._maximum:
            heapq.heappush(self._latest, entry)
        else:
            heapq.heappushpop(self._latest, entry)

    def latest(self) -> list[DeadLetter]:
        """Give those that were kept, the latest last."""
        return [letter for *_, letter in sorted(self._latest)]


def summary(letter: DeadLetter) -> dict[str, object]:
    """Give the failure and the places of a letter, as JSON values; nothing of the event itself."""
    failure = letter.failure
    return {
        "partition": letter.partition,
        "offset": letter.offset,
        "failed_at": failure.failed_at,
        "stage": failure.stage,
        "code": failure.code,
        "message": failure.message,
        "source": {
            "topic": failure.topic,
            "partition": failure.partition,
            "offset": failure.offset,
            "timestamp": _iso(failure.timestamp_ms),
        },
        "group": failure.group,
        "model": failure.model,
        "version": failure.version,
        "attempt": failure.attempt,
        "value_omitted_bytes": omitted_value_bytes(letter.headers),
    }


def details(letter: DeadLetter) -> dict[str, object]:
    """Give the summary, and the event's key and its own headers (a name may occur twice)."""
    headers = [
        {"name": name, "value": readable(value)} for name, value in original_headers(letter.headers)
    ]
    size = None if letter.value is None else len(letter.value)
    return {
        **summary(letter),
        "key": readable(letter.key),
        "headers": headers,
        "value_bytes": size,
    }


def readable(value: bytes | None) -> Text:
    """Give bytes as text where they are UTF-8, else as {"base64": …}."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def as_line(value: Text) -> str:
    """Give what `readable` gave as one text for people."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else f"base64:{value['base64']}"


def _iso(timestamp_ms: int) -> str | None:
    """Give a time in ms since the epoch as RFC 3339 in UTC, None for none or a forged one."""
    if timestamp_ms < 0:
        return None
    try:
        at = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
