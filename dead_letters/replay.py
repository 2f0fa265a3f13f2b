"""Send dead letters back to the topics that they came from, in transactions.

What is decided (which go, in which chunks, how) is pure; `TransactionalTarget` moves the bytes. A
chunk is seen whole or not at all. Must not know the command line, or how letters are read.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException, Producer

from dead_letters.letter import DeadLetter, Foreign
from model.errors import BatchUndone, BrokerError, Fenced, OutcomeUnknown
from runtime.clients import open_producer, producer_properties
from runtime.dead_letter import Header, omitted_value_bytes, replay_headers
from runtime.kafka_errors import broker_error, describe_error
from runtime.settings import Settings
from runtime.topics import partition_counts

CHUNK_LETTERS = 1_000
CHUNK_BYTES = 32 * 1024 * 1024  # far below the producer's queue, so that it never is full
ANY_PARTITION = -1  # librdkafka's own: the partitioner chooses by key

_SLICE_S = 0.2  # a signal is served between two slices
_NAMED = 20  # omitted values that the report names one by one


class Left(StrEnum):
    """Why a dead letter is left where it is."""

    AT_CAP = "at_cap"
    VALUE_OMITTED = "value_omitted"
    NO_SOURCE_TOPIC = "no_source_topic"
    NOT_A_DEAD_LETTER = "not_a_dead_letter"


@dataclass(frozen=True, slots=True)
class Event:
    """An event on its way back: as it was, with the attempt that now begins among its headers."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    place: str  # of its dead letter

    @property
    def size_bytes(self) -> int:
        """About how much of the producer's queue it takes."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers


@dataclass(slots=True)
class Report:
    """What a replay did so far; it grows by whole chunks.

    `replayed` counts by source topic, `left` by reason; `omitted` are the sources of the first
    values that are not on the dead-letter topic at all.
    """

    replayed: Counter[str] = field(default_factory=Counter)
    left: Counter[Left] = field(default_factory=Counter)
    omitted: list[str] = field(default_factory=list)


class Target(Protocol):
    """Where chunks go."""

    def partitions(self, topic: str) -> int:
        """Tell how many partitions a topic has; 0 when it does not exist."""
        ...

    def send(self, chunk: list[Event]) -> None:
        """Send all events of a chunk, or none: then BatchUndone, Fenced or OutcomeUnknown."""
        ...


def replay(letters: Iterable[DeadLetter | Foreign], target: Target, cap: int, to: Report) -> None:
    """Replay letters in chunks, and note in `to` what became of each.

    One whose attempt has reached `cap` is left, and so is one that cannot go back.
    """
    chunk: list[Event] = []
    size_bytes = 0
    for event in _events(letters, target, cap, to):
        if chunk and (len(chunk) >= CHUNK_LETTERS or size_bytes + event.size_bytes > CHUNK_BYTES):
            _send(chunk, target, to)
            chunk, size_bytes = [], 0
        chunk.append(event)
        size_bytes += event.size_bytes
    if chunk:
        _send(chunk, target, to)


def obstacle(letter: DeadLetter, partitions: int, cap: int) -> Left | None:
    """Tell why a letter cannot be replayed to its source of so many partitions; None if it can."""
    if omitted_value_bytes(letter.headers) is not None:
        return Left.VALUE_OMITTED
    if letter.failure.attempt >= cap:
        return Left.AT_CAP
    return None if partitions else Left.NO_SOURCE_TOPIC


def event_of(letter: DeadLetter, partitions: int) -> Event:
    """Give the event as it was: key, value, headers, and partition where it still exists.

    Its time is not among it: a topic that keeps events for some days would take one that is older
    for expired, and might delete it before it is scored.
    """
    failure = letter.failure
    return Event(
        topic=failure.topic,
        partition=failure.partition if 0 <= failure.partition < partitions else ANY_PARTITION,
        key=letter.key,
        value=letter.value,
        headers=replay_headers(letter.headers),
        place=letter.place,
    )


def _events(
    letters: Iterable[DeadLetter | Foreign], target: Target, cap: int, to: Report
) -> Iterator[Event]:
    counts: dict[str, int] = {}
    for letter in letters:
        if isinstance(letter, Foreign):
            to.left[Left.NOT_A_DEAD_LETTER] += 1
            continue
        topic = letter.failure.topic
        if topic not in counts:
            # No event ever came from one of Kafka's own topics: such a letter is forged.
            counts[topic] = 0 if topic.startswith("__") else target.partitions(topic)
        reason = obstacle(letter, counts[topic], cap)
        if reason is None:
            yield event_of(letter, counts[topic])
            continue
        to.left[reason] += 1
        if reason is Left.VALUE_OMITTED and len(to.omitted) < _NAMED:
            to.omitted.append(letter.source)


def _send(chunk: list[Event], target: Target, to: Report) -> None:
    target.send(chunk)
    to.replayed.update(event.topic for event in chunk)


class DryRun:
    """A target that looks where events would go, and sends nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def partitions(self, topic: str) -> int:
        """Tell how many partitions a topic has; 0 when it does not exist."""
        return partition_counts(self._settings, [topic]).get(topic, 0)

    def send(self, chunk: list[Event]) -> None:
        """Send nothing."""


