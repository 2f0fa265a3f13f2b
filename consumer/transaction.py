"""How a batch's results and its offsets are written: exactly once, or at least once.

A batch is written whole or undone whole; the third case, that nobody here can know, is an error
of its own (`OutcomeUnknown`). Knows nothing of models or of where records come from.
"""

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from consumer.records import Batch, Outgoing, Stages
from model.errors import BatchUndone, BrokerError, DeliveryFailed, Fenced, OutcomeUnknown
from runtime.clients import broker_error, describe_error

CreateProducer = Callable[[Callable[[KafkaError | None, object], None]], Producer]
CommitOffsets = Callable[[list[TopicPartition]], None]

_FLUSH_BYTES = 64 * 1024 * 1024  # far below the producer's queue, so that it never is full
_GRACE_S = 1.0  # for a call that does keep its timeout to say so itself


class Sink(Protocol):
    """Where a batch's results go."""

    def open(self) -> None:
        """Get ready; again after `OutcomeUnknown`."""
        ...

    def publish(self, batch: Batch, outgoing: Outgoing, stage: Stages) -> None:
        """Write a batch's results and the progress through its input.

        Raises:
            BatchUndone: nothing of it will be seen (or, at least once: it may be seen again).
            OutcomeUnknown: `open` again, then go on from the group's committed offsets.

        """
        ...

    def close(self) -> None:
        """Give up what is unfinished, within the deadline."""
        ...


class Outbox:
    """Sends a batch's results with one producer and waits until the broker has each of them."""

    def __init__(
        self, create: CreateProducer, output: str, dead_letters: str, timeout_s: float
    ) -> None:
        self._failures: list[str] = []
        self._output = output
        self._dead_letters = dead_letters
        self._timeout_s = timeout_s
        self._unflushed_bytes = 0
        self.producer = create(self._on_delivery)

    def send(self, outgoing: Outgoing) -> None:
        """Send everything and wait for it.

        Raises:
            DeliveryFailed: a record was not taken, or not acknowledged in time. A transaction
                must be aborted then: committing it would succeed without the record.

        """
        self._failures.clear()
        try:
            for partition, messages in outgoing.predictions.items():
                self._send_plain(partition, messages)
            for partition, messages in outgoing.with_headers.items():
                for message in messages:
                    self._send_one(self._output, partition, message)
            for letter in outgoing.dead_letters:
                message = {"key": letter.key, "value": letter.value, "headers": letter.headers}
                if letter.timestamp_ms >= 0:
                    message["timestamp"] = letter.timestamp_ms
                self._send_one(self._dead_letters, letter.partition, message)
            self._flush()
        except (BufferError, TypeError, ValueError, SystemError) as error:
            # SystemError comes out of flush() after a fatal error.
            msg = f"a record could not be sent: {error}"
            raise DeliveryFailed(msg) from error
        except KafkaException as error:
            raise broker_error(error, "sending a record") from error

    def _send_plain(self, partition: int, messages: list[dict[str, Any]]) -> None:
        chunk: list[dict[str, Any]] = []
        for message in messages:
            chunk.append(message)
            self._unflushed_bytes += len(message["value"]) + len(message["key"] or b"")
            if self._unflushed_bytes > _FLUSH_BYTES:
                self._send_chunk(partition, chunk)
                chunk = []
                self._flush()
        self._send_chunk(partition, chunk)

    def _send_chunk(self, partition: int, chunk: list[dict[str, Any]]) -> None:
        if not chunk:
            return
        taken = self.producer.produce_batch(self._output, chunk, partition=partition)
        if taken != len(chunk):
            reasons = {str(message["_error"]) for message in chunk if "_error" in message}
            msg = f"{len(chunk) - taken} records were not taken: {', '.join(sorted(reasons))}"
            raise DeliveryFailed(msg)

    def _send_one(self, topic: str, partition: int, message: dict[str, Any]) -> None:
        self._unflushed_bytes += len(message["value"] or b"") + len(message["key"] or b"")
        if self._unflushed_bytes > _FLUSH_BYTES:
            self._flush()
        self.producer.produce(topic, partition=partition, **message)

    def _flush(self) -> None:
        unacknowledged = self.producer.flush(self._timeout_s)
        self._unflushed_bytes = 0
        if self._failures:
            raise DeliveryFailed(f"a record was not acknowledged: {self._failures[0]}")
        if unacknowledged:
            msg = f"{unacknowledged} records were not acknowledged within {self._timeout_s:g} s"
            raise DeliveryFailed(msg)

    def _on_delivery(self, error: KafkaError | None, _record: object) -> None:
        if error is not None:
            self._failures.append(describe_error(error))

    def forget(self) -> None:
        """Take in the reports of what an abort purged: the next batch must not get them."""
        self.producer.flush(self._timeout_s)

    def discard(self) -> None:
        """Drop the producer without waiting for anything."""
        self.producer.purge(in_queue=True, in_flight=True, blocking=False)


