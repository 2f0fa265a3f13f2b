"""Takes batches of events from Kafka as a member of the group, and goes back where one failed.

It must not know what happens to the events. One thread uses it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from consumer.records import Batch
from runtime.clients import broker_error, describe_error

_log = structlog.get_logger("streamscore.consumer")

# What passes by itself; anything else that comes in a record's place stops the service.
_PASSING = {
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - librdkafka's own codes start so
    KafkaError._TRANSPORT,  # noqa: SLF001
    KafkaError._RESOLVE,  # noqa: SLF001
    KafkaError._TIMED_OUT,  # noqa: SLF001
    KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001 - it rejoins with the next poll
    KafkaError._PARTITION_EOF,  # noqa: SLF001
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError.STALE_MEMBER_EPOCH,
}


@dataclass(slots=True)
class Membership:
    """How often partitions were given out, and which were taken away during the latest `take`."""

    rebalances: int = 0
    revoked: set[int] = field(default_factory=set)


class Source:
    """A group member's view of one input topic."""

    def __init__(
        self,
        create: Callable[[], Consumer],
        topic: str,
        timeout_s: float,
        assigned: Callable[[], None] = lambda: None,
    ) -> None:
        self._consumer = create()
        self._topic = topic
        self._timeout_s = timeout_s
        self._assigned = assigned
        self.membership = Membership()
        self._consumer.subscribe(
            [topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
        )

    def take(self, limit: int, wait_s: float) -> Batch | None:
        """The events that are there: waits for the first, and never for more.

        `wait_s` bounds the wait; a signal ends it. None when nothing came.

        Raises:
            BrokerError: an error that does not pass by itself.

        """
        revoked = self.membership.revoked
        revoked.clear()
        first = self._consumer.poll(wait_s)
        if first is None:
            return None
        messages = [first, *(self._consumer.consume(limit - 1, 0) if limit > 1 else ())]
        # Asked for now, with the records in hand and the revoked ones left out below.
        group = self._consumer.consumer_group_metadata()
        records = [m for m in messages if m.error() is None or self._is_record(m)]
        if revoked:
            records = self._without_revoked(records)
        if not records:
            return None
        partitions: list[Any] = [record.partition() for record in records]
        at: list[Any] = [record.offset() for record in records]
        return Batch(self._topic, records, partitions, at, group)

    def rewind(self, batch: Batch) -> None:
        """Go back to where a batch began: its events will be taken again."""
        self._seek(batch.first)

    def resume(self, batch: Batch) -> None:
        """Go to where the group's committed offsets say that the batch's partitions stand.

        Raises:
            BrokerError: the group's coordinator did not answer in time.

        """
        first = batch.first
        wanted = [TopicPartition(self._topic, partition) for partition in first]
        try:
            committed = self._consumer.committed(wanted, self._timeout_s)
        except KafkaException as error:
            raise broker_error(error, "reading the group's committed offsets") from error
        # Without a committed offset nothing of the partition was ever done.
        self._seek(
            {p.partition: p.offset if p.offset >= 0 else first[p.partition] for p in committed}
        )

    def commit(self, positions: list[TopicPartition]) -> None:
        """Commit offsets now; raises KafkaException."""
        self._consumer.commit(offsets=positions, asynchronous=False)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _seek(self, offsets: Mapping[int, int]) -> None:
        assigned = {each.partition for each in self._consumer.assignment()}
        for partition, offset in offsets.items():
            if partition not in assigned:
                continue
            try:
                self._consumer.seek(TopicPartition(self._topic, partition, offset))
            except KafkaException as error:
                # Taken away this moment: its next owner starts at the committed offset.
                _log.info("seek_refused", partition=partition, reason=describe_error(error.args[0]))

    def _is_record(self, message: Message) -> bool:
        """Tell records from errors that pass; raises BrokerError for those that do not."""
        error = message.error()
        if error is None:
            return True
        if error.fatal() or not (error.retriable() or error.code() in _PASSING):
            raise broker_error(error, f"reading the topic {self._topic}")
        _log.warning("broker_trouble", reason=describe_error(error))
        return False

    def _without_revoked(self, records: list[Message]) -> list[Message]:
        """Leave out what another member may own by now, and read it anew where it is ours again."""
        revoked = set(self.membership.revoked)
        assigned = {each.partition for each in self._consumer.assignment()}
        again = [TopicPartition(self._topic, p) for p in revoked & assigned]
        if again:
            try:
                for place in self._consumer.committed(again, self._timeout_s):
                    start = place.offset if place.offset >= 0 else OFFSET_BEGINNING
                    self._consumer.seek(TopicPartition(self._topic, place.partition, start))
            except KafkaException as error:
                raise broker_error(error, "reading the group's committed offsets") from error
        return [record for record in records if record.partition() not in revoked]

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.membership.rebalances += 1
        self._assigned()
        _log.info("partitions_assigned", partitions=[each.partition for each in partitions])

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = [each.partition for each in partitions]
        self.membership.revoked.update(numbers)
        _log.info("partitions_revoked", partitions=numbers)
