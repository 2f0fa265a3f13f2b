"""Were the answers right? Each event once, each with the model's own prediction.

Reads an output topic as a whole, at read_committed, and gives the broker's times of its records.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer, IsolationLevel, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from benchmarks.lab import Backlog, BenchmarkError
from runtime.clients import admin_client
from runtime.dead_letter import read_headers
from runtime.settings import Settings

_BATCH: Final = 10_000
_DEADLINE_S: Final = 180.0
_SETTLE_S: Final = 20.0
_LOOK_S: Final = 0.05
_CLOSE: Final = 1e-9  # relative: an engine may add up in another order

Offsets = npt.NDArray[np.int64]


class _Source(msgspec.Struct, frozen=True):
    partition: int
    offset: int


class _Answer(msgspec.Struct, frozen=True):
    source: _Source
    prediction: float


_DECODE: Final = msgspec.json.Decoder(_Answer).decode


class Check(Protocol):
    """Looks at the answers of one output partition, in their order."""

    def add(self, partition: int, records: Sequence[Message]) -> None:
        """Raise BenchmarkError where an answer is wrong."""
        ...


@dataclass(slots=True)
class Stamps:
    """When the broker took the answers, in ms since the epoch."""

    first: int = 2**62
    last: int = 0
    parts: list[Offsets] = field(default_factory=list)

    def add(self, records: Sequence[Message]) -> None:
        """Take in a batch."""
        times = np.fromiter((record.timestamp()[1] for record in records), np.int64, len(records))
        self.first = min(self.first, int(times.min()))
        self.last = max(self.last, int(times.max()))
        self.parts.append(times)

    def rate(self, since_ms: float) -> tuple[float, float]:
        """Answers a second from the first to the last, and the share of them that this counts.

        From `since_ms` instead of the first, if it lies between. What the broker took at the very
        start was answered before it, and does not count.
        """
        if self.first == self.last:  # too few to tell: all within a millisecond
            return sum(times.size for times in self.parts) * 1000.0, 1.0
        start = since_ms if self.first < since_ms < self.last else self.first
        counted = sum(int((times > start).sum()) for times in self.parts)
        every = sum(times.size for times in self.parts)
        return counted / max(1, self.last - start) * 1000, counted / every


def read_topic(settings: Settings, topic: str, partitions: int) -> Iterator[tuple[int, Any]]:
    """Yield what a topic holds: batches of one partition, in its order."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "group.id": "benchmark",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "queued.min.messages": 20_000,
            "fetch.wait.max.ms": 20,  # an end of a partition is told no sooner
        }
    )
    _wait_settled(settings, topic, partitions)
    with closing(consumer):
        consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        left = set(range(partitions))
        deadline = time.monotonic() + _DEADLINE_S
        while left:
            batches: dict[int, list[Message]] = {}
            for record in consumer.consume(_BATCH, 0.1):
                if (error := record.error()) is None:
                    batches.setdefault(record.partition() or 0, []).append(record)
                elif error.name() == "_PARTITION_EOF":
                    left.discard(record.partition() or 0)
                else:
                    raise KafkaException(error)
            yield from batches.items()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{topic} could not be read within {_DEADLINE_S:g} s")


def _wait_settled(settings: Settings, topic: str, partitions: int) -> None:
    """Until no transaction is open: the group's offsets may show a commit before the answers do."""
    admin = admin_client(settings)
    deadline = time.monotonic() + _SETTLE_S
    while True:
        stable, all_of_it = (
            _ends(admin, topic, partitions, level)
            for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
        )
        if stable == all_of_it:
            return
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{topic}: a transaction was left open")
        time.sleep(_LOOK_S)


def _ends(admin: AdminClient, topic: str, partitions: int, level: IsolationLevel) -> list[int]:
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    places = {TopicPartition(topic, number): latest for number in range(partitions)}
    answers = admin.list_offsets(places, isolation_level=level)
    return [answers[place].result(_SETTLE_S).offset for place in places]


class Copies:
    """Of a pass-through: each event's bytes, in its partition and its place."""

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog
        self._seen = [0] * backlog.partitions

    def add(self, partition: int, records: Sequence[Message]) -> None:
        """Compare every record."""
        start = self._seen[partition]
        offsets = np.arange(start, start + len(records), dtype=np.int64)
        places = np.full(len(records), partition, dtype=np.int64)
        values = self._backlog.case.values
        at = self._backlog.positions(places, offsets).tolist()
        if any(record.value() != values[i] for record, i in zip(records, at, strict=True)):
            raise BenchmarkError(f"{self._backlog.topic}: a copy differs from its event")
        self._seen[partition] += len(records)

    def finish(self) -> int:
        """How many there were, all of them."""
        if self._seen != self._backlog.sizes():
            raise BenchmarkError(f"{self._backlog.topic}: copies are missing, or too many")
        return sum(self._seen)


class Predictions:
    """Of a contestant that scores: each event answered once, with scikit-learn's own prediction."""

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog
        self._answered = [np.zeros(size, np.uint8) for size in backlog.sizes()]

    def add(self, _partition: int, records: Sequence[Message]) -> None:
        """Compare every record."""
        answers = [_DECODE(record.value() or b"") for record in records]
        count = len(answers)
        partitions = np.fromiter((each.source.partition for each in answers), np.int64, count)
        offsets = np.fromiter((each.source.offset for each in answers), np.int64, count)
        given = np.fromiter((each.prediction for each in answers), np.float64, count)
        expected = self._backlog.case.expected[self._backlog.positions(partitions, offsets)]
        if not np.allclose(given, expected, rtol=_CLOSE, atol=_CLOSE):
            raise BenchmarkError(f"{self._backlog.topic}: a prediction is not the model's")
        self._enter(partitions, offsets)

    def add_dead_letters(self, records: Sequence[Message]) -> None:
        """Enter events that were set aside: those that are bad, and no others."""
        for record in records:
            failure = read_headers(record.headers())  # type: ignore[arg-type] # as they came
            partitions, offsets = np.array([failure.partition]), np.array([failure.offset])
            if int(self._backlog.positions(partitions, offsets)[0]) not in self._backlog.case.bad:
                raise BenchmarkError(f"{self._backlog.topic}: a good event is a dead letter")
            self._enter(partitions, offsets)

    def _enter(self, partitions: Offsets, offsets: Offsets) -> None:
        for partition in np.unique(partitions).tolist():
            np.add.at(self._answered[partition], offsets[partitions == partition], 1)

    def finish(self, *, whole: bool = True) -> int:
        """How many were answered: all of them, or, not `whole`, a first part of each partition."""
        for answered in self._answered:
            if int(answered.max(initial=0)) > 1:
                raise BenchmarkError(f"{self._backlog.topic}: an event was answered twice")
            if not answered[: int(answered.sum()) if not whole else None].all():
                raise BenchmarkError(f"{self._backlog.topic}: an event was not answered")
        return sum(int(answered.sum()) for answered in self._answered)
