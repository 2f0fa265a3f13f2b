"""Days: their instants, and which stored times belong to them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.day import days, parse_day, window, yesterday, zone
from model.bundle import Model
from model.errors import SettingsError, SourceUnfit, WrongUsage

if TYPE_CHECKING:
    from tests.batch.conftest import Bench

MADRID = ZoneInfo("Europe/Madrid")


@pytest.mark.parametrize(
    ("where", "day", "start", "hours"),
    [
        ("UTC", date(2013, 12, 31), datetime(2013, 12, 31, tzinfo=UTC), 24),
        ("Europe/Madrid", date(2013, 3, 31), datetime(2013, 3, 30, 23, tzinfo=UTC), 23),
        ("Europe/Madrid", date(2013, 10, 27), datetime(2013, 10, 26, 22, tzinfo=UTC), 25),
        # No midnight: the clocks went from 0:00 to 1:00; the day began at that instant.
        ("America/Sao_Paulo", date(2017, 10, 15), datetime(2017, 10, 15, 3, tzinfo=UTC), 23),
        ("America/Sao_Paulo", date(2018, 2, 17), datetime(2018, 2, 17, 2, tzinfo=UTC), 25),
        # Two midnights: the clocks went from 1:00 back to 0:00; the day began with the first.
        ("America/Havana", date(2013, 11, 3), datetime(2013, 11, 3, 4, tzinfo=UTC), 25),
        # No such day at all: the date line was moved.
        ("Pacific/Apia", date(2011, 12, 30), datetime(2011, 12, 30, 10, tzinfo=UTC), 0),
        ("Australia/Lord_Howe", date(2013, 4, 7), datetime(2013, 4, 6, 13, tzinfo=UTC), 24.5),
    ],
)
def test_a_day_has_the_hours_that_its_clocks_have(
    where: str, day: date, start: datetime, hours: float
) -> None:
    """Where clocks change, days have 23 or 25 hours and begin with their first instant."""
    found = window(day, zone(where))

    assert (found.start, found.end - found.start) == (start, timedelta(hours=hours))


@given(
    st.dates(date(1970, 1, 1), date(2037, 1, 1)),
    st.sampled_from(["UTC", "Europe/Madrid", "America/Havana", "Africa/Cairo", "Asia/Beirut"]),
)
def test_days_leave_nothing_out(day: date, where: str) -> None:
    """Each day ends where the next begins."""
    in_zone = ZoneInfo(where)
    assert window(day, in_zone).end == window(day + timedelta(days=1), in_zone).start


def test_days_and_zones_that_are_none_are_refused() -> None:
    """Given what cannot be meant, then it is a wrong usage with a hint."""
    for text in ("2013-02-30", "yesterday", "31.12.2013", "0001-01-01", "9999-12-31", ""):
        with pytest.raises(WrongUsage):
            parse_day(text)
    for name in ("Europe/Nowhere", "", "../etc/passwd", "/etc/passwd"):
        with pytest.raises(SettingsError):
            zone(name)
    with pytest.raises(WrongUsage):
        days(date(2013, 1, 2), date(2013, 1, 1))


def test_yesterday_is_that_of_the_zone() -> None:
    """Given an instant, then yesterday is told by the clocks there."""
    now = datetime(2013, 12, 31, 23, 30, tzinfo=UTC)
    assert yesterday(now, ZoneInfo("UTC")) == date(2013, 12, 30)
    assert yesterday(now, MADRID) == date(2013, 12, 31)
    assert len(list(days(date(2013, 12, 30), date(2014, 1, 2)))) == 4


INSTANTS = [  # of the day 2013-10-27 in Madrid (25 hours) and just around it, in UTC
    (datetime(2013, 10, 26, 21, 59, 59, 999999, tzinfo=UTC), False),
    (datetime(2013, 10, 26, 22, 0, tzinfo=UTC), True),
    (datetime(2013, 10, 27, 0, 30, tzinfo=UTC), True),  # 2:30, for the first time
    (datetime(2013, 10, 27, 1, 30, tzinfo=UTC), True),  # 2:30, for the second time
    (datetime(2013, 10, 27, 22, 59, 59, tzinfo=UTC), True),
    (datetime(2013, 10, 27, 23, 0, tzinfo=UTC), False),
]


def scored(bench: "Bench", model: Model, at: str, times: list[Any], day: date) -> list[str]:
    """The ids of the rows of a day; an id is the row's number."""
    bench.execute(
        f"CREATE TABLE flights (id varchar(9), at {at}, distance float, hour integer,"
        " origin varchar(10), temp float)"
    )
    bench.fill([(str(n), time, 100.0, 5, "JFK", None) for n, time in enumerate(times)])
    bench.score(bench.job(model), day)
    return [str(row[0]) for row in bench.predictions()]


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp in UTC", "timestamp in Madrid"])
def test_times_of_postgresql(postgres_bench: "Bench", small_model: Model, kind: str) -> None:
    """Instants, and local times of a stored zone, belong to the day on whose clocks they are."""
    bench = replace(postgres_bench, zone=MADRID)
    times: list[Any] = [at for at, _ in INSTANTS]
    if kind == "timestamp in UTC":
        times = [at.replace(tzinfo=None) for at in times]
    if kind == "timestamp in Madrid":
        bench = replace(bench, stored=MADRID)
        times = [at.astimezone(MADRID).replace(tzinfo=None) for at in times]
    column = "timestamptz" if kind == "timestamptz" else "timestamp"

    found = scored(bench, small_model, column, times, date(2013, 10, 27))

    assert found == [str(n) for n, (_, is_within) in enumerate(INSTANTS) if is_within]


