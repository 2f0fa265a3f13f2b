"""Records of predictions, dead letters and outcomes, all partitions by one process; and a sample.

It knows the Kafka client; it must not know what is done with a record. Where to begin is said by
whoever keeps the offsets (monitor/join.py): the group names the reader to the cluster, and what it
commits there is for people who look.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaException,
    Message,
    TopicPartition,
)

from runtime.clients import broker_error, consumer_properties, describe_error, open_consumer
from runtime.settings import Settings

_log = structlog.get_logger("streamscore.monitor")

_MOST: Final = 5_000  # records at once
_LOOK_AHEAD: Final = {  # a sample needs no long queue
    "queued.min.messages": 1,
    "queued.max.messages.kbytes": 1_024,
    "fetch.message.max.bytes": 131_072,
}

Positions = dict[tuple[str, int], int]


class Reader:
    """Reads the partitions that there are; for one thread. `begin` is where nothing was read."""

    def __init__(self, settings: Settings, group: str, begin: str) -> None:
        self._consumer = open_consumer(
            consumer_properties(settings, group=group, extra={"auto.offset.reset": "earliest"})
        )
        self._begin = OFFSET_BEGINNING if begin == "earliest" else OFFSET_END
        self._assigned: set[tuple[str, int]] = set()

    def assign(self, topics: Mapping[str, int], wanted: Iterable[str], offsets: Positions) -> None:
        """Read all partitions of the wanted topics, from `offsets` where they are known."""
        places = {(name, number) for name in wanted for number in range(topics.get(name, 0))}
        if places <= self._assigned:
            return
        new = places - self._assigned
        self._consumer.incremental_assign(
            [
                TopicPartition(name, number, offsets.get((name, number), self._begin))
                for name, number in sorted(new)
            ]
        )
        self._assigned |= new

    def take(self, wait_s: float) -> list[Message]:
        """What is there: waits for it, not for long; errors that pass are logged."""
        if not self._assigned:
            return []
        first = self._consumer.poll(wait_s)
        if first is None:
            return []
        return _records([first, *self._consumer.consume(_MOST, 0)])

    def commit(self, offsets: Positions) -> None:
        """Tell the cluster where we are; that it is told is not waited for."""
        places = [TopicPartition(topic, number, at) for (topic, number), at in offsets.items()]
        if places:
            try:
                self._consumer.commit(offsets=places, asynchronous=True)
            except KafkaException as error:
                _log.info("offsets_not_shown", reason=describe_error(error.args[0]))

    def close(self) -> None:
        """Close the client."""
        self._consumer.close()


class Sampler:
    """Up to so many events a second, from the end of every partition in turn; for one thread."""

    def __init__(self, settings: Settings, group: str, topic: str, per_s: int) -> None:
        self._topic, self._per_s = topic, per_s
        self._allowed, self._at = 0.0, 0.0
        self._partitions = 0
        self._consumer: Consumer = open_consumer(
            consumer_properties(settings, group=f"{group}-sample", extra=_LOOK_AHEAD)
        )

    def take(self, now: float, partitions: int, ends: Callable[[int], int]) -> list[Message]:
        """The events of this moment's allowance; skips ahead where it fell behind."""
        if not self._per_s or not partitions:
            return []
        if partitions != self._partitions:
            self._consumer.assign(
                [TopicPartition(self._topic, number, OFFSET_END) for number in range(partitions)]
            )
            self._partitions = partitions
        self._allowed = min(self._per_s, self._allowed + (now - self._at) * self._per_s)
        self._at = now
        if self._allowed < 1:
            return []
        records = _records(self._consumer.consume(int(self._allowed), 0))
        self._allowed -= len(records)
        self._skip(records, ends)
        return records

    def close(self) -> None:
        """Close the client."""
        self._consumer.close()

    def _skip(self, records: list[Message], ends: Callable[[int], int]) -> None:
        """Go to the end where more than a second's allowance lies ahead: a sample is of now."""
        last = {each.partition(): each.offset() for each in records}
        for number, offset in last.items():
            if number is not None and offset is not None and ends(number) - offset > self._per_s:
                try:
                    self._consumer.seek(TopicPartition(self._topic, number, ends(number)))
                except KafkaException as error:
                    _log.debug("sample_not_moved", reason=describe_error(error.args[0]))


def _records(messages: Iterable[Message]) -> list[Message]:
    records = []
    for each in messages:
        error = each.error()
        if error is None:
            records.append(each)
        elif error.fatal():
            raise broker_error(error, "reading predictions")
        else:
            _log.info("broker_trouble", reason=describe_error(error))
    return records
