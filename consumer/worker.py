"""One scoring process: builds every part in one place, runs the loop, stops in order.

`main` is a supervised worker, which reads its job from standard input (consumer/__main__.py).
"""

import gc
import os
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson
import structlog
from confluent_kafka import Consumer
from prometheus_client import CollectorRegistry
from threadpoolctl import threadpool_limits

from consumer.following import Following
from consumer.headers import CloudEvents
from consumer.identity import WorkerIdentity, claim_identity
from consumer.loop import Clock, Limits, Scoring, ScoringLoop
from consumer.pipeline import Identity, Pipeline, Target
from consumer.source import Source
from consumer.transaction import AtLeastOnce, ExactlyOnce, Outbox, Sink
from consumer.vitals import Vitals
from model.codec import EventDecoder
from model.errors import MissingTopics, ModelError, StreamscoreError, WrongUsage
from model.prediction import PredictionEncoder
from runtime.clients import consumer_properties, open_consumer, open_producer, producer_properties
from runtime.health import HealthServer
from runtime.logs import configure_logging
from runtime.reload import following, load_with
from runtime.retry import Backoff
from runtime.settings import Settings
from runtime.stop import Stop
from runtime.telemetry import Metrics
from runtime.topics import dead_letter_topic, record_limits, require_topics

if TYPE_CHECKING:
    from collections.abc import Callable

    from model.bundle import Model

    BuildPipeline = Callable[["Job", Model, Target, Target], Scoring]

_log = structlog.get_logger("streamscore.consumer")

_WAIT_S: Final = 0.25
_STATISTICS_MS: Final = 1000
_RETRY_BASE_S: Final = 0.1

PERMANENT: Final = 2  # the exit status that says: starting again changes nothing
_PERMANENT = (WrongUsage, ModelError, MissingTopics)


@dataclass(frozen=True, slots=True)
class Job:
    """What a group of workers does: answers `input` on `output` with `model`."""

    settings: Settings
    input: str
    output: str
    model: str
    group: str

    def to_json(self) -> bytes:
        """For a worker's standard input: it may hold secrets, which no argument list should."""
        settings = self.settings.model_dump(mode="json")
        rest = {name: getattr(self, name) for name in ("input", "output", "model", "group")}
        return orjson.dumps({"settings": settings, **rest})

    @classmethod
    def from_json(cls, data: bytes) -> "Job":
        """Read what `to_json` wrote."""
        fields = orjson.loads(data)
        return cls(**{**fields, "settings": Settings.model_validate(fields["settings"])})


def run_worker(
    job: Job,
    worker: int,
    stop: Stop,
    loaded: "Callable[[Job], Model]",
    build: "BuildPipeline | None" = None,
) -> None:
    """Score until stopped; `build` makes what answers a batch, `build_pipeline` unless given.

    The order at the end, which is that of the callbacks below from last to first: the deadline
    starts, readiness ends, the sink gives up what is unfinished (the loop has committed the batch
    in hand), the group is left, the worker's names are free for a successor, the probes fall
    silent, the alias is followed no longer.

    Raises:
        StreamscoreError: something is missing at the start, or does not pass.

    """
    settings = job.settings
    letters = dead_letter_topic(settings, job.input)
    output, dead_letters = _targets(job, letters)
    with ExitStack() as stack:
        # More native threads than one fight over the cores.
        stack.enter_context(threadpool_limits(1))
        metrics = Metrics(CollectorRegistry())
        watcher = stack.enter_context(following(job.model, loaded(job), settings, metrics.model))
        vitals = Vitals(metrics, job.input, time.monotonic, settings.consumer.max_poll_interval_s)
        health = HealthServer(
            settings.health,
            alive=vitals.alive,
            ready=lambda: vitals.ready().with_facts(model=watcher.model.reference),
            registry=metrics.registry,
        )
        health.start()
        stack.callback(health.stop)
        identity = stack.enter_context(
            closing(claim_identity(job.group, settings.instance_id, worker))
        )
        source = Source(
            lambda: _consumer(job, identity, vitals),
            job.input,
            settings.broker_timeout_s,
            vitals.assigned,
        )
        stack.callback(source.close)
        sink = _sink(job, identity, letters, source)
        stack.callback(sink.close)
        stack.callback(vitals.stop)
        stack.callback(stop.request)
        loop = ScoringLoop(
            source=source,
            pipeline=Following(
                watcher, lambda model: (build or build_pipeline)(job, model, output, dead_letters)
            ),
            sink=sink,
            metrics=metrics,
            vitals=vitals,
            clock=Clock(now=time.time, timer=time.perf_counter),
            limits=_limits(settings),
            stopped=stop.requested,
            sleep=stop.sleep,
        )
        _log.info(
            "worker_started",
            model=watcher.model.reference,
            input=job.input,
            output=job.output,
            group=job.group,
            guarantee=settings.consumer.guarantee,
            transactional_id=identity.transactional_id,
            health_port=health.port,
        )
        # Without a collection: it would take 0.16 s, for a thousand small objects.
        gc.freeze()  # what is there now stays: collections need not walk it each time
        gc.enable()  # a command turns it off for its start
        loop.run()
    _log.info("worker_stopped")


