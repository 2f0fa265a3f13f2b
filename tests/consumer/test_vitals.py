"""consumer/vitals.py: alive while the loop comes round, ready while events are scored."""

import orjson
from prometheus_client import CollectorRegistry

from consumer.vitals import Vitals
from runtime.telemetry import Metrics

STEADY = {
    "brokers": {"bootstrap": {"state": "UP", "nodeid": -1}, "b:1": {"state": "UP", "nodeid": 1}},
    "cgrp": {"state": "up", "join_state": "steady"},
    "topics": {
        "events": {
            "partitions": {
                "0": {"fetch_state": "active", "ls_offset": 12, "app_offset": 5},
                "1": {"fetch_state": "none", "ls_offset": -1001, "app_offset": -1001},
            }
        }
    },
}


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def make() -> tuple[Vitals, Metrics, Time]:
    time = Time()
    metrics = Metrics(CollectorRegistry())
    return Vitals(metrics, "events", time, silence_s=10.0), metrics, time


def lag(metrics: Metrics, partition: str) -> float | None:
    return metrics.registry.get_sample_value(
        "streamscore_lag_events", {"topic": "events", "partition": partition}
    )


def test_a_loop_that_hangs_is_not_alive() -> None:
    """Liveness rests on progress, so a call that never returns is noticed."""
    vitals, _, time = make()
    time.now = 9.0
    assert vitals.alive().holds
    time.now = 11.0
    assert not vitals.alive().holds
    vitals.progress(now=1.0)
    assert vitals.alive().holds


def test_ready_needs_a_broker_and_a_place_in_the_group() -> None:
    """A dead broker looks like an idle topic to the loop: the statistics know better."""
    vitals, _, _ = make()
    assert vitals.ready().reason == "no broker answers"
    vitals.statistics(orjson.dumps(STEADY).decode())
    assert vitals.ready().holds
    joining = {**STEADY, "cgrp": {"state": "up", "join_state": "wait-assign-call"}}
    vitals.statistics(orjson.dumps(joining).decode())
    assert "partitions" in vitals.ready().reason
    down = {**STEADY, "brokers": {"b:1": {"state": "DOWN", "nodeid": 1}}}
    vitals.statistics(orjson.dumps(down).decode())
    assert vitals.ready().reason == "no broker answers"


def test_a_stopping_worker_is_not_ready() -> None:
    """Nothing new is sent its way."""
    vitals, _, _ = make()
    vitals.statistics(orjson.dumps(STEADY).decode())
    vitals.stop()
    assert vitals.ready().reason == "stopping"


def test_lag_is_shown_for_the_partitions_that_are_ours() -> None:
    """A partition that moved on takes its lag with it."""
    vitals, metrics, _ = make()
    vitals.statistics(orjson.dumps(STEADY).decode())
    assert lag(metrics, "0") == 7
    assert lag(metrics, "1") is None
    vitals.statistics(orjson.dumps({**STEADY, "topics": {}}).decode())
    assert lag(metrics, "0") is None


def test_an_assignment_makes_ready_before_the_next_statistics() -> None:
    """Readiness does not wait for a statistics interval: whoever has partitions, scores."""
    vitals, _, _ = make()
    vitals.assigned()
    assert vitals.ready().holds
