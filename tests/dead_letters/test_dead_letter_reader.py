"""Reading a dead-letter topic: from its beginning to its end at the time, and never for ever."""

from collections import deque
from dataclasses import dataclass, field

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from dead_letters.letter import DeadLetter, Foreign, Selection
from dead_letters.reader import Client, Reader
from model.errors import BrokerError, BrokerUnreachable, MissingTopics, WrongUsage
from runtime.dead_letter import Failure, write_headers
from runtime.settings import Settings

EOF = KafkaError(KafkaError._PARTITION_EOF)
TRANSPORT = KafkaError(KafkaError._TRANSPORT)
FORBIDDEN = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)


def dead_letter(partition: int, offset: int, code: str = "wrong_type") -> Message:
    failure = Failure(
        topic="flights",
        partition=partition,
        offset=offset,
        timestamp_ms=0,
        group="g",
        stage="validate",
        code=code,
        message="m",
        model="m",
        version="1",
        attempt=1,
        failed_at="2013-12-01T10:15:00Z",
    )
    headers = list(write_headers([("a", b"\xff")], failure))
    return Message("flights.dlq", partition, offset, b"k", b"{}", headers=headers)  # type: ignore[arg-type] # the stub's lists are invariant


def report(error: KafkaError, partition: int = -1, offset: int = -1001) -> Message:
    return Message("flights.dlq", partition, offset, error=error)


@dataclass
class FakeClient:
    """A consumer that gives batches of messages; then nothing, like one whose broker is away."""

    watermarks: dict[int, tuple[int, int] | None]
    batches: deque[list[Message]] = field(default_factory=deque)
    assigned: dict[int, int] = field(default_factory=dict)
    closed: bool = False
    raises: KafkaException | None = None

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float
    ) -> tuple[int, int] | None:
        return self.watermarks[partition.partition]

    def assign(self, partitions: list[TopicPartition], /) -> None:
        self.assigned = {place.partition: place.offset for place in partitions}

    def consume(self, num_messages: int, timeout: float) -> list[Message]:
        if self.raises is not None:
            raise self.raises
        return self.batches.popleft() if self.batches else []

    def close(self) -> None:
        self.closed = True


def places(client: FakeClient, selection: Selection | None = None) -> list[tuple[int, int]]:
    return [(each.partition, each.offset) for each in read(client, selection)]


def read(client: FakeClient, selection: Selection | None = None) -> list[DeadLetter | Foreign]:
    def connect(_: Settings, _topic: str) -> tuple[Client, int]:
        return client, len(client.watermarks)

    reader = Reader(Settings(broker_timeout_s=0.05), "flights.dlq", connect)
    return list(reader.read(selection or Selection()))


def test_it_reads_to_the_end_of_each_partition() -> None:
    """All records up to the ends at the beginning are read; what comes later is not."""
    client = FakeClient({0: (5, 7), 1: (0, 1), 2: (3, 3)})
    client.batches.extend(
        [[dead_letter(0, 5)], [dead_letter(1, 0), dead_letter(0, 6), dead_letter(0, 7)]]
    )

    assert places(client) == [(0, 5), (1, 0), (0, 6)]
    assert client.assigned == {0: 5, 1: 0}
    assert client.closed


def test_an_end_without_a_record_ends_the_reading() -> None:
    """The last offsets may be the ends of transactions: the client tells that there is no more."""
    client = FakeClient({0: (0, 9), 1: (0, 9)})
    client.batches.extend([[dead_letter(0, 0), report(EOF, 0, 9)], [dead_letter(1, 4)]])
    client.batches.append([report(EOF, 1, 9)])

    assert places(client) == [(0, 0), (1, 4)]


def test_an_end_before_the_end_ends_nothing() -> None:
    """A report that there is no more, from before the end that was found, is not believed."""
    client = FakeClient({0: (0, 2)})
    client.batches.extend([[report(EOF, 0, 0)], [dead_letter(0, 0), report(EOF, 0, 1)]])
    client.batches.append([dead_letter(0, 1)])

    assert places(client) == [(0, 0), (0, 1)]


def test_an_empty_topic_is_read_without_waiting() -> None:
    """Where nothing is, nothing is asked for."""
    client = FakeClient({0: (0, 0), 1: (7, 7)})

    assert places(client) == []
    assert client.assigned == {}


def test_only_what_was_asked_for_is_fetched() -> None:
    """A choice by partition and offset is looked up, not searched."""
    client = FakeClient({0: (0, 100), 1: (40, 100)})
    client.batches.append([dead_letter(1, 41), dead_letter(1, 42), dead_letter(1, 43)])

    assert places(client, Selection(partition=1, offsets=(30, 42))) == [(1, 41), (1, 42)]
    assert client.assigned == {1: 40}
    with pytest.raises(WrongUsage, match=r"flights\.dlq has no partition 2"):
        places(client, Selection(partition=2))
    assert places(client, Selection(partition=1, offsets=(7, 8))) == []


def test_others_are_left_out_and_foreign_records_are_told() -> None:
    """The choice is by cause too; what is no dead letter is handed over with its reason."""
    client = FakeClient({0: (0, 3)})
    other = Message("flights.dlq", 0, 1, None, b"who put this here?")
    client.batches.append([dead_letter(0, 0, "not_json"), other, dead_letter(0, 2)])

    letters = read(client, Selection(codes=frozenset({"not_json"})))

    assert isinstance(letters[0], DeadLetter)
    assert letters[0].headers[0] == ("a", b"\xff")
    assert letters[0].failure.code == "not_json"
    assert letters[1:] == [Foreign(0, 1, "the header __streamscore.errors.topic is missing")]


def test_a_broker_that_falls_silent_ends_the_reading() -> None:
    """When nothing comes any more, the reading ends at its deadline with what was tried."""
    client = FakeClient({0: (0, 2)})
    client.batches.append([dead_letter(0, 0)])

    with pytest.raises(BrokerUnreachable, match=r"flights\.dlq within 0\.05 s while reading it"):
        read(client)
    assert client.closed


def test_errors_that_pass_are_waited_out() -> None:
    """A lost connection is restored by the client itself: it alone ends nothing."""
    client = FakeClient({0: (0, 1)})
    client.batches.extend([[report(TRANSPORT)], [dead_letter(0, 0)]])

    assert places(client) == [(0, 0)]


def test_errors_that_stay_are_told() -> None:
    """Missing rights, and whatever the client raises, are errors with words of their own."""
    client = FakeClient({0: (0, 1)}, deque([[report(FORBIDDEN, 0)]]))
    with pytest.raises(BrokerError, match="TOPIC_AUTHORIZATION_FAILED"):
        read(client)
    assert client.closed

    client = FakeClient(
        {0: (0, 1)}, raises=KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    )
    with pytest.raises(MissingTopics, match="reading the topic"):
        read(client)
    assert client.closed


def test_an_end_that_nobody_tells_is_an_error() -> None:
    """Without an answer about the end of a partition nothing can be read."""
    with pytest.raises(BrokerUnreachable, match="finding its end"):
        read(FakeClient({0: None}))
