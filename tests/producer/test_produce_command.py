"""`streamscore produce` and the publisher on a real broker: what is sent can be read back."""

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from model.errors import DeliveryFailed, MissingTopics
from producer import Publisher
from runtime.clients import consumer_properties

if TYPE_CHECKING:
    from tests.conftest import CommandLine, Kafka

DEADLINE_S = 30.0
NOISE = random.Random(0).randbytes(10_000)  # what compression makes no smaller


def read_back(kafka: "Kafka", topic: str, count: int) -> list[Message]:
    """The first `count` events of a topic, partition by partition; fewer at the deadline."""
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
    return sorted(found, key=lambda message: (message.partition() or 0, message.offset() or 0))


def values(messages: Iterable[Message]) -> list[bytes | None]:
    return [message.value() for message in messages]


def test_lines_arrive_as_they_were_written(
    kafka: "Kafka", streamscore: "CommandLine", tmp_path: Path
) -> None:
    """Values byte for byte, the field as key, the time now; and the command says how many."""
    topic = kafka.topic()
    lines = [b'{"id": "a",  "x": 1.50}', b'{"x": 1e2, "id": "b"}']
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"\n".join(lines) + b"\n")
    before_ms = time.time() * 1000

    done = streamscore(
        "produce", str(path), "--topic", topic, "--key", "id", "-b", kafka.bootstrap_servers
    )

    assert (done.returncode, done.stdout) == (0, f"2 events acknowledged on topic {topic}\n")
    messages = read_back(kafka, topic, 2)
    assert values(messages) == lines
    assert [message.key() for message in messages] == [b"a", b"b"]
    assert all(
        before_ms - 1000 < message.timestamp()[1] < time.time() * 1000 + 1000
        for message in messages
    )


def test_events_of_one_key_share_a_partition(
    kafka: "Kafka", streamscore: "CommandLine", tmp_path: Path
) -> None:
    """Each entity's events stay in their order, whatever their number."""
    topic = kafka.topic(partitions=3)
    path = tmp_path / "events.csv"
    path.write_text("flight,n\n" + "".join(f"UA-{n % 7},{n}\n" for n in range(700)))

    done = streamscore(
        "produce",
        str(path),
        "--topic",
        topic,
        "--key",
        "flight",
        "--json",
        "-b",
        kafka.bootstrap_servers,
    )

    told = json.loads(done.stdout)
    assert (told["topic"], told["acknowledged"], told["failed"]) == (topic, 700, 0)
    messages = read_back(kafka, topic, 700)
    places = Counter((message.key(), message.partition()) for message in messages)
    assert len(places) == 7
    for key, _ in places:
        numbers = [json.loads(m.value() or b"")["n"] for m in messages if m.key() == key]
        assert numbers == sorted(numbers)
        assert len(numbers) == 100


def test_parquet_arrives_as_json(
    kafka: "Kafka", streamscore: "CommandLine", tmp_path: Path
) -> None:
    """Rows of a Parquet file arrive as objects, NaN as null."""
    topic = kafka.topic()
    path = tmp_path / "events.parquet"
    pq.write_table(pa.table({"id": ["a", "b"], "x": [1.5, float("nan")]}), path)

    done = streamscore("produce", str(path), "--topic", topic, "-b", kafka.bootstrap_servers)

    assert done.returncode == 0
    assert values(read_back(kafka, topic, 2)) == [b'{"id":"a","x":1.5}', b'{"id":"b","x":null}']


def test_standard_input_arrives_while_it_is_open(
    kafka: "Kafka", streamscore: "CommandLine"
) -> None:
    """An event on a pipe is sent at once; the end of the pipe ends the command."""
    topic = kafka.topic()
    running = streamscore.start(
        "produce", "-", "--topic", topic, "-b", kafka.bootstrap_servers, stdin=-1
    )
    if running.stdin is None:
        pytest.fail("there is no pipe to the command")

    running.stdin.write('{"n": 1}\n')
    running.stdin.flush()
    assert values(read_back(kafka, topic, 1)) == [b'{"n": 1}']
    told, _ = running.communicate('{"n": 2}\n', timeout=DEADLINE_S)

    assert (running.returncode, told) == (0, f"2 events acknowledged on topic {topic}\n")


