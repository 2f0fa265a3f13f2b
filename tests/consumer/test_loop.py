"""consumer/loop.py: no batch is left half done, whatever fails, and the stop comes between two."""

from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from consumer.loop import Clock, Limits, ScoringLoop
from consumer.records import Batch, Outgoing, Tally
from consumer.source import Membership
from consumer.vitals import Vitals
from model.errors import BatchUndone, BrokerError, OutcomeUnknown
from runtime.retry import Backoff
from runtime.telemetry import Metrics


class Event:
    """A record with a timestamp, which is all that the loop reads of it."""

    def timestamp(self) -> tuple[int, int]:
        return 1, 99_000


class FakeSource:
    """One partition of events that can be taken, rewound and resumed."""

    def __init__(self, events: int) -> None:
        self.membership = Membership()
        self.end = events
        self.position = 0
        self.committed = 0

    def take(self, limit: int, _wait_s: float) -> Batch | None:
        stop = min(self.end, self.position + limit)
        offsets = list(range(self.position, stop))
        self.position = stop
        if not offsets:
            return None
        return Batch("events", [Event()] * len(offsets), [0] * len(offsets), offsets, "metadata")

    def rewind(self, batch: Batch) -> None:
        self.position = batch.first[0]

    def resume(self, _batch: Batch) -> None:
        self.position = self.committed


class FakePipeline:
    def run(self, batch: Batch, _now: str, _stage: Any) -> tuple[Outgoing, Tally]:
        return Outgoing(), Tally(len(batch.records) - 1, 0, {("decode", "not_json"): 1})


class FakeSink:
    """Commits to the source, and fails as it is told, one failure a call."""

    def __init__(self, source: FakeSource, failures: list[BrokerError]) -> None:
        self.source = source
        self.failures = failures
        self.opened = 0
        self.published: list[int] = []

    def open(self) -> None:
        self.opened += 1

    def publish(self, batch: Batch, _outgoing: Outgoing, _stage: Any) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.published += batch.offsets
        self.source.committed = batch.following[0]

    def close(self) -> None:
        """Nothing is open."""


class CommittedUnseen(FakeSink):
    """Commits a batch, and then loses the answer."""

    def publish(self, batch: Batch, outgoing: Outgoing, stage: Any) -> None:
        failures, self.failures = self.failures, []
        super().publish(batch, outgoing, stage)
        if failures:
            self.failures = failures[1:]
            raise failures[0]


def run(
    events: int,
    *failures: BrokerError,
    make_sink: Callable[[FakeSource, list[BrokerError]], FakeSink] = FakeSink,
    attempts: int = 5,
) -> tuple[FakeSink, Metrics, list[float]]:
    """Run the loop until every event was published."""
    source = FakeSource(events)
    sink = make_sink(source, list(failures))
    metrics = Metrics(CollectorRegistry())
    slept: list[float] = []
    rounds = iter(range(100))
    loop = ScoringLoop(
        source=source,  # type: ignore[arg-type]
        pipeline=FakePipeline(),
        sink=sink,
        metrics=metrics,
        vitals=Vitals(metrics, "events", lambda: 0.0, silence_s=1.0),
        clock=Clock(now=lambda: 100.0, timer=lambda: 0.0),
        limits=Limits(max_batch=4, wait_s=0.0, backoff=Backoff(0.1, 1.0, attempts)),
        stopped=lambda: source.committed >= events or next(rounds) > 50,
        sleep=slept.append,
    )
    loop.run()
    return sink, metrics, slept


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_every_event_is_published_once_in_order() -> None:
    """The ordinary course: batches as large as the limit allows, counted by result."""
    sink, metrics, slept = run(10)
    assert sink.published == list(range(10))
    assert value(metrics, "streamscore_events_total", result="predicted") == 7
    assert value(metrics, "streamscore_events_total", result="dead_letter") == 3
    assert value(metrics, "streamscore_batch_events_count") == 3
    assert value(metrics, "streamscore_latency_seconds_sum") == pytest.approx(10.0)
    assert slept == []


def test_an_undone_batch_is_taken_again() -> None:
    """After an abort the position goes back, else the batch would be skipped (facts 8)."""
    sink, metrics, slept = run(10, BatchUndone("aborted"), BatchUndone("again"))
    assert sink.published == list(range(10))
    assert sink.opened == 1
    assert len(slept) == 2
    assert value(metrics, "streamscore_transaction_aborts_total") == 2
    assert value(metrics, "streamscore_events_total", result="predicted") == 7


def test_an_unknown_outcome_goes_on_where_the_group_stands() -> None:
    """Not committed: the batch is taken again, by a new producer."""
    sink, _, _ = run(10, OutcomeUnknown("lost"))
    assert sink.published == list(range(10))
    assert sink.opened == 2


def test_a_commit_whose_answer_was_lost_is_not_repeated() -> None:
    """Committed after all: the committed offsets say so, and nothing is doubled."""
    sink, _, _ = run(10, OutcomeUnknown("lost"), make_sink=CommittedUnseen)
    assert sink.published == list(range(10))


def test_failures_in_a_row_end_the_loop_with_their_cause() -> None:
    """No endless retry: the operator is told what stays broken."""
    with pytest.raises(BatchUndone, match="gave up after 3 failures in a row: disk full"):
        run(10, *[BatchUndone("disk full")] * 9, attempts=3)


def test_a_success_forgives_earlier_failures() -> None:
    """Only failures in a row count."""

    class EverySecond(FakeSink):
        calls = 0

        def publish(self, batch: Batch, outgoing: Outgoing, stage: Any) -> None:
            self.calls += 1
            if self.calls % 2:
                raise BatchUndone("aborted")
            super().publish(batch, outgoing, stage)

    sink, _, _ = run(20, make_sink=EverySecond, attempts=2)
    assert sink.published == list(range(20))


def test_a_sink_that_does_not_open_is_tried_again() -> None:
    """A coordinator that is still loading at the start passes."""

    class Slow(FakeSink):
        def open(self) -> None:
            super().open()
            if self.opened < 3:
                raise BrokerError("coordinator load in progress")

    sink, _, slept = run(4, make_sink=Slow)
    assert sink.published == list(range(4))
    assert len(slept) == 2
