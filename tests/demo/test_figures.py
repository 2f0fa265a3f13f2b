"""The demo's figures: counted once, timed from the event's timestamp, judged by the truth."""

import json

import pytest

from demo.departures import Flight
from demo.figures import Figures, Rejected
from demo.summary import sum_up
from runtime.ledger import Audit

BROKEN = Rejected("not_json", "not JSON")


def flight(number: int, *, left: float = 0.0, arrived: float = 0.0) -> Flight:
    return Flight(f"UA-{number}-EWR-2013-12-01", f"UA-{number}", "EWR", "IAH", left, arrived)


def test_latency_is_from_the_event_s_timestamp_to_the_answer_in_hand() -> None:
    """Two predictions, 10 and 30 ms after their events."""
    figures = Figures(2)
    for number, answered_s in ((1, 100.010), (2, 100.030)):
        figures.publish(flight(number), 100.0)
        figures.predict(flight(number).id, 0.0, answered_s)
    total = figures.total()
    assert total.latency_p50_ms == pytest.approx(20.0)
    assert total.latency_p99_ms == pytest.approx(29.8)


def test_the_errors_are_those_of_the_model_and_of_the_naive_guess() -> None:
    """The truth is how late the flight arrived; the naive guess is how late it left."""
    figures = Figures(2)
    figures.publish(flight(1, left=10, arrived=4), 0.0)
    figures.publish(flight(2, left=0, arrived=0), 0.0)
    figures.predict(flight(1).id, 5.0, 1.0)
    figures.predict(flight(2).id, -3.0, 1.0)
    total = figures.total()
    assert total.mae == pytest.approx(2.0)
    assert total.naive_mae == pytest.approx(3.0)


def test_the_run_is_open_until_each_event_has_its_answer() -> None:
    """A second answer to one event does not stand for the missing one to another."""
    figures = Figures(3)
    figures.publish(flight(1), 0.0)
    figures.publish(flight(2), 0.0)
    figures.publish(None, 0.0)
    for _ in range(3):
        figures.predict(flight(1).id, 0.0, 1.0)
    assert figures.open == 2
    figures.reject(BROKEN, 1.0)
    assert figures.open == 1
    figures.predict(flight(2).id, 0.0, 2.0)
    assert figures.open == 0
    assert figures.total().predictions == 4


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """While it runs the screen shows the rate of late, at the end the whole run's."""
    figures = Figures(300)
    figures.now(0.0)
    for number in range(100):
        figures.publish(None, 0.0)
        figures.reject(BROKEN, 1.0)
        assert figures.open == 0, number
    assert figures.now(1.0).events_per_second == pytest.approx(100)
    assert figures.now(10.0).events_per_second == 0
    assert figures.total().events_per_second == pytest.approx(100)


def test_nothing_published_has_no_latency_and_no_error() -> None:
    """Before the first event there are no figures, rather than wrong ones."""
    empty = Figures(10).now(5.0)
    assert (empty.published, empty.lag, empty.events_per_second) == (0, 0, 0.0)
    assert empty.latency_p50_ms is None
    assert empty.mae is None


def test_an_answer_to_nothing_is_left_to_the_audit() -> None:
    """A prediction of an id that was never published changes no latency and no error."""
    figures = Figures(1)
    figures.predict("nobody's", 1e6, 1.0)
    assert figures.total().predictions == 1
    assert figures.total().mae is None


def test_only_late_flights_are_expected_to_alert() -> None:
    """The subscriber is to react to predictions above 60 minutes, not to 60 itself."""
    figures = Figures(2)
    figures.predict("a", 60.0, 1.0)
    figures.predict("b", 60.1, 1.0)
    assert figures.expected_alerts == 1


def test_the_summary_has_the_fields_that_scripts_read() -> None:
    """`--summary` holds the audit's counts and the measured figures under lasting names."""
    figures = Figures(2)
    figures.publish(flight(1, left=10, arrived=4), 100.0)
    figures.publish(None, 100.0)
    figures.predict(flight(1).id, 5.0, 100.5)
    figures.reject(BROKEN, 101.0)
    figures.alerts = 7
    audit = Audit(2, 0, 1, 1, 0, 0, 0, 0, 0)
    summary = sum_up(figures.total(), audit, workers=3, model="flight-delay:2")
    assert json.loads(summary.to_json()) == {
        "events": 2,
        "predictions": 1,
        "dead_letters": 1,
        "lost": 0,
        "doubled": 0,
        "events_per_second": 2.0,
        "latency_p50_ms": 500.0,
        "latency_p99_ms": 500.0,
        "mae": 1.0,
        "naive_mae": 6.0,
        "seconds": 1.0,
        "workers": 3,
        "alerts": 7,
        "model": "flight-delay:2",
    }
