"""Read a dead-letter topic from its beginning to where it ended when the reading began.

Committed records only, without joining a group and without committing anything. Must not know the
command line or what is done with a dead letter.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from confluent_kafka import KafkaException, Message, TopicPartition

from dead_letters.letter import DeadLetter, Foreign, Selection
from model.errors import BrokerError, BrokerUnreachable, WrongUsage
from runtime.clients import consumer_properties, open_consumer, require_broker
from runtime.dead_letter import Header, NotADeadLetter, read_headers
from runtime.kafka_errors import broker_error
from runtime.settings import Settings
from runtime.topics import require_topics

if TYPE_CHECKING:
    from runtime.terminal import Bar

_AT_ONCE = 500
_POLL_S = 0.2
# librdkafka tries again by itself; when that does not help, the deadline ends it.
_PASSING = frozenset({"_ALL_BROKERS_DOWN", "_RESOLVE", "_TIMED_OUT", "_TRANSPORT"})

Span = tuple[int, int]  # the first offset, and the one after the last


class Client(Protocol):
    """What the reader needs of confluent_kafka.Consumer."""

    def get_watermark_offsets(  # noqa: D102 - confluent-kafka's own
        self, partition: TopicPartition, timeout: float
    ) -> tuple[int, int] | None: ...
    def assign(self, partitions: list[TopicPartition], /) -> None: ...  # noqa: D102
    def consume(self, num_messages: int, timeout: float) -> list[Message]: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class Reader:
    """Reads one dead-letter topic. `connect` gives the client and the number of partitions.

    Raises BrokerUnreachable, MissingTopics or another BrokerError, and WrongUsage for a partition
    that the topic does not have; every wait ends after
    `settings.broker_timeout_s`.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        connect: Callable[[Settings, str], tuple[Client, int]] | None = None,
    ) -> None:
        self.topic = topic
        self.held: dict[int, Span] = {}  # what each partition that was looked at held then
        self._settings = settings
        self._timeout_s = settings.broker_timeout_s
        self._connect = connect or _connect

    def read(
        self, selection: Selection, bar: "Bar | None" = None
    ) -> Iterator[DeadLetter | Foreign]:
        """Yield the chosen dead letters, and every foreign record where they could stand.

        `bar` is told how many offsets there are to go through, and of each record on the way.
        """
        client, count = self._connect(self._settings, self.topic)
        try:
            spans = self._spans(client, selection, count)
            if bar is not None:
                bar.expect(sum(end - begin for begin, end in spans.values()))
            for message in self._messages(client, spans):
                if bar is not None:
                    bar.advance()
                letter = _letter(message)
                if isinstance(letter, Foreign) or selection.takes(letter):
                    yield letter
        except KafkaException as error:
            raise broker_error(error, f"reading the topic {self.topic}") from error
        finally:
            client.close()

    def _spans(self, client: Client, selection: Selection, count: int) -> dict[int, Span]:
        if selection.partition is not None and selection.partition >= count:
            raise WrongUsage(
                f"the topic {self.topic} has no partition {selection.partition}",
                hint=f"its partitions are 0 to {count - 1}",
            )
        wanted = range(count) if selection.partition is None else [selection.partition]
        spans = {}
        for partition in wanted:
            place = TopicPartition(self.topic, partition)
            found = client.get_watermark_offsets(place, timeout=self._timeout_s)
            if found is None:
                raise self._silence("finding its end")
            self.held[partition] = found
            first, last = selection.offsets or (0, found[1] - 1)
            begin, end = max(found[0], first), min(found[1], last + 1)
            if begin < end:
                spans[partition] = begin, end
        return spans

    def _messages(self, client: Client, spans: Mapping[int, Span]) -> Iterator[Message]:
        ends = {partition: end for partition, (_, end) in spans.items()}
        starts = ((partition, begin) for partition, (begin, _) in spans.items())
        client.assign([TopicPartition(self.topic, partition, begin) for partition, begin in starts])
        heard_s = time.monotonic()
        while ends:
            messages = client.consume(_AT_ONCE, timeout=_POLL_S)
            for message in messages:
                if self._note(message, ends):
                    yield message
            if any(message.error() is None or _is_end(message) for message in messages):
                heard_s = time.monotonic()  # after what was done with them, however long it took
            elif time.monotonic() - heard_s > self._timeout_s:
                raise self._silence("reading it")

    def _note(self, message: Message, ends: dict[int, int]) -> bool:
        """Tell whether a record is within the spans; take off the partitions that are read.

        The last offsets of a partition may hold no record (the ends of transactions, what was
        aborted): then the client's own report tells that there is no more.
        """
        error = message.error()
        if error is not None and not _is_end(message):
            if error.fatal() or not (error.retriable() or error.name() in _PASSING):
                raise broker_error(error, f"reading the topic {self.topic}")
            return False
        partition, offset = _number(message.partition()), _number(message.offset())
        end = ends.get(partition, 0)
        following = offset if error is not None else offset + 1
        if following >= end:
            ends.pop(partition, None)
        return error is None and offset < end

    def _silence(self, doing: str) -> BrokerUnreachable:
        return BrokerUnreachable(
            f"no broker answered about the topic {self.topic} within {self._timeout_s:g} s "
            f"while {doing}",
            hint="is the broker running, and is the network right? `streamscore doctor` looks",
        )


def _connect(settings: Settings, topic: str) -> tuple[Client, int]:
    require_broker(settings)
    count = require_topics(settings, [topic])[topic]
    extra = {"enable.partition.eof": True, "auto.offset.reset": "earliest"}
    properties = consumer_properties(settings, group="streamscore-dead-letters", extra=extra)
    return open_consumer(properties), count


def _is_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.name() == "_PARTITION_EOF"


def _letter(message: Message) -> DeadLetter | Foreign:
    partition, offset = _number(message.partition()), _number(message.offset())
    headers = _headers(message)
    try:
        failure = read_headers(headers)
    except NotADeadLetter as error:
        return Foreign(partition, offset, str(error))
    return DeadLetter(partition, offset, message.key(), message.value(), headers, failure)


def _headers(message: Message) -> list[Header]:
    headers = message.headers() or []
    pairs = headers.items() if isinstance(headers, dict) else headers
    return [(name, each.encode() if isinstance(each, str) else each) for name, each in pairs]


def _number(number: int | None) -> int:
    if number is None:
        raise BrokerError("the Kafka client gave a record without its place")
    return number
