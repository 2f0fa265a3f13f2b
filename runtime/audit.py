"""The audit of a stream: reads input, predictions and dead letters and counts what went wrong.

Reads at read_committed, with its own client that joins no group and commits nothing: it disturbs
nobody. What the counts mean is decided in runtime/ledger.py.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
import numpy as np
from confluent_kafka import KafkaException, Message, TopicPartition

from model.errors import BrokerError, BrokerUnreachable
from runtime.clients import broker_error, consumer_properties, open_consumer
from runtime.dead_letter import NotADeadLetter, read_headers
from runtime.ledger import Answers, Audit, Ledger
from runtime.settings import Settings
from runtime.topics import dead_letter_topic, require_topics

__all__ = ["Audit", "audit_topics"]

_BATCH: Final = 10_000
_POLL_S: Final = 0.2
_NOWHERE: Final = (-1, -1)  # the source of an answer that names no record of the input

_Whole = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Source(msgspec.Struct, frozen=True):
    topic: str = ""
    partition: _Whole | None = None
    offset: _Whole | None = None
    request: str | None = None


class _Prediction(msgspec.Struct, frozen=True):
    source: _Source


@dataclass(frozen=True, slots=True)
class _Span:
    """The offsets of a partition from `low` up to, but without, `high`: the last stable one."""

    low: int
    high: int


def audit_topics(
    settings: Settings,
    *,
    source: str,
    output: str,
    dead_letters: str | None = None,
    timeout_s: float = 120.0,
) -> Audit:
    """Read three topics as a whole and account for every event of `source`.

    Call it when the stream has come to rest: an event that is still to be answered counts as lost.
    What is published after the call is left out. `dead_letters` is the source's dead-letter topic
    unless given. The source has to be whole: an answer to an event that retention has deleted
    counts as unknown. Answers to HTTP requests, which may stand on the same topic, are left out.
    Memory: two bytes an event, and one batch of records.

    Raises MissingTopics, BrokerUnreachable, and BrokerError when `timeout_s` has passed.
    """
    graves = dead_letter_topic(settings, source) if dead_letters is None else dead_letters
    counts = require_topics(settings, [source, output, graves])
    ledger = Ledger(source, copartitioned=counts[source] == counts[output])
    reading = _Reading(settings, timeout_s)
    try:
        # Answers' ends before the source's: no answer is seen whose event is not.
        answers_end = {topic: reading.spans(topic, counts[topic]) for topic in (output, graves)}
        for partition, records in reading.records(source, reading.spans(source, counts[source])):
            ledger.add_events(
                partition,
                np.fromiter((record.offset() or 0 for record in records), np.int64, len(records)),
                np.fromiter((record.value() is None for record in records), np.bool_, len(records)),
            )
        for partition, records in reading.records(output, answers_end[output]):
            ledger.add_predictions(_answers(output, partition, records, source, _predicted))
        for partition, records in reading.records(graves, answers_end[graves]):
            ledger.add_dead_letters(_answers(graves, partition, records, source, _buried))
    except KafkaException as error:
        raise broker_error(error, f"auditing topic {source!r}") from error
    finally:
        reading.close()
    return ledger.audit()


class _Reading:
    """A consumer with a deadline that reads topics from end to end."""

    def __init__(self, settings: Settings, timeout_s: float) -> None:
        # The end of a transaction takes an offset too but is never delivered: without the
        # end-of-partition events nobody would learn that the last record has been passed.
        extra = {
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "queued.min.messages": 10_000,  # a partition; it reads millions and is in no hurry
        }
        self._consumer = open_consumer(
            consumer_properties(settings, group="streamscore-audit", extra=extra)
        )
        self._broker_timeout_s = settings.broker_timeout_s
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s

    def close(self) -> None:
        self._consumer.close()

    def spans(self, topic: str, partitions: int) -> dict[int, _Span]:
        """Tell what the partitions hold now; a read_committed client sees the last stable end."""
        return {partition: self._span(topic, partition) for partition in range(partitions)}

    def _span(self, topic: str, partition: int) -> _Span:
        marks = self._consumer.get_watermark_offsets(
            TopicPartition(topic, partition), self._broker_timeout_s, cached=False
        )
        if marks is None:
            raise BrokerUnreachable(f"no answer on the ends of {topic}/{partition} in time")
        return _Span(*marks)

    def records(
        self, topic: str, spans: Mapping[int, _Span]
    ) -> Iterator[tuple[int, Sequence[Message]]]:
        """Yield every record within the spans: batches of one partition, in its order."""
        left = {partition: span for partition, span in spans.items() if span.high > span.low}
        assigned = [TopicPartition(topic, partition, span.low) for partition, span in left.items()]
        self._consumer.assign(assigned)
        self._consumer.resume(assigned)  # a pause outlives the assignment
        while left:
            if time.monotonic() >= self._deadline:
                raise self._late(topic, left)
            batches: dict[int, list[Message]] = defaultdict(list)
            for message in self._consumer.consume(_BATCH, _POLL_S):
                self._sort_in(message, left, batches)
            yield from batches.items()

    def _sort_in(
        self, message: Message, left: dict[int, _Span], batches: dict[int, list[Message]]
    ) -> None:
        partition, offset = message.partition(), message.offset()
        error = message.error()
        if error is not None and error.name() != "_PARTITION_EOF":
            raise KafkaException(error)
        if partition is None or offset is None or partition not in left:
            return
        if error is None and offset < left[partition].high:
            batches[partition].append(message)
        if error is not None or offset >= left[partition].high - 1:
            del left[partition]
            self._consumer.pause([TopicPartition(message.topic() or "", partition)])

    def _late(self, topic: str, left: Mapping[int, _Span]) -> BrokerError:
        return BrokerError(
            f"the audit did not reach the end of topic {topic!r} within {self._timeout_s:g} s: "
            f"{len(left)} of its partitions are left",
            hint="Give it more time, or look at the broker's load.",
        )


_Locate = Callable[[Message, str], tuple[int, int] | None]  # None: no answer to an event of a topic


def _answers(
    topic: str, partition: int, records: Sequence[Message], source: str, locate: _Locate
) -> Answers:
    located = [(record, locate(record, source)) for record in records]
    kept = [(record.offset() or 0, *place) for record, place in located if place is not None]
    sources = np.array([place for _, *place in kept], np.int64).reshape(-1, 2)
    offsets = np.array([offset for offset, *_ in kept], np.int64)
    return Answers(topic, partition, offsets, sources[:, 0], sources[:, 1])


_PREDICTION: Final = msgspec.json.Decoder(_Prediction)


def _predicted(record: Message, topic: str) -> tuple[int, int] | None:
    try:
        source = _PREDICTION.decode(record.value() or b"").source
    except msgspec.DecodeError:
        return _NOWHERE
    if source.request is not None:
        return None
    if source.topic != topic or source.partition is None or source.offset is None:
        return _NOWHERE
    return source.partition, source.offset


def _buried(record: Message, topic: str) -> tuple[int, int]:
    try:
        failure = read_headers(record.headers())  # type: ignore[arg-type] # keys and values as they came
    except NotADeadLetter:
        return _NOWHERE
    return (failure.partition, failure.offset) if failure.topic == topic else _NOWHERE
