"""Records off a prediction topic, for one thread: with a group that commits, or without a group.

It knows the Kafka client; it must not know what a prediction is or what is done with it.

A group's offset is committed when `done` was told about everything before it, never earlier: after
a crash the rest is delivered again. When partitions move to another member, what is done on them is
committed first.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from runtime.clients import broker_error, consumer_properties, describe_error, open_consumer
from runtime.settings import Settings
from runtime.topics import require_topics
from subscriber.log import log
from subscriber.progress import Progress
from subscriber.source import END, MOVED, PASSING, Record, Source, number

Start = Literal["earliest", "latest"]

_ANONYMOUS: Final = "streamscore-subscribe-anonymous"  # librdkafka wants a name; it stays unused
_READING: Final = {
    "auto.offset.reset": "earliest",  # also where retention has passed the committed offset
    "enable.partition.eof": True,  # tells that all was read; the lag is 0 then
}
_AFTER_REACTION_S: Final = 60.0  # to fetch, commit and poll again after the longest reaction


class Reader(Protocol):
    """Where a subscription gets its records from."""

    def poll(self, timeout_s: float) -> Record | None:
        """Give the next record, None when there was none in time; BrokerError."""

    def settled(self) -> bool:
        """Tell whether a partition has answered, with a record or that there is none."""

    def done(self, partition: int, next_offset: int) -> None:
        """Note that all before `next_offset` is done."""

    def close(self) -> None:
        """Commit what is done and leave; BrokerError where that failed."""


class AnonymousReader:
    """Reads all partitions that the topic has now, in no group, and commits nothing."""

    def __init__(self, settings: Settings, topic: str, start: Start) -> None:
        partitions = require_topics(settings, [topic])[topic]
        properties = consumer_properties(settings, group=_ANONYMOUS, extra=_READING)
        self._source = Source(open_consumer(properties), topic, settings.broker_timeout_s)
        ends = self._source.ends(partitions) if start == "latest" else {}
        self._source.consumer.assign(
            [
                TopicPartition(topic, each, ends.get(each, OFFSET_BEGINNING))
                for each in range(partitions)
            ]
        )

    def poll(self, timeout_s: float) -> Record | None:
        """Give the next record, None when there was none in time; BrokerError."""
        return self._source.poll(timeout_s, self._failed)

    def settled(self) -> bool:
        """Tell whether a partition has answered, with a record or that there is none."""
        return self._source.answered

    def done(self, partition: int, next_offset: int) -> None:
        """Do nothing: without a group there is nothing to commit."""

    def close(self) -> None:
        """Close the client."""
        self._source.consumer.close()

    def _failed(self, error: KafkaError, _message: Message) -> None:
        if error.name() not in {END, "GROUP_AUTHORIZATION_FAILED"}:  # the group stays unused
            self._source.pass_over(error)


class GroupReader:
    """Reads the partitions that the group gives it, and commits what is done.

    Where the group has committed nothing yet it begins at `start`; "latest" is the end of the topic
    as this reader was made, and a partition that was added later is read from its beginning.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        start: Start,
        *,
        group: str,
        longest_reaction_s: float = 0.0,
    ) -> None:
        partitions = require_topics(settings, [topic])[topic]
        self._group = group
        self._topic = topic
        self._timeout_s = settings.broker_timeout_s
        self._progress = Progress()
        self._source = Source(
            open_consumer(_group_properties(settings, group, longest_reaction_s)),
            topic,
            settings.broker_timeout_s,
        )
        self._ends = self._source.ends(partitions) if start == "latest" else None
        self._source.consumer.subscribe(
            [topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )

    def poll(self, timeout_s: float) -> Record | None:
        """Give the next record, None when there was none in time; BrokerError."""
        self._commit_if_due()
        return self._source.poll(timeout_s, self._failed)

    def settled(self) -> bool:
        """Tell whether a partition has answered, with a record or that there is none."""
        return self._source.answered

    def done(self, partition: int, next_offset: int) -> None:
        """Note that all before `next_offset` is done; it is committed soon."""
        self._progress.done(partition, next_offset, time.monotonic())

    def close(self) -> None:
        """Commit what is done and leave the group; BrokerError where the commit failed."""
        try:
            self._commit(self._progress.pending(), passing=MOVED)
        finally:
            self._source.consumer.close()

    def _failed(self, error: KafkaError, message: Message) -> None:
        if error.name() == END:
            # All before it was handed out and is done; the rest are markers of transactions.
            self.done(number(message.partition()), number(message.offset()))
        else:
            self._source.pass_over(error)

    def _commit_if_due(self) -> None:
        if self._progress.due(time.monotonic()):
            self._commit(self._progress.pending(), passing=MOVED | PASSING)

    def _commit(self, offsets: Mapping[int, int], *, passing: frozenset[str]) -> None:
        """Commit and wait for the answer; librdkafka bounds that by the session timeout."""
        if not offsets:
            return
        try:
            self._send(offsets)
        except KafkaException as exception:
            error = exception.args[0]
            if error.name() not in passing:
                raise broker_error(
                    error, f"committing offsets of the group {self._group}"
                ) from exception
            log(
                logging.WARNING, "commit_postponed", group=self._group, reason=describe_error(error)
            )
            self._progress.postpone(time.monotonic())
        else:
            self._progress.committed(offsets)

    def _send(self, offsets: Mapping[int, int]) -> None:
        wanted = [TopicPartition(self._topic, each, offsets[each]) for each in offsets]
        answers = self._source.consumer.commit(offsets=wanted, asynchronous=False)
        for answer in answers or ():
            if answer.error is not None:
                raise KafkaException(answer.error)

    def _assigned(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        log(logging.INFO, "partitions_assigned", group=self._group, partitions=_numbers(partitions))
        if self._ends is None or not partitions:
            return
        committed = consumer.committed(list(partitions), timeout=self._timeout_s)
        # Committed at once: a restart before the first prediction must not skip what came between.
        begin = {
            each.partition: self._ends.get(each.partition, 0)
            for each in committed
            if each.offset < 0
        }
        self._commit(begin, passing=frozenset())

    def _revoked(self, _consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        log(logging.INFO, "partitions_revoked", group=self._group, partitions=_numbers(partitions))
        mine = {each.partition for each in partitions}
        pending = self._progress.pending()
        self._commit(
            {each: pending[each] for each in pending if each in mine}, passing=MOVED | PASSING
        )
        self._progress.forget(mine)

    def _lost(self, _consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        log(logging.WARNING, "partitions_lost", group=self._group, partitions=_numbers(partitions))
        self._progress.forget([each.partition for each in partitions])


def _group_properties(
    settings: Settings, group: str, longest_reaction_s: float
) -> dict[str, object]:
    longest_s = settings.consumer.max_poll_interval_s
    if longest_reaction_s > 0:
        longest_s = max(longest_s, longest_reaction_s + _AFTER_REACTION_S)
    extra = {**_READING, "max.poll.interval.ms": round(longest_s * 1000)}
    return consumer_properties(settings, group=group, extra=extra)


def _numbers(partitions: Sequence[TopicPartition]) -> list[int]:
    return sorted(each.partition for each in partitions)
