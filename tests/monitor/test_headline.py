"""The words that say whether it works: each state, and which of them comes first."""

from typing import Any

import msgspec
import pytest

from monitor.figures import text_of
from monitor.snapshot import Broker, Group, History, Partition, Rates, Snapshot
from tests.monitor.shown import T0, dead_letters, history, snapshot

AWAY = Broker(reachable=False, since=text_of(T0 - 60), error="connection refused")
NOBODY = Group(name="g")
LATE = [Partition(partition=0, end=900, committed=100, lag_events=800, lag_s=75.0)]
RISING = {
    "rates": Rates(events_per_s=100.0, predictions_per_s=50.0, dead_letters_per_s=50.0),
    "dead_letters": msgspec.structs.replace(dead_letters(T0), share=0.5),
}


def state_of(seen: Snapshot) -> str:
    assert seen.headline is not None
    return seen.headline.state


def detail_of(seen: Snapshot) -> str:
    assert seen.headline is not None
    return seen.headline.detail


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({}, "working"),
        (RISING, "dead_letters"),
        ({"partitions": LATE, **RISING}, "behind"),
        ({"group": NOBODY, "partitions": LATE, **RISING}, "no_consumer"),
        ({"partitions": [], "group": NOBODY}, "no_events"),
        ({"partitions": [Partition(partition=0, end=0)], "group": NOBODY}, "no_events"),
        ({"broker": AWAY, "partitions": LATE, "group": NOBODY, **RISING}, "broker_away"),
        ({"broker": AWAY, "partitions": [], "started_at": text_of(T0 - 1)}, "starting"),
        ({"broker": AWAY, "partitions": [], "started_at": text_of(T0 - 9)}, "broker_away"),
    ],
)
def test_the_worst_comes_first(changed: dict[str, Any], state: str) -> None:
    """Given several troubles at once, then the one that explains the others is said."""
    assert state_of(snapshot(**changed)) == state


def test_a_broker_that_is_away_says_since_when_and_why() -> None:
    """Given a broker that went away: since when, what it said, and that figures are old."""
    seen = snapshot(broker=AWAY)
    assert seen.headline is not None
    assert seen.headline.since == AWAY.since
    assert "connection refused" in seen.headline.detail


def test_a_topic_that_is_missing_is_named() -> None:
    """Given no input topic, then it is that which is said, not that it is empty."""
    broker = Broker(reachable=True, since=text_of(T0), error="there is no topic flights")
    assert detail_of(snapshot(broker=broker, partitions=[])) == "there is no topic flights"


@pytest.mark.parametrize(
    ("lag_events", "lag_s", "state"),
    [(2, 10.5, "behind"), (2, 9.5, "working"), (1, 500.0, "working"), (800, None, "working")],
)
def test_behind_is_an_event_that_waits_too_long(
    lag_events: int, lag_s: float | None, state: str
) -> None:
    """A transactional producer's marker at the end of a partition is no event that waits."""
    late = Partition(partition=0, end=900, committed=100, lag_events=lag_events, lag_s=lag_s)
    assert state_of(snapshot(partitions=[late])) == state


@pytest.mark.parametrize(
    ("before", "said"), [(100, "more each second"), (9_000, "fewer each second"), (800, "waiting")]
)
def test_behind_says_whether_it_catches_up(before: int, said: str) -> None:
    """Lag is held against that of half a minute ago."""
    past = history(T0, lag=[before] * 240)
    assert detail_of(snapshot(partitions=LATE, history=past)).endswith(said)


def test_without_a_past_there_is_no_trend() -> None:
    """The first snapshot of a monitor is one too."""
    empty = History(t=[], events_per_s=[], predictions_per_s=[], lag_events=[], p50_s=[], p99_s=[])
    assert detail_of(snapshot(partitions=LATE, history=empty)).endswith("800 events waiting")


def test_a_few_dead_letters_are_no_alarm() -> None:
    """One in a thousand is set aside: it works."""
    rare = msgspec.structs.replace(dead_letters(T0), share=0.001)
    rates = Rates(events_per_s=100.0, predictions_per_s=99.9, dead_letters_per_s=0.1)
    assert state_of(snapshot(dead_letters=rare, rates=rates)) == "working"


def test_quiet_is_working() -> None:
    """No events arrive, and none wait: that is said, and it is no trouble."""
    seen = snapshot(rates=Rates(events_per_s=0.0, predictions_per_s=0.0))
    assert state_of(seen) == "working"
    assert "no events are arriving" in detail_of(seen)
