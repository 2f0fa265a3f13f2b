"""The scoring service through a broker that dies and comes back, on a broker of its own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.audit import audit_topics
from runtime.broker import EmbeddedBroker

EVENT = {
    "id": "UA-1",
    "carrier": "UA",
    "origin": "EWR",
    "dest": "IAH",
    "dep_delay": 2.0,
    "distance": 1400,
    "sched_dep_time": 515,
    "temp": 39.0,
    "visib": 10.0,
    "wind_speed": 12.7,
    "precip": 0.0,
}


def test_a_killed_broker_that_comes_back_costs_nothing(
    kafka: Any,
    make_flow: Callable[..., Any],
    services: Any,
    tmp_path: Path,
) -> None:
    """Kill -9 in the middle of the work: nothing is lost or doubled, and the service goes on.

    A static member may be fenced by its own former self when the coordinator forgets it: then
    the process ends, and whoever supervises it starts it again.
    """
    value = json.dumps(EVENT).encode()
    with EmbeddedBroker(data=tmp_path / "broker") as broker:
        flow = make_flow(partitions=2, on=type(kafka)(broker.bootstrap_servers))
        for number in range(20_000):
            flow.send(value, partition=number % 2)
        flow.flush()
        services.start(flow, "--max-batch", "200", "--workers", "2", "--instance-id", "lasting")
        flow.read(flow.output, 2000)
        broker.kill()
        broker.start()
        for number in range(2000):
            flow.send(value, partition=number % 2)
        flow.flush()
        flow.read(flow.output, 22_000, deadline_s=120)
        audit = audit_topics(flow.settings, source=flow.input, output=flow.output)
        assert audit.ok, audit.describe()
        assert audit.predictions == 22_000