def test_nothing_on_standard_input_is_no_error(kafka: "Kafka", streamscore: "CommandLine") -> None:
    """In a pipeline there may be nothing to send: that is done at once."""
    topic = kafka.topic()

    done = streamscore("produce", "-", "--topic", topic, "-b", kafka.bootstrap_servers, input=b"")

    assert (done.returncode, done.stdout) == (0, f"0 events acknowledged on topic {topic}\n")


def test_a_broken_line_is_named_and_what_was_before_it_is_sent(
    kafka: "Kafka", streamscore: "CommandLine", tmp_path: Path
) -> None:
    """The error names file, line and reason, and how many events before it were acknowledged."""
    topic = kafka.topic()
    path = tmp_path / "events.ndjson"
    path.write_bytes(b'{"n": 1}\n{"n": 2}\n{"n": \n{"n": 4}\n')

    done = streamscore("produce", str(path), "--topic", topic, "-b", kafka.bootstrap_servers)

    assert done.returncode == 2
    assert f"{path}, line 3 is not JSON" in done.stderr
    assert f"acknowledged on topic {topic} before it: 2" in done.stderr
    assert values(read_back(kafka, topic, 2)) == [b'{"n": 1}', b'{"n": 2}']


def test_an_event_that_the_topic_refuses_is_an_error(
    kafka: "Kafka", streamscore: "CommandLine", tmp_path: Path
) -> None:
    """A delivery that failed ends the command with 1, its count and its reason."""
    topic = kafka.topic(config={"max.message.bytes": "2000"})
    path = tmp_path / "events.ndjson"
    path.write_text(json.dumps({"text": NOISE.hex()}) + "\n")

    done = streamscore("produce", str(path), "--topic", topic, "-b", kafka.bootstrap_servers)

    assert done.returncode == 1
    assert f"1 of 1 events were not acknowledged on topic {topic}" in done.stderr
    assert "MSG_SIZE_TOO_LARGE" in done.stderr
    assert "max.message.bytes" in done.stderr


def test_a_missing_topic_is_named(
    kafka: "Kafka", streamscore: "CommandLine", tmp_path: Path
) -> None:
    """A topic that does not exist is not made: the error names it and what makes it."""
    path = tmp_path / "events.ndjson"
    path.write_text('{"n": 1}\n')

    done = streamscore("produce", str(path), "--topic", "no-such", "-b", kafka.bootstrap_servers)

    assert done.returncode == 1
    assert "no-such" in done.stderr
    assert "streamscore topics create" in done.stderr


def test_a_broker_that_does_not_answer_is_told_in_time(
    streamscore: "CommandLine", tmp_path: Path
) -> None:
    """Within 10 s the error says where a broker was looked for."""
    path = tmp_path / "events.ndjson"
    path.write_text('{"n": 1}\n')

    done = streamscore("produce", str(path), "--topic", "t", "-b", "127.0.0.1:1", timeout=25)

    assert done.returncode == 1
    assert "no broker answered at 127.0.0.1:1 within 10 s" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("none.ndjson",), "none.ndjson does not exist"),
        (("-", "--loop"), "--loop needs a file"),
        (("events.txt",), "cannot tell the format"),
        (("events.ndjson", "--rate", "0"), "--rate"),
    ],
)
def test_wrong_usage_is_told_before_a_broker_is_asked(
    streamscore: "CommandLine", arguments: tuple[str, ...], says: str
) -> None:
    """What is wrong on the command line itself ends with 2 and needs no broker."""
    (streamscore.folder / "events.txt").write_text("{}")
    (streamscore.folder / "events.ndjson").write_text("{}")

    done = streamscore("produce", *arguments, "-b", "127.0.0.1:1", timeout=10)

    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [("", "is empty"), ('{"name": "a"}\n', "line 1: the key field 'id' is missing")],
)
def test_a_file_without_events_or_keys_is_told(
    kafka: "Kafka", streamscore: "CommandLine", tmp_path: Path, content: str, says: str
) -> None:
    """An empty file, and one whose events lack the key field, end with 2."""
    path = tmp_path / "events.ndjson"
    path.write_text(content)

    done = streamscore(
        "produce", str(path), "--topic", kafka.topic(), "--key", "id", "-b", kafka.bootstrap_servers
    )

    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_loop_goes_on_until_it_is_stopped(
    kafka: "Kafka", streamscore: "CommandLine", tmp_path: Path, number: signal.Signals
) -> None:
    """`--loop` begins again at the end; a signal ends it cleanly, and everything is counted."""
    topic = kafka.topic()
    path = tmp_path / "events.ndjson"
    path.write_text('{"n": 1}\n{"n": 2}\n')
    arguments = ("produce", str(path), "--topic", topic, "--loop", "--rate", "200", "--json")
    running = streamscore.start(*arguments, "-b", kafka.bootstrap_servers)

    assert len(read_back(kafka, topic, 5)) >= 5
    running.send_signal(number)
    told, _ = running.communicate(timeout=DEADLINE_S)

    assert running.returncode == 0
    acknowledged = json.loads(told)["acknowledged"]
    sent = [
        json.loads(value or b"")["n"] for value in values(read_back(kafka, topic, acknowledged))
    ]
    assert sent == [1 + number % 2 for number in range(acknowledged)]