class TransactionalTarget:
    """Sends each chunk in one Kafka transaction.

    The transactional id is the dead-letter topic's: of two replays of one topic at a time the
    later one fences the earlier, so that no letter goes back twice.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        create: Callable[[dict[str, object]], Producer] = open_producer,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._timeout_s = settings.consumer.transaction_timeout_s
        self._failures: list[tuple[str, KafkaError]] = []
        self._create = create
        self._open: Producer | None = None

    def partitions(self, topic: str) -> int:
        """Tell how many partitions a topic has; 0 when it does not exist."""
        return partition_counts(self._settings, [topic]).get(topic, 0)

    def send(self, chunk: list[Event]) -> None:
        """Commit all events of a chunk, or none: then BatchUndone, Fenced or OutcomeUnknown."""
        producer = self._producer()
        self._failures.clear()
        sent = False
        try:
            producer.begin_transaction()
            self._produce(producer, chunk)
            sent = True
        except (BufferError, SystemError) as error:  # SystemError: out of flush, after a fatal one
            raise BatchUndone(f"{_span(chunk)} were not replayed: {error}") from error
        except KafkaException as error:
            raise self._undone(error.args[0], chunk) from error
        finally:
            if not sent:  # also on Ctrl-C
                self._abort(producer)
        self._commit(producer, chunk)

    def _producer(self) -> Producer:
        """Take over the transactional id, once the first chunk is there."""
        if self._open is None:
            extra = {"transactional.id": f"streamscore-replay-{self._topic}"}
            producer = self._create(producer_properties(self._settings, extra=extra))
            try:
                producer.init_transactions(self._timeout_s)
            except KafkaException as error:
                raise broker_error(error, "beginning with transactions") from error
            self._open = producer
        return self._open

    def _produce(self, producer: Producer, chunk: list[Event]) -> None:
        for event in chunk:
            producer.produce(
                event.topic,
                event.value,
                key=event.key,
                partition=event.partition,
                headers=list(event.headers),
                on_delivery=partial(self._delivered, event.place),
            )
        deadline = time.monotonic() + self._timeout_s
        while waiting := producer.flush(_SLICE_S):
            if time.monotonic() > deadline:
                raise BatchUndone(
                    f"{_span(chunk)} were not replayed: {waiting} events were not acknowledged "
                    f"within {self._timeout_s:g} s"
                )
        # A failed delivery does not poison the transaction: to commit would lose the event.
        if self._failures:
            place, error = self._failures[0]
            undone = self._undone(error, chunk)
            raise type(undone)(f"{undone}; the first that failed is {place}", hint=undone.hint)

    def _commit(self, producer: Producer, chunk: list[Event]) -> None:
        try:
            producer.commit_transaction(self._timeout_s)
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            if reason.txn_requires_abort():
                self._abort(producer)
                raise self._undone(reason, chunk) from error
            raise self._fenced(reason, chunk) or OutcomeUnknown(
                f"it is not known whether {_span(chunk)} were replayed: {describe_error(reason)}",
                hint="look at the end of the source topic before you replay them again",
            ) from error

    def _abort(self, producer: Producer) -> None:
        try:
            producer.purge()
            producer.abort_transaction(self._timeout_s)
        except KafkaException:
            return  # the broker aborts it at its timeout, or when the next replay begins

    def _undone(self, error: KafkaError, chunk: list[Event]) -> BrokerError:
        return self._fenced(error, chunk) or BatchUndone(
            f"{_span(chunk)} were not replayed: {describe_error(error)}",
            hint=broker_error(error, "sending").hint,
        )

    def _fenced(self, error: KafkaError, chunk: list[Event]) -> Fenced | None:
        if not isinstance(broker_error(error, "sending"), Fenced):
            return None
        return Fenced(
            f"another replay of {self._topic} has begun: {_span(chunk)} were left to it",
            hint="let one replay of a topic end before the next begins",
        )

    def _delivered(self, place: str, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self._failures.append((place, error))


def _span(chunk: list[Event]) -> str:
    return f"the {len(chunk)} dead letters from {chunk[0].place} to {chunk[-1].place}"
