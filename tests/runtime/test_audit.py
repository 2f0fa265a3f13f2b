"""The audit on a real broker: it reads all that is committed, and tells what is wrong with it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import Producer

from model.errors import BrokerError, MissingTopics
from runtime.audit import audit_topics
from runtime.clients import open_producer, producer_properties
from runtime.dead_letter import Failure, write_headers
from runtime.settings import Settings
from runtime.topics import Topic, create_topics, dead_letter_topic

TIMEOUT_S = 20.0
Source = tuple[int, int]


@dataclass(frozen=True)
class Stream:
    """Three topics of two partitions each."""

    settings: Settings
    source: str
    output: str
    dead_letters: str

    def prediction(self, source: Source, *, topic: str | None = None) -> bytes:
        where = {"topic": topic or self.source, "partition": source[0], "offset": source[1]}
        return json.dumps({"id": "x", "prediction": 1.5, "source": where}).encode()

    def headers(self, source: Source) -> list[tuple[str, bytes | None]]:
        failure = Failure(
            *(self.source, source[0], source[1], 0, "group", "decode", "not_json", "not JSON"),
            *("m", "1", 1, "2013-12-01T10:15:00Z"),
        )
        return write_headers([("traceparent", b"00-1")], failure)

    @contextmanager
    def transaction(self, *, commit: bool = True) -> Iterator[Producer]:
        producer = open_producer(
            producer_properties(self.settings, extra={"transactional.id": self.output})
        )
        producer.init_transactions(TIMEOUT_S)
        producer.begin_transaction()
        yield producer
        assert producer.flush(TIMEOUT_S) == 0
        if commit:
            producer.commit_transaction(TIMEOUT_S)
        else:
            producer.abort_transaction(TIMEOUT_S)

    def publish(self, partition: int, values: Sequence[bytes | None]) -> None:
        with self.transaction() as producer:
            for value in values:
                producer.produce(self.source, value, partition=partition)

    def predict(self, partition: int, sources: Sequence[Source]) -> None:
        with self.transaction() as producer:
            for source in sources:
                producer.produce(self.output, self.prediction(source), partition=partition)

    def bury(self, sources: Sequence[Source]) -> None:
        with self.transaction() as producer:
            for source in sources:
                producer.produce(
                    self.dead_letters,
                    b"{",
                    partition=source[0],
                    headers=self.headers(source),  # type: ignore[arg-type] # its lists are invariant
                )


@pytest.fixture
def stream(kafka: Any) -> Stream:
    settings: Settings = kafka.settings()
    source, output = kafka.topic(partitions=2), kafka.topic(partitions=2)
    dead_letters = dead_letter_topic(settings, source)
    create_topics(settings, [Topic(dead_letters, 2, 1)])
    return Stream(settings, source, output, dead_letters)


def test_a_stream_that_kept_its_promise(stream: Stream) -> None:
    """Transaction markers, aborted and unfinished transactions and tombstones mislead nobody."""
    # given events in two transactions a partition, so that offset 3 is a marker
    stream.publish(0, [b"{}", b"{", None])
    stream.publish(0, [b"{}"])
    stream.publish(1, [b"{}"])
    # when they are answered once for all to see, and once more in what was aborted
    stream.predict(0, [(0, 0)])
    stream.bury([(0, 1)])
    with stream.transaction(commit=False) as producer:
        producer.produce(stream.output, stream.prediction((0, 0)), partition=0)
        producer.produce(stream.source, b"{}", partition=0)
    stream.predict(0, [(0, 4)])
    stream.predict(1, [(1, 0)])
    with stream.transaction(commit=False) as producer:
        producer.produce(stream.output, stream.prediction((1, 0)), partition=1)
        producer.produce(stream.source, b"{}", partition=1)
        assert producer.flush(TIMEOUT_S) == 0
        # then each event has one answer, while that transaction is still open
        audit = audit_topics(
            stream.settings, source=stream.source, output=stream.output, timeout_s=TIMEOUT_S
        )
    assert audit.ok, audit.describe()
    assert (audit.events, audit.predictions, audit.dead_letters) == (4, 3, 1)
    assert audit.tombstones == 1


def test_each_defect_is_found_and_named(stream: Stream) -> None:
    """A broken stream is told apart: lost, doubled, unknown, out of order and misplaced."""
    stream.publish(0, [b"{}"] * 5)
    stream.publish(1, [b"{}"] * 2)
    stream.predict(0, [(0, 0), (0, 2), (0, 1), (0, 1)])
    stream.predict(1, [(0, 4), (1, 9)])
    stream.bury([(0, 0), (1, 1)])
    audit = audit_topics(
        stream.settings, source=stream.source, output=stream.output, timeout_s=TIMEOUT_S
    )
    assert not audit.ok
    assert audit.examples == {
        "out_of_order": (f"{stream.output}/0/2",),
        "misplaced": (f"{stream.output}/1/0",),
        "unknown": (f"{stream.output}/1/1",),
        "lost": (f"{stream.source}/0/3", f"{stream.source}/1/0"),
        "doubled": (f"{stream.source}/0/0", f"{stream.source}/0/1"),
    }


def test_answers_that_name_no_event_of_this_topic_are_unknown(stream: Stream) -> None:
    """Another topic's predictions, unreadable ones, and dead letters without their headers."""
    stream.publish(0, [b"{}"])
    stream.predict(0, [(0, 0)])
    with stream.transaction() as producer:
        for value in (stream.prediction((0, 0), topic="another"), b"\xff", b"", None, b"[]",
                      stream.prediction((0, 2**70))):  # fmt: skip
            producer.produce(stream.output, value, partition=0)
        producer.produce(stream.dead_letters, b"{}", partition=0)
    audit = audit_topics(
        stream.settings, source=stream.source, output=stream.output, timeout_s=TIMEOUT_S
    )
    assert (audit.unknown, audit.doubled, audit.lost) == (7, 0, 0)


