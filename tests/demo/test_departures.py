"""What the demo publishes: real departures, a few of them broken in every way."""

from itertools import islice

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.departures import BROKEN, broken_positions, departures
from demo.flights import FEATURES
from model.codec import EventDecoder
from model.signature import Feature, Kind, Signature, Task

TEXT = {"carrier", "origin", "dest"}
WEATHER = {"temp", "visib", "wind_speed", "precip"}

CODES = [
    "not_json",
    "missing_feature",
    "wrong_type",
    "null_not_allowed",
    "not_an_object",
    "empty_value",
    "not_utf8",
    "wrong_type",
]


def decoder() -> EventDecoder:
    return EventDecoder(Signature(tuple(map(feature, FEATURES)), Task.REGRESSION))


def feature(name: str) -> Feature:
    kind, dtype = (Kind.STRING, "str") if name in TEXT else (Kind.NUMBER, "float64")
    return Feature(name, kind, name in WEATHER, dtype, (name,))


def test_every_broken_event_is_rejected_and_no_other(december_flights: pd.DataFrame) -> None:
    """The scoring service rejects exactly the broken events, one for each cause."""
    published = list(departures(december_flights, 500))
    decoded = decoder().decode([each.value for each in published])
    broken = [n for n, each in enumerate(published) if each.flight is None]
    assert sorted(decoded.rejections) == broken
    assert [str(decoded.rejections[n].code) for n in broken] == CODES


def test_an_event_comes_with_what_is_needed_to_judge_it(december_flights: pd.DataFrame) -> None:
    """Key, id, route and truth belong to the event that they come with."""
    first = next(departures(december_flights, 1000))
    assert first.flight is not None
    assert first.key == first.flight.flight
    assert first.flight.id.encode() in first.value
    truth = december_flights.set_index("id").loc[first.flight.id]
    assert first.flight.arr_delay == truth["arr_delay"]


def test_a_long_demo_sees_december_again_under_other_ids(december_flights: pd.DataFrame) -> None:
    """Ids stay unique when more events are asked for than there are flights."""
    published = list(departures(december_flights.head(20), 100))
    ids = [each.flight.id for each in published if each.flight is not None]
    assert len(ids) == 92
    assert len(set(ids)) == 92


def test_departures_come_one_by_one(december_flights: pd.DataFrame) -> None:
    """A million events are not held at once: they are made as they are published."""
    assert len(list(islice(departures(december_flights, 10**9), 100))) == 100


@pytest.mark.parametrize(
    ("count", "broken"), [(1, 0), (2, 1), (10, 5), (16, 8), (8_999, 8), (27_020, 27)]
)
def test_one_in_a_thousand_is_broken(count: int, broken: int) -> None:
    """At least one of each kind, never more than half."""
    assert len(broken_positions(count)) == broken
    assert len(BROKEN) == 8


@given(st.integers(1, 100_000))
def test_broken_events_are_spread_over_the_run(count: int) -> None:
    """The positions are distinct, in order, and within the run."""
    positions = broken_positions(count)
    assert positions == sorted(set(positions))
    assert all(0 <= position < count for position in positions)
