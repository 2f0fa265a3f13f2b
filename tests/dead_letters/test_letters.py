"""Choosing and describing dead letters: pure, without a broker."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dead_letters.letter import DeadLetter, Selection, parse_offsets, parse_place, parse_time
from dead_letters.listing import Listing, as_line, details, readable, summary
from model.errors import WrongUsage
from runtime.dead_letter import Failure, omit_value, write_headers

NOW = datetime(2013, 12, 1, 12, 0, tzinfo=UTC)
FAILURE = Failure(
    topic="flights",
    partition=2,
    offset=8812,
    timestamp_ms=1_385_892_900_123,
    group="streamscore-flight-delay",
    stage="validate",
    code="wrong_type",
    message="the feature 'distance' is text where a number belongs",
    model="flight-delay",
    version="3",
    attempt=1,
    failed_at="2013-12-01T10:15:00.123456Z",
)


def letter(partition: int = 0, offset: int = 17, **fields: object) -> DeadLetter:
    failure = replace(FAILURE, **fields)  # type: ignore[arg-type] # the fields of each test
    headers = write_headers([("trace", b"1"), ("raw", b"\xff"), ("trace", None)], failure)
    return DeadLetter(partition, offset, b"UA-1545", b'{"secret": 1}', headers, failure)


def test_without_conditions_everything_is_chosen() -> None:
    """An empty selection takes every dead letter."""
    assert Selection().takes(letter())


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        (Selection(codes=frozenset({"wrong_type", "not_json"})), True),
        (Selection(codes=frozenset({"not_json"})), False),
        (Selection(stages=frozenset({"validate"})), True),
        (Selection(stages=frozenset({"decode"})), False),
        (Selection(partition=0), True),
        (Selection(partition=1), False),
        (Selection(offsets=(17, 17)), True),
        (Selection(offsets=(0, 16)), False),
        (Selection(codes=frozenset({"wrong_type"}), partition=1), False),
    ],
)
def test_all_conditions_must_fit(selection: Selection, chosen: bool) -> None:  # noqa: FBT001 - the expectation
    """Codes and stages are alternatives among themselves; the conditions hold together."""
    assert selection.takes(letter()) is chosen


def test_a_time_range_has_its_beginning_and_not_its_end() -> None:
    """Two ranges that follow on one another take each letter once."""
    at = datetime(2013, 12, 1, 10, 15, 0, 123456, tzinfo=UTC)

    assert Selection(since=at).takes(letter())
    assert not Selection(until=at).takes(letter())
    assert Selection(since=at - timedelta(hours=1), until=at + timedelta(hours=1)).takes(letter())


@pytest.mark.parametrize("failed_at", ["", "yesterday", "2013-13-01T00:00:00Z"])
def test_a_letter_without_a_readable_time_fits_no_range(failed_at: str) -> None:
    """A time that nobody can read is in no range; without a range it does not matter."""
    odd = letter(failed_at=failed_at)

    assert Selection().takes(odd)
    assert not Selection(since=NOW - timedelta(days=10_000)).takes(odd)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2013-12-01T10:15:00Z", datetime(2013, 12, 1, 10, 15, tzinfo=UTC)),
        ("2013-12-01T19:15:00+09:00", datetime(2013, 12, 1, 10, 15, tzinfo=UTC)),
        ("2013-12-01 10:15", datetime(2013, 12, 1, 10, 15, tzinfo=UTC)),
        ("2013-12-01", datetime(2013, 12, 1, tzinfo=UTC)),
        ("30s", NOW - timedelta(seconds=30)),
        ("15m", NOW - timedelta(minutes=15)),
        ("2h", NOW - timedelta(hours=2)),
        ("1d", NOW - timedelta(days=1)),
    ],
)
def test_points_in_time(text: str, time: datetime) -> None:
    """A time is ISO 8601, in UTC unless it says otherwise, or so long ago."""
    assert parse_time(text, NOW) == time


@pytest.mark.parametrize("text", ["", "soon", "2 h", "-1h", "999999d", "2013-02-30"])
def test_what_is_no_time_says_what_is(text: str) -> None:
    """A time that cannot be read is a usage error with examples."""
    with pytest.raises(WrongUsage, match="no point in time") as caught:
        parse_time(text, NOW)
    assert "2h" in caught.value.hint


@given(st.integers(0, 10**17), st.integers(0, 10**17))
def test_places_and_offsets_are_read_as_they_are_printed(first: int, last: int) -> None:
    """What `list` prints can be given to `show`; offsets are one or a range."""
    assert parse_place(letter(partition=first, offset=last).place) == (first, last)
    assert parse_offsets(str(first)) == (first, first)
    low, high = sorted((first, last))
    assert parse_offsets(f"{low}-{high}") == (low, high)


@pytest.mark.parametrize("text", ["", "-", "1-", "-1", "5-4", "a", "1-2-3", "\u00b2", "9" * 30])
def test_what_is_no_offset_is_told(text: str) -> None:
    """Anything else is a usage error."""
    with pytest.raises(WrongUsage, match="is no offset"):
        parse_offsets(text)


@pytest.mark.parametrize("text", ["", "1", "1/", "/1", "1/2/3", "a/1", "-1/2"])
def test_what_is_no_place_is_told(text: str) -> None:
    """Anything else is a usage error that says where places come from."""
    with pytest.raises(WrongUsage, match="no place") as caught:
        parse_place(text)
    assert "dead-letters list" in caught.value.hint


def test_a_listing_counts_all_and_keeps_the_latest() -> None:
    """Of many letters the latest are kept, without their values; all are counted."""
    listing = Listing(3)
    for minute in (5, 1, 4, 2, 3):
        code = "wrong_type" if minute > 1 else "not_json"
        listing.add(letter(0, minute, code=code, failed_at=f"2013-12-01T10:{minute:02}:00Z"))

    assert [each.offset for each in listing.latest()] == [3, 4, 5]
    assert all(each.value is None for each in listing.latest())
    assert listing.total == 5
    assert listing.counts == {("validate", "wrong_type"): 4, ("validate", "not_json"): 1}


def test_a_summary_holds_nothing_of_the_event() -> None:
    """What `list` prints names places and causes; key, headers and payload stay out."""
    told = summary(letter())

    assert told["source"] == {
        "topic": "flights",
        "partition": 2,
        "offset": 8812,
        "timestamp": "2013-12-01T10:15:00.123Z",
    }
    assert "UA-1545" not in str(told)
    assert "secret" not in str(told)


def test_details_have_key_and_headers_but_no_payload() -> None:
    """What `show` prints has the event's own headers in order, and the size of its value."""
    told = details(letter())

    assert told["key"] == "UA-1545"
    assert told["headers"] == [
        {"name": "trace", "value": "1"},
        {"name": "raw", "value": {"base64": "/w=="}},
        {"name": "trace", "value": None},
    ]
    assert told["value_bytes"] == 13
    assert "secret" not in str(told)


@pytest.mark.parametrize("timestamp_ms", [-1, -(10**15), 10**17])
def test_a_time_that_is_none_is_told_as_none(timestamp_ms: int) -> None:
    """An event without a time, or with one that no calendar has, does no harm."""
    source = summary(letter(timestamp_ms=timestamp_ms))["source"]

    assert isinstance(source, dict)
    assert source["timestamp"] is None


def test_an_omitted_value_is_told_with_its_size() -> None:
    """A value that was left out is told apart from one that never was."""
    whole = letter()
    marked = replace(whole, value=None, headers=omit_value(whole.headers, 2_000_000))

    assert summary(whole)["value_omitted_bytes"] is None
    assert summary(marked)["value_omitted_bytes"] == 2_000_000


def test_bytes_are_readable() -> None:
    """Text is shown as text, other bytes as base64, nothing as none."""
    assert readable(None) is None
    assert [as_line(readable(value)) for value in (None, b"", b"a", b"\xff")] == [
        "none",
        "",
        "a",
        "base64:/w==",
    ]