class ExactlyOnce:
    """Results and offsets in one Kafka transaction.

    After a timeout or an answer that was lost, the producer is discarded and made anew with the
    same transactional id: librdkafka has no way to ask what became of a transaction.
    """

    def __init__(
        self, outbox: Callable[[], Outbox], timeout_s: float, coordinator_timeout_s: float
    ) -> None:
        self._create = outbox
        self._timeout_s = timeout_s
        self._coordinator_timeout_s = coordinator_timeout_s
        self._outbox: Outbox | None = None

    def open(self) -> None:
        """Take over the transactional id: what an earlier owner left open is aborted.

        Raises:
            BrokerError: the transaction coordinator did not answer in time.

        """
        outbox = self._create()
        try:
            outbox.producer.init_transactions(self._timeout_s)
        except KafkaException as error:
            outbox.discard()
            raise broker_error(error, "opening a transactional producer") from error
        self._outbox = outbox

    def publish(self, batch: Batch, outgoing: Outgoing, stage: Stages) -> None:
        """Commit a batch's results and offsets, or undo them."""
        outbox = self._outbox
        if outbox is None:
            raise OutcomeUnknown("there is no producer: open it first")
        try:
            with stage("publish"):
                outbox.producer.begin_transaction()
                outbox.send(outgoing)
        except (KafkaException, BrokerError) as error:
            raise self._abort(outbox, error) from error
        try:
            with stage("commit"):
                self._send_offsets(outbox, batch)
                outbox.producer.commit_transaction(self._timeout_s)
        except KafkaException as error:
            if error.args[0].txn_requires_abort():
                raise self._abort(outbox, error) from error
            raise self._give_up(outbox, error) from error

    def _send_offsets(self, outbox: Outbox, batch: Batch) -> None:
        """Add the offsets to the transaction, in a thread that is left behind if it hangs.

        librdkafka ignores this call's timeout while the group coordinator is away, and may never
        return from it. A new producer with the same id fences whatever it does later.
        """
        answers: queue.SimpleQueue[KafkaException | None] = queue.SimpleQueue()

        def call() -> None:
            try:
                outbox.producer.send_offsets_to_transaction(
                    offsets(batch), batch.group, self._coordinator_timeout_s
                )
            except KafkaException as error:
                answers.put(error)
            else:
                answers.put(None)

        threading.Thread(target=call, name="send-offsets", daemon=True).start()
        try:
            answer = answers.get(timeout=self._coordinator_timeout_s + _GRACE_S)
        except queue.Empty:
            self._outbox = None
            outbox.discard()
            msg = f"the group coordinator took no offsets in {self._coordinator_timeout_s:g} s"
            raise OutcomeUnknown(msg) from None
        if answer is not None:
            raise answer

    def close(self) -> None:
        """Abort what is open, within the deadline."""
        if self._outbox is None:
            return
        outbox, self._outbox = self._outbox, None
        outbox.discard()
        try:
            outbox.producer.abort_transaction(self._timeout_s)
        except KafkaException:
            # Nothing was open, or the broker is away and will abort it at its timeout.
            return

    def _abort(self, outbox: Outbox, error: Exception) -> BrokerError:
        try:
            outbox.producer.abort_transaction(self._timeout_s)
            outbox.forget()
        except (KafkaException, SystemError) as second:
            return self._give_up(outbox, second)
        told = _told(error)
        return BatchUndone(f"the transaction was aborted: {told}", hint=told.hint)

    def _give_up(self, outbox: Outbox, error: Exception) -> BrokerError:
        self._outbox = None
        outbox.discard()
        told = _told(error)
        if isinstance(told, Fenced):
            return told
        msg = f"what became of the transaction is not known: {told}"
        return OutcomeUnknown(msg, hint=told.hint)


class AtLeastOnce:
    """Results first, then the offsets: a crash between the two repeats results, and loses none."""

    def __init__(self, outbox: Callable[[], Outbox], commit: CommitOffsets) -> None:
        self._create = outbox
        self._commit = commit
        self._outbox: Outbox | None = None

    def open(self) -> None:
        """Make the producer."""
        self._outbox = self._create()

    def publish(self, batch: Batch, outgoing: Outgoing, stage: Stages) -> None:
        """Send a batch's results, then commit its offsets."""
        outbox = self._outbox
        if outbox is None:
            raise OutcomeUnknown("there is no producer: open it first")
        try:
            with stage("publish"):
                outbox.send(outgoing)
            with stage("commit"):
                self._commit(offsets(batch))
        except KafkaException as error:
            told = _told(error)
            raise BatchUndone(f"offsets were not committed: {told}", hint=told.hint) from error
        except BrokerError as error:
            # What is still on its way would arrive behind its own repetition.
            self._outbox = None
            outbox.discard()
            raise OutcomeUnknown(str(error), hint=error.hint) from error

    def close(self) -> None:
        """Drop the producer: every batch was flushed already."""
        if self._outbox is not None:
            self._outbox.discard()
            self._outbox = None


def offsets(batch: Batch) -> list[TopicPartition]:
    """Where the group stands once the batch is done."""
    following: Mapping[int, int] = batch.following
    return [TopicPartition(batch.topic, partition, at) for partition, at in following.items()]


def _told(error: Exception) -> BrokerError:
    """An error in our own words, with its hint."""
    if isinstance(error, BrokerError):
        return error
    if isinstance(error, KafkaException):
        return broker_error(error, "writing a batch")
    return BrokerError(str(error))
