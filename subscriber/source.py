"""A consumer and its topic: its records, its errors, and whether the broker is still there.

It knows the Kafka client; it must not know groups or what is done with a record.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from model.errors import BrokerError, BrokerUnreachable
from runtime.clients import broker_error, describe_error
from subscriber.log import log
from subscriber.progress import Watch

_PROBE_S: Final = 2.0

END: Final = "_PARTITION_EOF"  # not an error: all of a partition that is there was read

# Errors that pass: librdkafka tries again by itself, or rejoins the group at the next poll.
PASSING: Final = frozenset(
    {
        "_ALL_BROKERS_DOWN",
        "_MAX_POLL_EXCEEDED",
        "_RESOLVE",
        "_TIMED_OUT",
        "_TRANSPORT",
        "_WAIT_COORD",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "COORDINATOR_NOT_AVAILABLE",
        "NOT_COORDINATOR",
        "REQUEST_TIMED_OUT",
    }
)
# The group has moved on without us: another member is given what was not committed.
MOVED: Final = frozenset(
    {
        "_ASSIGNMENT_LOST",
        "_ILLEGAL_GENERATION",
        "FENCED_MEMBER_EPOCH",
        "ILLEGAL_GENERATION",
        "REBALANCE_IN_PROGRESS",
        "STALE_MEMBER_EPOCH",
        "UNKNOWN_MEMBER_ID",
    }
)


@dataclass(frozen=True, slots=True)
class Record:
    """A record off the topic, as it stands there."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Source:
    """One client reading one topic; for one thread."""

    def __init__(
        self, consumer: Consumer, topic: str, timeout_s: float, *, watch: Watch | None = None
    ) -> None:
        self.consumer = consumer
        self.answered = False  # a partition gave a record, or told that there is none
        self._topic = topic
        self._timeout_s = timeout_s
        self._watch = watch or Watch(time.monotonic())

    def ends(self, partitions: int) -> dict[int, int]:
        """Give the offset of each partition after all that is committed to it."""
        return {partition: self._end(partition) for partition in range(partitions)}

    def _end(self, partition: int) -> int:
        place = TopicPartition(self._topic, partition)
        try:
            found = self.consumer.get_watermark_offsets(place, timeout=self._timeout_s)
        except KafkaException as error:
            raise broker_error(error, f"finding the end of the topic {self._topic}") from error
        if found is None:
            raise BrokerUnreachable(f"no broker told the end of the topic {self._topic} in time")
        return found[1]

    def poll(
        self, timeout_s: float, failed: Callable[[KafkaError, Message], None]
    ) -> Record | None:
        """Give the next record, None when there was none in time; BrokerError.

        `failed` is told what the client reports instead of a record.
        """
        try:
            message = self.consumer.poll(timeout_s)
        except KafkaException as error:  # also out of the callbacks
            raise broker_error(error, f"reading the topic {self._topic}") from error
        now = time.monotonic()
        problem = None if message is None else message.error()
        if message is not None and problem is None:
            self._watch.heard(now)
            self.answered = True
            return _record(message)
        if message is not None and problem is not None:
            self.answered = self.answered or problem.name() == END
            failed(problem, message)
        if self._watch.due(now):
            self._ask(now)
        return None

    def pass_over(self, error: KafkaError) -> None:
        """Log an error that passes; raise BrokerError for one that doesn't."""
        if error.fatal() or not (error.retriable() or error.name() in PASSING | MOVED):
            raise broker_error(error, f"reading the topic {self._topic}")
        log(
            logging.WARNING,
            "read_failed_in_passing",
            topic=self._topic,
            reason=describe_error(error),
        )

    def _ask(self, now: float) -> None:
        try:
            topics = self.consumer.list_topics(self._topic, timeout=_PROBE_S).topics
        except KafkaException as error:
            self._watch.asked(time.monotonic())
            if self._watch.gone(now):
                raise BrokerUnreachable(
                    f"no broker has answered for {self._watch.patience_s:g} s while reading the "
                    f"topic {self._topic}: {describe_error(error.args[0])}",
                    hint="is the broker running, and is the network right?",
                ) from error
            return
        self._watch.heard(time.monotonic())
        problem = topics[self._topic].error
        if problem is not None and not problem.retriable():
            raise broker_error(problem, f"reading the topic {self._topic}")


def number(number: int | None) -> int:
    """Give a partition or offset, which the client's types call optional."""
    if number is None:
        raise BrokerError("the Kafka client gave a record without its place")
    return number


def _record(message: Message) -> Record:
    headers = message.headers() or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    return Record(
        partition=number(message.partition()),
        offset=number(message.offset()),
        key=message.key(),
        value=message.value(),
        headers=[(name, each.encode() if isinstance(each, str) else each) for name, each in pairs],
    )
