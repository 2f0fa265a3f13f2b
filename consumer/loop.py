"""Poll, score, publish, commit: one sequential loop, one batch in hand at a time.

It moves batches between its parts and decides nothing itself: what to do with events is
consumer/pipeline.py, how to write is consumer/transaction.py, what to do after a failure is
consumer/policy.py.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import structlog

from consumer.policy import GiveUp, after_failure
from consumer.records import Batch, Outgoing, Stages, Tally
from consumer.source import Source
from consumer.transaction import Sink
from consumer.vitals import Vitals
from model.errors import BrokerError
from runtime.retry import Backoff
from runtime.telemetry import Metrics

_log = structlog.get_logger("streamscore.consumer")


@dataclass(frozen=True, slots=True)
class Clock:
    """The times that the loop reads: Unix seconds, and a timer for durations."""

    now: Callable[[], float]
    timer: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Limits:
    """How many events at most make a batch, how long one wait takes, and what failures get."""

    max_batch: int
    wait_s: float
    backoff: Backoff


class Scoring(Protocol):
    """What answers a batch (consumer/pipeline.py)."""

    def run(self, batch: Batch, now: str, stage: Stages) -> tuple[Outgoing, Tally]:
        """Answer a batch; `now` is RFC 3339 in UTC, `stage` is entered around each stage."""
        ...


@dataclass(slots=True)
class ScoringLoop:
    """Answers the events of one source, until `stopped` says so; `sleep` waits no longer either."""

    source: Source
    pipeline: Scoring
    sink: Sink
    metrics: Metrics
    vitals: Vitals
    clock: Clock
    limits: Limits
    stopped: Callable[[], bool]
    sleep: Callable[[float], object]
    _failures: int = field(default=0, init=False)
    _rebalances: int = field(default=0, init=False)

    def run(self) -> None:
        """Score until stopped; the batch in hand is finished first.

        Raises:
            BrokerError: Kafka failed in a way that does not pass, or too often in a row.

        """
        self._settle(None)
        while not self.stopped():
            self.step()

    def step(self) -> None:
        """Take one batch, if one comes in time, and see it through."""
        began = self.clock.timer()
        batch = self.source.take(self.limits.max_batch, self.limits.wait_s)
        self._count_rebalances()
        self.vitals.progress(self.clock.now())
        if batch is None:
            return
        self.metrics.stage_seconds.labels("poll").observe(self.clock.timer() - began)
        outgoing, tally = self.pipeline.run(batch, _rfc3339(self.clock.now()), self._stage)
        try:
            self.sink.publish(batch, outgoing, self._stage)
        except BrokerError as error:
            self._recover(batch, error)
            return
        self._failures = 0
        self._count(batch, tally)

    def _recover(self, batch: Batch, error: BrokerError) -> None:
        """Undo a batch: go back, wait, and let the next step take its events again."""
        self.metrics.transaction_aborts_total.inc()
        if not self._retry(error):
            self.source.rewind(batch)
            return
        self._settle(batch)

    def _settle(self, batch: Batch | None) -> None:
        """Open the sink; go on from the committed offsets, for they tell what became of a batch."""
        while not self.stopped():
            try:
                self.sink.open()
                if batch is not None:
                    self.source.resume(batch)
            except BrokerError as error:
                self._retry(error)
            else:
                return

    def _retry(self, error: BrokerError) -> bool:
        """Wait before the next try; whether the sink must be opened anew."""
        self._failures += 1
        decision = after_failure(error, self._failures, self.limits.backoff, random.random())  # noqa: S311 - jitter
        if isinstance(decision, GiveUp):
            raise type(error)(decision.message, hint=error.hint) from error
        _log.warning("trying_again", failures=self._failures, reason=str(error))
        self.vitals.progress(self.clock.now())
        self.sleep(decision.delay_s)
        return decision.reopen

    def _count(self, batch: Batch, tally: Tally) -> None:
        metrics, now = self.metrics, self.clock.now()
        metrics.batch_events.observe(len(batch.records))
        metrics.events.labels("predicted").inc(tally.predicted)
        metrics.events.labels("skipped").inc(tally.skipped)
        for (stage, code), count in tally.dead_letters.items():
            metrics.events.labels("dead_letter").inc(count)
            metrics.dead_letters.labels(stage, code).inc(count)
        times = np.array([record.timestamp()[1] for record in batch.records], dtype=np.float64)
        known = times[times >= 0]  # the others have none
        metrics.latency_seconds.observe_many(now - known / 1000)
        _log.debug("batch_committed", events=len(batch.records), predicted=tally.predicted)

    def _count_rebalances(self) -> None:
        seen = self.source.membership.rebalances
        if seen != self._rebalances:
            self.metrics.rebalances_total.inc(seen - self._rebalances)
            self._rebalances = seen

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began = self.clock.timer()
        yield
        self.metrics.stage_seconds.labels(name).observe(self.clock.timer() - began)


def _rfc3339(unix_s: float) -> str:
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
