"""The demo from beginning to end: what starts when, what is waited for, how all of it stops.

Every wait has a deadline, and whatever happens, the children stop before their broker.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from demo.departures import Departure, departures
from demo.exchange import Exchange
from demo.figures import ALERT_MIN, Figures, Snapshot
from demo.flights import december, load_flights
from demo.flow import Flow
from demo.processes import Child, Children, Lines, environment, free_ports, wait_until_ready
from demo.show import Show
from demo.stage import Stage, borrowed_stage, embedded_stage
from demo.summary import Summary, sum_up
from demo.training import REFERENCE, is_trained, loadable_model, train
from runtime.audit import audit_topics
from runtime.clients import require_broker
from runtime.ledger import Audit
from runtime.settings import Settings
from runtime.topics import require_topics

_READY_TIMEOUT_S: Final = 90.0
_STALLED_S: Final = 60.0
_ALERTS_TIMEOUT_S: Final = 10.0
_AUDIT_TIMEOUT_S: Final = 120.0
_GRACE_S: Final = 5.0  # beyond the service's own deadline to stop


@dataclass(frozen=True, slots=True)
class Plan:
    """What to play. `events` None: all of December; `rate` 0: as fast as it goes."""

    events: int | None
    workers: int
    rate: float
    own_broker: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it; `picture` are the figures of a moment when it was in full swing."""

    summary: Summary
    audit: Audit
    picture: Snapshot


def run_demo(plan: Plan, settings: Settings, show: Show) -> Outcome:
    """Play the demo. Raises StreamscoreError when something of it cannot be had or breaks."""
    with show:
        if plan.own_broker:
            require_broker(settings)  # before anything that takes long
        show.step("Loading the flights of 2013")
        flights = load_flights()
        if not is_trained(settings):
            show.step("Training the model on January to September")
            train(settings, flights)
        model = loadable_model(settings)
        count = len(december(flights)) if plan.events is None else plan.events
        figures = Figures(count)
        coming = departures(december(flights).head(count), count)
        with _stage(plan, settings, show) as stage:
            picture, audit = _play(plan, stage, figures, coming, show)
    total = figures.total()
    summary = sum_up(total, audit, workers=plan.workers, model=figures.model or model)
    return Outcome(summary, audit, picture or total)


def _stage(plan: Plan, settings: Settings, show: Show) -> AbstractContextManager[Stage]:
    if plan.own_broker:
        show.step(f"Creating topics at {settings.bootstrap_servers}")
        return borrowed_stage(settings)
    show.step("Starting Apache Kafka")

    def fetching(done: int, total: int) -> None:
        show.step(f"Fetching Apache Kafka, this once: {done / 1e6:.0f} of {total / 1e6:.0f} MB")

    return embedded_stage(settings, fetching)


def _play(
    plan: Plan, stage: Stage, figures: Figures, coming: Iterator[Departure], show: Show
) -> tuple[Snapshot | None, Audit]:
    stop_timeout_s = stage.settings.consumer.shutdown_timeout_s + _GRACE_S
    with (
        tempfile.TemporaryDirectory(prefix="streamscore-demo-") as folder,
        Children(
            environment(stage.settings, os.environ) | {"TMPDIR": folder},
            Path(folder),
            stop_timeout_s,
        ) as children,
    ):
        show.step(f"Starting the scoring group ({plan.workers} workers) and a subscriber")
        alerts = Lines(_start_subscriber(stage, children).output)
        scoring = _start_scoring(plan, stage, children)

        def watch() -> None:
            children.require_alive()
            figures.alerts = alerts.update()

        partitions = require_topics(stage.settings, stage.topics)
        with Exchange(stage, figures, partitions) as exchange:
            flow = Flow(exchange, figures, show, watch, stalled_s=_STALLED_S)
            flow.run(coming, plan.rate)
        show.step("Stopping the workers and auditing every event")
        flow.await_alerts(_ALERTS_TIMEOUT_S)
        children.stop(scoring)
        audit = audit_topics(
            stage.settings, source=stage.source, output=stage.output, timeout_s=_AUDIT_TIMEOUT_S
        )
    return flow.picture, audit


def _start_scoring(plan: Plan, stage: Stage, children: Children) -> Child:
    first_port = free_ports(plan.workers)
    scoring = children.start(
        "scoring group",
        [
            "consume",
            *("--workers", str(plan.workers)),
            *("--input", stage.source),
            *("--output", stage.output),
            *("--model", REFERENCE),
            *("--group", stage.group),
            *("--health-port", str(first_port)),
        ],
    )
    ports = range(first_port, first_port + plan.workers)
    wait_until_ready(scoring, ports, timeout_s=_READY_TIMEOUT_S)
    return scoring


def _start_subscriber(stage: Stage, children: Children) -> Child:
    return children.start(
        "subscriber",
        [
            "subscribe",
            *("--topic", stage.output),
            *("--where", f"prediction > {ALERT_MIN}"),
            *("--from", "earliest"),
        ],
    )
