"""`streamscore dead-letters` on a real broker: read at read_committed, replay once and in full."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from dead_letters.letter import DeadLetter, Selection
from dead_letters.reader import Reader
from runtime.clients import consumer_properties, open_producer, producer_properties
from runtime.dead_letter import Failure, omit_value, write_headers
from runtime.topics import Topic, create_topics

if TYPE_CHECKING:
    from tests.conftest import CommandLine, Kafka

DEADLINE_S = 30.0
EVENT_TIME_MS = 1_385_892_900_123
PARTITIONS = 3


@dataclass(frozen=True)
class Flow:
    """A source topic with its dead-letter topic, and the command line beside them."""

    kafka: "Kafka"
    streamscore: "CommandLine"
    source: str

    @property
    def letters(self) -> str:
        return f"{self.source}.dlq"

    def run(self, *arguments: str) -> tuple[int, str, str]:
        done = self.streamscore("dead-letters", *arguments, "-b", self.kafka.bootstrap_servers)
        return done.returncode, done.stdout, done.stderr

    def json(self, *arguments: str) -> dict[str, Any]:
        code, told, error = self.run(*arguments, "--input", self.source, "--json")
        assert code == 0, error
        parsed: dict[str, Any] = json.loads(told)
        return parsed


def make_topics(kafka: "Kafka") -> str:
    source = kafka.topic(partitions=PARTITIONS)
    create_topics(kafka.settings(), [Topic(f"{source}.dlq", PARTITIONS, 1)])
    return source


@pytest.fixture
def flow(kafka: "Kafka", streamscore: "CommandLine") -> Flow:
    """Topics of the test's own, without dead letters."""
    return Flow(kafka, streamscore, make_topics(kafka))


@pytest.fixture(scope="module")
def source(kafka: "Kafka") -> str:
    """A topic with six dead letters; of a seventh the transaction was aborted, of an eighth not."""
    source = make_topics(kafka)
    with transaction(kafka, source, 6) as producer:
        for number in range(6):
            cause = ("decode", "not_json") if number == 5 else ("validate", "wrong_type")
            write(producer, source, number, stage=cause[0], code=cause[1])
    producer = begin(kafka, source)
    write(producer, source, 6)
    producer.flush(DEADLINE_S)
    producer.abort_transaction(DEADLINE_S)
    producer = begin(kafka, source)
    write(producer, source, 7)
    producer.flush(DEADLINE_S)
    return source  # the broker ends the open transaction at its timeout


@pytest.fixture
def written(kafka: "Kafka", streamscore: "CommandLine", source: str) -> Flow:
    """The six dead letters, which other tests read too."""
    return Flow(kafka, streamscore, source)


def begin(kafka: "Kafka", name: str) -> Producer:
    extra = {"transactional.id": name}
    producer = open_producer(producer_properties(kafka.settings(), extra=extra))
    producer.init_transactions(DEADLINE_S)
    producer.begin_transaction()
    return producer


@contextmanager
def transaction(kafka: "Kafka", source: str, letters: int) -> Iterator[Producer]:
    """A transaction of so many dead letters, which can be read when the block is left."""
    producer = begin(kafka, source)
    yield producer
    producer.flush(DEADLINE_S)
    producer.commit_transaction(DEADLINE_S)  # the broker may still be marking their ends
    assert len(read_back(kafka, f"{source}.dlq", letters)) == letters


def failure(source: str, number: int, **fields: Any) -> Failure:
    known: dict[str, Any] = {
        "topic": source,
        "partition": number % PARTITIONS,
        "offset": number,
        "timestamp_ms": EVENT_TIME_MS + number,
        "group": "streamscore-flight-delay",
        "stage": "validate",
        "code": "wrong_type",
        "message": f"the field 'distance' is text, number {number}",
        "model": "flight-delay",
        "version": "3",
        "attempt": 1,
        "failed_at": f"2013-12-01T10:{number:02}:00.000000Z",
    }
    return Failure(**(known | fields))


def write(producer: Producer, source: str, number: int, **fields: Any) -> None:
    producer.produce(
        f"{source}.dlq",
        f'{{"secret": {number}}}'.encode(),
        key=f"UA-{number}",
        partition=number % PARTITIONS,
        headers=list(write_headers([("raw", b"\xff")], failure(source, number, **fields))),
    )


def read_back(kafka: "Kafka", topic: str, count: int) -> list[Message]:
    """What is committed on a topic, once it is `count` events (or as far as the deadline)."""
    consumer = Consumer(consumer_properties(kafka.settings(), group="reads-back"))
    found: list[Message] = []
    deadline = time.monotonic() + DEADLINE_S
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        while len(found) < count and time.monotonic() < deadline:
            for message in consumer.consume(count, timeout=0.2):
                error = message.error()
                if error is not None:
                    raise KafkaException(error)
                found.append(message)
    finally:
        consumer.close()
    return found


