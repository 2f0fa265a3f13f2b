"""Which days are due. Pure: whoever calls brings the clock."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from batch.day import zone
from model.errors import WrongUsage

_MOST_DAYS = 3_660


@dataclass(frozen=True, slots=True)
class Plan:
    """A day is due at `at` of the next one; missed ones are made up for, `catch_up` days back."""

    at: time
    where: ZoneInfo
    catch_up: int

    def due(self, now: datetime) -> list[date]:
        """The days that are due by now, oldest first: the newest, and those to catch up with."""
        here = now.astimezone(self.where)
        newest = here.date() - timedelta(days=1 if here.time() >= self.at else 2)
        return [newest - timedelta(days=back) for back in range(self.catch_up, -1, -1)]


def parse_plan(at: str, catch_up: str, time_zone: str) -> Plan:
    """A plan as the flags say it: "02:00" and "7d". Raises WrongUsage, SettingsError."""
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", at):
        raise WrongUsage(f"--at is {at!r}, no time of day", hint="write it as 02:00")
    days = re.fullmatch(r"(\d{1,4})\s*d?", catch_up.strip())
    if days is None or int(days[1]) > _MOST_DAYS:
        hint = f"write it in days, as 7d, up to {_MOST_DAYS}d"
        raise WrongUsage(f"--catch-up is {catch_up!r}, no number of days", hint=hint)
    return Plan(time.fromisoformat(at), zone(time_zone), int(days[1]))
