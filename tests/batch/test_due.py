"""batch/due.py and batch/day.py: which days are due, at which moment, wherever the clock hangs."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.day import days, parse_day, window, yesterday, zone
from batch.due import Plan, parse_plan
from model.errors import SettingsError, WrongUsage

MADRID = zone("Europe/Madrid")


def test_a_day_is_due_at_its_hour_of_the_next_one() -> None:
    """At 02:00 in Madrid, and not a minute before, whatever the time is in UTC."""
    plan = Plan(time(2, 0), MADRID, catch_up=0)
    assert plan.due(datetime(2013, 7, 2, 23, 59, tzinfo=UTC)) == [date(2013, 7, 1)]
    assert plan.due(datetime(2013, 7, 3, 0, 0, tzinfo=UTC)) == [date(2013, 7, 2)]


def test_missed_days_are_caught_up_with_oldest_first() -> None:
    """As many days back as the plan says, before the newest one."""
    due = parse_plan("02:00", "3d", "UTC").due(datetime(2013, 3, 2, 12, tzinfo=UTC))
    assert due == [date(2013, 2, 26), date(2013, 2, 27), date(2013, 2, 28), date(2013, 3, 1)]


@given(
    st.datetimes(datetime(1971, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds
    st.times(),
    st.integers(0, 30),
    st.sampled_from(["UTC", "Europe/Madrid", "America/New_York", "Pacific/Apia", "Asia/Kolkata"]),
)
def test_what_is_due_is_over(now: datetime, at: time, back: int, name: str) -> None:
    """No day is due before it has ended, days follow each other, and time brings more."""
    plan = Plan(at, zone(name), back)
    due = plan.due(now)
    assert len(due) == back + 1
    assert all(b - a == timedelta(days=1) for a, b in pairwise(due))
    assert due[-1] <= yesterday(now, zone(name))
    assert plan.due(now + timedelta(days=2))[-1] > due[-1]


@pytest.mark.parametrize(
    ("at", "catch_up", "said"),
    [
        ("2:00", "7d", "write it as 02:00"),
        ("24:00", "7d", "write it as 02:00"),
        ("02:00", "a week", "write it in days, as 7d"),
        ("02:00", "-1d", "write it in days, as 7d"),
        ("02:00", "99999d", "write it in days, as 7d"),
    ],
)
def test_a_plan_that_cannot_be_read_is_refused(at: str, catch_up: str, said: str) -> None:
    """With the form that is wanted."""
    with pytest.raises(WrongUsage) as refused:
        parse_plan(at, catch_up, "UTC")
    assert said in refused.value.hint


def test_an_unknown_time_zone_is_refused() -> None:
    """With an example of a name."""
    with pytest.raises(SettingsError, match="no time zone 'Europe/Nowhere'") as refused:
        parse_plan("02:00", "7d", "Europe/Nowhere")
    assert "Europe/Madrid" in refused.value.hint


@pytest.mark.parametrize(
    ("day", "name", "hours"),
    [
        ("2013-03-31", "Europe/Madrid", 23),
        ("2013-10-27", "Europe/Madrid", 25),
        ("2013-07-01", "Europe/Madrid", 24),
        ("2018-11-04", "America/Sao_Paulo", 23),  # its midnight does not exist
        ("2013-10-06", "Australia/Lord_Howe", 23.5),
    ],
)
def test_days_are_as_long_as_they_are(day: str, name: str, hours: float) -> None:
    """Of 23, 25 or other hours where the clocks change; the next one begins at its end."""
    where, given_day = zone(name), parse_day(day)
    found = window(given_day, where)
    assert found.end - found.start == timedelta(hours=hours)
    assert window(given_day + timedelta(days=1), where).start == found.end


@pytest.mark.parametrize("text", ["2013-13-01", "1.12.2013", "yesterday", "", "0001-01-01"])
def test_what_is_no_day_is_refused(text: str) -> None:
    """Whatever it is."""
    with pytest.raises(WrongUsage):
        parse_day(text)


def test_a_span_has_both_its_ends() -> None:
    """Also where it is a single day; not one that goes backwards."""
    first = date(2013, 12, 31)
    assert list(days(first, date(2014, 1, 2)))[-1] == date(2014, 1, 2)
    assert list(days(first, first)) == [first]
    with pytest.raises(WrongUsage):
        days(first, date(2013, 12, 30))