def test_what_is_committed_is_listed(written: Flow) -> None:
    """What is committed is listed and counted by cause; an open transaction is not waited for."""
    told = written.json("list")

    assert told["topic"] == written.letters
    assert told["total"] == 6
    assert told["counts"] == [
        {"stage": "validate", "code": "wrong_type", "count": 5},
        {"stage": "decode", "code": "not_json", "count": 1},
    ]
    assert [each["source"]["offset"] for each in told["dead_letters"]] == [0, 1, 2, 3, 4, 5]
    assert told["dead_letters"][4]["message"] == "the field 'distance' is text, number 4"
    assert "secret" not in json.dumps(told)


def test_the_list_is_readable_off_a_terminal(written: Flow) -> None:
    """One line for each of the latest, the counts, and how many there are in all."""
    code, told, _ = written.run("list", "--topic", written.letters, "--max", "2")

    lines = told.splitlines()
    assert code == 0
    assert [line.split()[0] for line in lines[1:3]] == ["1/1", "2/1"]
    assert f"{written.source}/2/5" in lines[2]
    assert lines[-1] == f"6 dead letters on topic {written.letters}, the latest 2 are shown"


@pytest.mark.parametrize(
    ("choice", "numbers"),
    [
        (Selection(), [0, 1, 2, 3, 4, 5]),
        (Selection(codes=frozenset({"not_json"})), [5]),
        (Selection(since=datetime(2013, 12, 1, 10, 2, tzinfo=UTC)), [2, 3, 4, 5]),
        (Selection(partition=1), [1, 4]),
        (Selection(partition=1, offsets=(1, 1)), [4]),
        (Selection(offsets=(0, 0)), [0, 1, 2]),
    ],
)
def test_the_choice_narrows_the_reading(
    kafka: "Kafka", source: str, choice: Selection, numbers: list[int]
) -> None:
    """Code, time, partition and offset choose among what is there."""
    reader = Reader(kafka.settings(), f"{source}.dlq")

    letters = [each for each in reader.read(choice) if isinstance(each, DeadLetter)]

    assert sorted(letter.failure.offset for letter in letters) == numbers


def test_the_flags_make_the_choice(written: Flow) -> None:
    """All flags of the choice hold together."""
    flags = ("--code", "wrong_type", "--code", "other", "--stage", "validate", "--offset", "0-1")
    times = ("--since", "2013-12-01T10:01:00Z", "--until", "2013-12-01T10:05:00Z")

    told = written.json("list", *flags, *times, "--partition", "1")

    assert [each["source"]["offset"] for each in told["dead_letters"]] == [1, 4]


def test_one_is_shown_in_full(written: Flow) -> None:
    """Why, where, key and headers; the payload only where it is asked for."""
    told = written.json("show", "1/1")

    assert told["source"] == {
        "topic": written.source,
        "partition": 1,
        "offset": 4,
        "timestamp": "2013-12-01T10:15:00.127Z",
    }
    assert (told["key"], told["attempt"], told["group"]) == ("UA-4", 1, "streamscore-flight-delay")
    assert told["headers"] == [{"name": "raw", "value": {"base64": "/w=="}}]
    assert "payload" not in told
    assert written.json("show", "1/1", "--payload")["payload"] == '{"secret": 4}'