def test_a_file_that_was_not_sent_to_its_end_is_an_error(
    kafka: "Kafka", streamscore: "CommandLine", tmp_path: Path
) -> None:
    """A stop amid a file is clean, but a script must see that not everything was sent."""
    topic = kafka.topic()
    path = tmp_path / "events.ndjson"
    path.write_text('{"n": 1}\n' * 10_000)
    running = streamscore.start(
        "produce", str(path), "--topic", topic, "--rate", "50", "-b", kafka.bootstrap_servers
    )

    assert read_back(kafka, topic, 1)
    running.send_signal(signal.SIGTERM)
    _, told = running.communicate(timeout=DEADLINE_S)

    assert running.returncode == 1
    assert f"stopped before the end of {path}" in told
    assert f"events acknowledged on topic {topic}" in told


def test_events_from_python_arrive_with_all_their_parts(kafka: "Kafka") -> None:
    """Key, headers and time go along; leaving the block means that all were acknowledged."""
    topic = kafka.topic()
    with Publisher(topic, settings=kafka.settings(), key_field="id") as events:
        events.send(
            {"id": "a", "x": 1}, headers={"trace": b"\xff", "none": None}, timestamp_ms=5_000
        )
        events.send(b"not JSON at all", key="b")

    assert (events.acknowledged, events.failed) == (2, 0)
    first, second = read_back(kafka, topic, 2)
    assert (first.key(), first.value()) == (b"a", b'{"id":"a","x":1}')
    assert first.headers() == [("trace", b"\xff"), ("none", None)]
    assert first.timestamp()[1] == 5_000
    assert (second.key(), second.value()) == (b"b", b"not JSON at all")


def test_many_events_from_python_arrive_once_each(kafka: "Kafka") -> None:
    """More events than a batch holds all arrive, each once, in order."""
    topic = kafka.topic()
    with Publisher(topic, settings=kafka.settings()) as events:
        for number in range(20_000):
            events.send({"n": number})

    assert events.acknowledged == 20_000
    numbers = [json.loads(value or b"")["n"] for value in values(read_back(kafka, topic, 20_000))]
    assert numbers == list(range(20_000))


def test_a_topic_that_refuses_is_told_from_python(kafka: "Kafka") -> None:
    """A failed delivery comes out of the block, a missing topic out of its beginning."""
    topic = kafka.topic(config={"max.message.bytes": "500"})

    def send(to: str) -> None:
        with Publisher(to, settings=kafka.settings()) as events:
            events.send(NOISE)

    with pytest.raises(DeliveryFailed, match="1 of 1 events were not acknowledged"):
        send(topic)
    with pytest.raises(MissingTopics, match="no-such"):
        send("no-such")