WRITTEN: dict[str, Callable[[datetime], str]] = {
    "with seconds": lambda at: f"{at:%Y-%m-%d %H:%M:%S}",
    "with a T": lambda at: f"{at:%Y-%m-%dT%H:%M:%S}",
    "without seconds": lambda at: f"{at:%Y-%m-%d %H:%M}",
    "with a fraction": lambda at: f"{at:%Y-%m-%d %H:%M:%S.%f}",
    "with Z": lambda at: f"{at:%Y-%m-%dT%H:%M:%SZ}",
    "with an offset of UTC": lambda at: f"{at:%Y-%m-%dT%H:%M:%S+00:00}",
    "with a fraction now and then": lambda at: at.isoformat(" "),
}


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("declared", ["timestamp", "text", ""])
def test_times_of_sqlite(
    sqlite_bench: "Bench", small_model: Model, form: str, declared: str
) -> None:
    """Text in each form of ISO 8601 compares as its time does."""
    bench = replace(sqlite_bench, zone=MADRID)
    times = [WRITTEN[form](at.replace(tzinfo=None)) for at, _ in INSTANTS]

    found = scored(bench, small_model, declared, times, date(2013, 10, 27))

    assert found == [str(n) for n, (_, is_within) in enumerate(INSTANTS) if is_within]


def test_local_times_of_sqlite(sqlite_bench: "Bench", small_model: Model) -> None:
    """Given times of a stored zone, then the day's clocks are theirs."""
    bench = replace(sqlite_bench, zone=MADRID, stored=MADRID)
    times = [f"{at.astimezone(MADRID):%Y-%m-%d %H:%M:%S}" for at, _ in INSTANTS]

    found = scored(bench, small_model, "text", times, date(2013, 10, 27))

    assert found == ["1", "2", "3", "4"]


def test_dates_are_taken_as_they_are(bench: "Bench", small_model: Model) -> None:
    """Given a column of dates, then no zone moves them."""
    bench = replace(bench, zone=ZoneInfo("Pacific/Auckland"))
    times = ["2013-12-29", "2013-12-30", "2013-12-31", None]

    assert scored(bench, small_model, "date", times, date(2013, 12, 30)) == ["1"]


@pytest.mark.parametrize(
    "times",
    [
        ["2013-12-30T10:00:00+05:00"],
        ["2013-12-30 10:00:00", "2013-12-30 23:30:00+05:00"],
        ["2013-12-30 10:00:00", "2013-12-30T10:00:00"],
        ["2013-12-30 10:00:00Z", "2013-12-30 10:00:00"],
        ["2013-12-30", "2013-12-30 10:00:00"],
        ["2013-12-30 10:00:00", "30.12.2013"],
        ["2013-12-30 10:00:00", 1388397600],
        ["2013-12-30 10:00:00", ""],
        [1388397600],
        [1388397600.5],
        ["noon"],
        ["2013-12-30 10"],
        ["2013-12-30 10:00:00 PM"],
    ],
)
def test_times_of_sqlite_that_cannot_be_compared(
    sqlite_bench: "Bench", small_model: Model, times: list[Any]
) -> None:
    """Given other offsets, numbers, odd text or a mixture, then no row gets a wrong day."""
    with pytest.raises(SourceUnfit, match="the time column 'at'") as caught:
        scored(sqlite_bench, small_model, "", times, date(2013, 12, 30))

    assert "strftime" in caught.value.hint


@pytest.mark.parametrize("kind", ["integer", "float", "varchar(30)", "time"])
def test_columns_of_postgresql_that_hold_no_times(
    postgres_bench: "Bench", small_model: Model, kind: str
) -> None:
    """Given a column of another type, then it is refused."""
    with pytest.raises(SourceUnfit, match="the time column 'at'"):
        scored(postgres_bench, small_model, kind, [], date(2013, 12, 30))