def test_show_is_readable_off_a_terminal(written: Flow) -> None:
    """Fields stand one on a line, and the payload stays out unless it is asked for."""
    _, told, _ = written.run("show", "1/1", "--topic", written.letters)
    _, more, _ = written.run("show", "1/1", "--topic", written.letters, "--payload")

    assert "the field 'distance' is text, number 4" in told
    assert "13 bytes" in told
    assert "secret" not in told
    assert '{"secret": 4}' in more


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("show", "1/77"), 1, "whose offsets are 0 to "),
        (("list", "--since", "soon"), 2, "no point in time"),
        (("list", "--topic", "a", "--input", "b"), 2, "give one of them"),
    ],
)
def test_what_cannot_be_read_is_told(
    written: Flow, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """Wrong usage ends with 2, what is not there with 1, and both say what to do."""
    topic = () if "--topic" in arguments else ("--topic", written.letters)
    returned, _, error = written.run(*arguments, *topic)

    assert returned == code
    assert says in error


def test_a_dry_run_sends_nothing(written: Flow) -> None:
    """It tells what would be replayed, and the source topic stays as it is."""
    told = written.json("replay", "--code", "wrong_type", "--dry-run")

    assert (told["dry_run"], told["replayed"], told["left"]) == (True, 5, {})
    assert told["sources"] == {written.source: 5}
    consumer = Consumer(consumer_properties(written.kafka.settings(), group="reads-back"))
    try:
        ends = [
            consumer.get_watermark_offsets(TopicPartition(written.source, partition), timeout=10)
            for partition in range(PARTITIONS)
        ]
    finally:
        consumer.close()
    assert ends == [(0, 0)] * PARTITIONS


def test_events_go_back_as_they_were(flow: Flow) -> None:
    """Key, value, partition and own headers return, at the second attempt, dated now.

    With the time that it had, an old event would count as expired on a topic that keeps events for
    some days, and could be deleted before it is scored.
    """
    with transaction(flow.kafka, flow.source, 6) as producer:
        for number in range(6):
            write(producer, flow.source, number, code="wrong_type" if number < 5 else "not_json")

    told = flow.json("replay", "--code", "wrong_type")

    assert (told["replayed"], told["left"]) == (5, {})
    messages = read_back(flow.kafka, flow.source, 5)
    messages.sort(key=lambda message: message.key() or b"")
    assert [message.value() for message in messages] == [b'{"secret": %d}' % n for n in range(5)]
    assert [message.key() for message in messages] == [b"UA-%d" % n for n in range(5)]
    assert [message.partition() for message in messages] == [0, 1, 2, 0, 1]
    assert all(time.time() - 600 < message.timestamp()[1] / 1000 for message in messages)
    for message in messages:
        assert message.headers() == [("raw", b"\xff"), ("__streamscore.attempt", b"2")]


def test_what_cannot_go_back_is_left_and_told(flow: Flow) -> None:
    """At the cap, without its value, without a source topic, or no dead letter at all."""
    with transaction(flow.kafka, flow.source, 5) as producer:
        write(producer, flow.source, 0)
        write(producer, flow.source, 1, attempt=3)
        write(producer, flow.source, 2, topic="no-such")
        headers = omit_value(write_headers(None, failure(flow.source, 3)), 2_000_000)
        producer.produce(flow.letters, None, partition=0, headers=list(headers))
        producer.produce(flow.letters, b"{}", partition=0)

    told = flow.json("replay")
    code, text, _ = flow.run("replay", "--input", flow.source, "--dry-run", "--max-attempts", "4")

    assert told["replayed"] == 1
    assert told["left"] == {
        "at_cap": 1,
        "no_source_topic": 1,
        "value_omitted": 1,
        "not_a_dead_letter": 1,
    }
    assert told["omitted"] == [f"{flow.source}/0/3"]
    assert code == 0
    assert text.splitlines()[:2] == [
        "2 dead letters would be replayed",
        f"  2 to topic {flow.source}",
    ]
    assert f"{flow.source}/0/3 is where the whole event stands" in text


def test_more_than_a_chunk_is_replayed_once_each(flow: Flow) -> None:
    """Thousands of dead letters go back in several transactions, each letter once."""
    with transaction(flow.kafka, flow.source, 2_500) as producer:
        for number in range(2_500):
            write(producer, flow.source, number, failed_at="2013-12-01T10:00:00Z")

    assert flow.json("replay")["replayed"] == 2_500
    keys = [message.key() for message in read_back(flow.kafka, flow.source, 2_500)]
    assert sorted(keys, key=lambda key: key or b"") == sorted(b"UA-%d" % n for n in range(2_500))


def test_a_dead_letter_of_the_service_comes_back_at_its_next_attempt(
    flow: Flow, flight_store: Path
) -> None:
    """What the scoring service writes is listed, replayed, and fails again as attempt two."""
    predictions = flow.kafka.topic(partitions=PARTITIONS)
    broker = ("-b", flow.kafka.bootstrap_servers)
    flow.streamscore(
        "produce", "-", "--topic", flow.source, *broker, input=b'{"id": "a", "distance": "far"}\n'
    )
    flow.streamscore.start(
        "consume",
        *("--input", flow.source, "--output", predictions, "--model", "flight-delay"),
        *("--store", str(flight_store), "--group", flow.source, "--health-port", "0", *broker),
    )
    assert len(read_back(flow.kafka, flow.letters, 1)) == 1

    first = flow.json("list")["dead_letters"][0]
    assert (first["stage"], first["model"], first["attempt"]) == ("validate", "flight-delay", 1)
    assert flow.json("replay")["replayed"] == 1

    messages = read_back(flow.kafka, flow.letters, 2)
    attempts = sorted(each["attempt"] for each in flow.json("list")["dead_letters"])
    assert [message.value() for message in messages] == [b'{"id": "a", "distance": "far"}'] * 2
    assert attempts == [1, 2]
    assert flow.json("replay", "--max-attempts", "2")["left"] == {"at_cap": 1}
    replayed = read_back(flow.kafka, flow.source, 3)
    headers = [message.headers() or [] for message in replayed]
    assert headers == [[], [("__streamscore.attempt", b"2")], [("__streamscore.attempt", b"2")]]