def test_answers_to_requests_are_left_out(stream: Stream) -> None:
    """Online predictions on the same topic answer no event of any topic: they are no defect."""
    stream.publish(0, [b"{}"])
    stream.predict(0, [(0, 0)])
    online = json.dumps({"id": "x", "prediction": 1.5, "source": {"request": "r-1", "index": 0}})
    with stream.transaction() as producer:
        producer.produce(stream.output, online.encode(), partition=1)
    audit = audit_topics(
        stream.settings, source=stream.source, output=stream.output, timeout_s=TIMEOUT_S
    )
    assert audit.ok, audit.describe()
    assert audit.predictions == 1


def test_topics_with_different_partitions_are_not_held_to_the_mapping(
    stream: Stream, kafka: Any
) -> None:
    """Where the output has another number of partitions the key decides: nothing is misplaced."""
    stream.publish(1, [b"{}"])
    wide = kafka.topic(partitions=3)
    elsewhere = Stream(stream.settings, stream.source, wide, stream.dead_letters)
    elsewhere.predict(2, [(1, 0)])
    audit = audit_topics(stream.settings, source=stream.source, output=wide, timeout_s=TIMEOUT_S)
    assert audit.ok, audit.describe()


def test_empty_topics_are_fine(stream: Stream) -> None:
    """Nothing came, nothing is missing."""
    audit = audit_topics(
        stream.settings, source=stream.source, output=stream.output, timeout_s=TIMEOUT_S
    )
    assert audit.ok
    assert audit.events == 0


def test_many_events_take_seconds(stream: Stream) -> None:
    """A hundred thousand events and their predictions are accounted for in a few seconds."""
    stream.publish(0, [b"{}"] * 100_000)
    stream.predict(0, [(0, offset) for offset in range(100_000)])
    audit = audit_topics(
        stream.settings, source=stream.source, output=stream.output, timeout_s=TIMEOUT_S
    )
    assert audit.ok, audit.describe()
    assert audit.events == 100_000


def test_a_missing_topic_is_named(stream: Stream) -> None:
    """An audit of a topic that is not there is an error, not an empty result."""
    with pytest.raises(MissingTopics, match="no-such-topic"):
        audit_topics(stream.settings, source="no-such-topic", output=stream.output)


def test_the_deadline_holds(stream: Stream) -> None:
    """What cannot be read in time ends with an error that says how much is left."""
    stream.publish(0, [b"{}"])
    with pytest.raises(BrokerError, match="within 0 s: 1 of its partitions are left"):
        audit_topics(stream.settings, source=stream.source, output=stream.output, timeout_s=0)