def _targets(job: Job, letters: str) -> tuple[Target, Target]:
    """Where predictions and dead letters go; raises MissingTopics where a topic is not there."""
    partitions = require_topics(job.settings, [job.input, job.output, letters])
    limits = record_limits(job.settings, [job.output, letters])
    output, dead_letters = (
        Target(partitions[topic] == partitions[job.input], limits[topic])
        for topic in (job.output, letters)
    )
    return output, dead_letters


def build_pipeline(job: Job, model: "Model", output: Target, letters: Target) -> Pipeline:
    """What scores the job's events with `model`."""
    return Pipeline(
        EventDecoder(model.signature, job.settings.event_id_field),
        model.scorer,
        PredictionEncoder(model.signature, model.name, model.version),
        Identity(job.group, model.name, model.version),
        output,
        letters,
        keep_tombstones=job.settings.consumer.tombstones == "dead_letter",
        cloud_events=CloudEvents(f"/streamscore/{job.group}")
        if job.settings.consumer.cloud_events
        else None,
    )


def _limits(settings: Settings) -> Limits:
    consumer = settings.consumer
    cap_s = max(_RETRY_BASE_S, consumer.retry_cap_s)
    backoff = Backoff(_RETRY_BASE_S, cap_s, consumer.retry_attempts)
    return Limits(consumer.max_batch, _WAIT_S, backoff)


def _consumer(job: Job, identity: WorkerIdentity, vitals: Vitals) -> Consumer:
    extra: dict[str, object] = {
        "statistics.interval.ms": _STATISTICS_MS,
        "stats_cb": vitals.statistics,
    }
    if identity.group_instance_id is not None:
        extra["group.instance.id"] = identity.group_instance_id
    return open_consumer(consumer_properties(job.settings, group=job.group, extra=extra))


def _sink(job: Job, identity: WorkerIdentity, letters: str, source: Source) -> Sink:
    settings = job.settings
    timeout_s = settings.consumer.transaction_timeout_s / 2

    def outbox(extra: dict[str, object]) -> Outbox:
        def create(on_delivery: object) -> object:
            return open_producer(
                producer_properties(
                    settings,
                    extra={
                        "on_delivery": on_delivery,
                        "delivery.report.only.error": True,
                        **extra,
                    },
                )
            )

        return Outbox(create, job.output, letters, timeout_s)  # type: ignore[arg-type]

    if settings.consumer.guarantee == "at_least_once":
        return AtLeastOnce(lambda: outbox({}), source.commit)
    transactional = {"transactional.id": identity.transactional_id}
    return ExactlyOnce(lambda: outbox(dict(transactional)), timeout_s, settings.broker_timeout_s)


def load_model(job: Job) -> "Model":
    """The job's model, from the store in its settings."""
    return load_with(job.settings, job.model)


def main() -> int:
    """Run a supervised worker; its number is the only argument, its job comes on standard input."""
    job = Job.from_json(sys.stdin.buffer.read())
    configure_logging(job.settings.log)
    worker = int(sys.argv[1])
    structlog.contextvars.bind_contextvars(worker=worker)
    stop = Stop(job.settings.consumer.shutdown_timeout_s, parent=os.getppid())
    stop.on_signals()
    try:
        run_worker(job, worker, stop, load_model)
    except StreamscoreError as error:
        _log.error("worker_failed", reason=str(error), hint=error.hint)
        return PERMANENT if isinstance(error, _PERMANENT) else 1
    return 0
