"""Days: which instants belong to one, and which days are meant.

Pure: whoever calls brings the clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from model.errors import SettingsError, WrongUsage


@dataclass(frozen=True, slots=True)
class Window:
    """A day in a time zone: from `start` up to, not including, `end`; both in UTC.

    It has 23 or 25 hours where the clocks change.
    """

    day: date
    start: datetime
    end: datetime


def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name, such as "Europe/Madrid". Raises SettingsError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        msg = f"there is no time zone {name!r}"
        raise SettingsError(msg, hint="give an IANA name such as Europe/Madrid, or UTC") from None


def window(day: date, where: ZoneInfo) -> Window:
    """The instants of a day: from its first midnight to the next day's."""
    start, end = (
        datetime(each.year, each.month, each.day, tzinfo=where).astimezone(UTC)
        for each in (day, day + timedelta(days=1))
    )
    return Window(day, start, end)


def yesterday(now: datetime, where: ZoneInfo) -> date:
    """The day before `now` in a time zone."""
    return now.astimezone(where).date() - timedelta(days=1)


def parse_day(text: str) -> date:
    """A day written YYYY-MM-DD. Raises WrongUsage."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise WrongUsage(f"{text!r} is no day", hint="write it as 2013-12-31") from None
    if not date.min + timedelta(days=1) < day < date.max - timedelta(days=2):  # in every zone
        raise WrongUsage(f"{text} is too near the end of the calendar", hint="give another day")
    return day


def parse_time(text: str, where: ZoneInfo) -> datetime:
    """A time as ISO 8601 has it, in a time zone where it names none. Raises WrongUsage."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        hint = "write it as 2013-12-31T02:00, or with its offset: 2013-12-31T02:00+01:00"
        raise WrongUsage(f"{text!r} is no time", hint=hint) from None
    return time if time.tzinfo is not None else time.replace(tzinfo=where)


def days(first: date, last: date) -> Iterator[date]:
    """Each day from `first` to `last`, both included. Raises WrongUsage if there is none."""
    if first > last:
        raise WrongUsage(f"{first} is after {last}", hint="the days go from the earlier one on")
    return (first + timedelta(days=n) for n in range((last - first).days + 1))
