"""A dead letter as it was read, and which of them are chosen. Pure: no Kafka client, no clock."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from model.errors import WrongUsage
from runtime.dead_letter import Failure, Header

_AGO = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that could not be scored, with all its headers; the place is on its own topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    failure: Failure

    @property
    def place(self) -> str:
        """Where it stands on the dead-letter topic: `partition/offset`."""
        return f"{self.partition}/{self.offset}"

    @property
    def source(self) -> str:
        """Where the event stood: `topic/partition/offset`."""
        return f"{self.failure.topic}/{self.failure.partition}/{self.failure.offset}"


@dataclass(frozen=True, slots=True)
class Foreign:
    """A record on the dead-letter topic that is no dead letter, and why not."""

    partition: int
    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters are chosen: those that fit all that is given.

    `since` (included) and `until` (excluded) are about when the scoring failed; `partition` and
    `offsets` (first and last, both included) about the place on the dead-letter topic.
    """

    codes: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    partition: int | None = None
    offsets: tuple[int, int] | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Tell whether a letter is chosen. One without a readable time fits no time range."""
        failure = letter.failure
        return (
            (not self.codes or failure.code in self.codes)
            and (not self.stages or failure.stage in self.stages)
            and self.covers(letter.partition, letter.offset)
            and self._in_time(failure.failed_at)
        )

    def covers(self, partition: int, offset: int) -> bool:
        """Tell whether a place on the dead-letter topic is within what is chosen."""
        if self.partition is not None and partition != self.partition:
            return False
        return self.offsets is None or self.offsets[0] <= offset <= self.offsets[1]

    def _in_time(self, failed_at: str) -> bool:
        if self.since is None and self.until is None:
            return True
        try:
            at = _utc(datetime.fromisoformat(failed_at))
        except ValueError:
            return False
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


def parse_time(text: str, now: datetime) -> datetime:
    """Read a point in time: ISO 8601 (UTC unless it says otherwise), or `15m`, `2h`, `1d` ago."""
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        return _utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise WrongUsage(
            f"{text!r} is no point in time",
            hint="give for example 2013-12-01T10:15:00Z, 2013-12-01, or 2h for two hours ago",
        ) from None


def parse_offsets(text: str) -> tuple[int, int]:
    """Read one offset (`17`) or a range of them, both ends included (`17-42`)."""
    first, dash, last = text.partition("-")
    if _is_number(first) and (not dash or _is_number(last)):
        offsets = int(first), int(last or first)
        if offsets[0] <= offsets[1]:
            return offsets
    raise WrongUsage(f"{text!r} is no offset: give one (17) or a range (17-42)")


def parse_place(text: str) -> tuple[int, int]:
    """Read `PARTITION/OFFSET`, as `dead-letters list` prints it."""
    partition, _, offset = text.partition("/")
    if _is_number(partition) and _is_number(offset):
        return int(partition), int(offset)
    raise WrongUsage(
        f"{text!r} is no place on the dead-letter topic",
        hint="give PARTITION/OFFSET as `streamscore dead-letters list` prints it, such as 2/17",
    )


def _is_number(text: str) -> bool:
    return len(text) <= 18 and text.isascii() and text.isdigit()  # noqa: PLR2004 - fits 64 bits


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
