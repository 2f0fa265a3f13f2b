"""Online answers on the prediction topic: they get there, and nobody waits for them."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from demo.flights import MODEL, december_events, load_flights
from model.errors import MissingTopics
from producer import Publisher
from runtime.broker import EmbeddedBroker
from runtime.clients import consumer_properties, open_consumer
from runtime.telemetry import PUBLISHED, PublishMetrics
from serving.publish import AnswerPublisher, Message, OnDelivery, publishing
from subscriber import Subscription
from subscriber.prediction import Source

if TYPE_CHECKING:
    from tests.conftest import CommandLine

DEADLINE_S = 60.0
FATAL = KafkaError(KafkaError._FATAL)
FULL = KafkaError(KafkaError._QUEUE_FULL)


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S:g} s: {what}"
        time.sleep(0.01)


def online(number: int) -> bytes:
    source = {"request": f"r-{number}", "index": 0}
    return json.dumps({"id": str(number), "prediction": 1.5, "source": source}).encode()


class Counted:
    """The metrics of a publisher, and what they say."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = PublishMetrics(self.registry)

    def __getitem__(self, result: str) -> int:
        name = "streamscore_published_predictions_total"
        value = self.registry.get_sample_value(name, {"result": result})
        assert value is not None
        return int(value)

    @property
    def settled(self) -> int:
        return sum(self[result] for result in PUBLISHED)


@pytest.fixture
def counted() -> Counted:
    return Counted()


def read(settings: Any, topic: str, count: int) -> list[Any]:
    consumer = open_consumer(consumer_properties(settings, group=f"reader-of-{topic}"))
    consumer.subscribe([topic])
    records: list[Any] = []
    deadline = time.monotonic() + DEADLINE_S
    try:
        while len(records) < count:
            assert time.monotonic() < deadline, f"{len(records)} of {count} records on {topic}"
            records += consumer.consume(1000, 0.1)
    finally:
        consumer.close()
    assert [record.error() for record in records] == [None] * len(records)
    return records


def test_answers_come_to_the_topic_with_their_ids_as_keys(kafka: Any, counted: Counted) -> None:
    """Value and key byte for byte, headers where there are some; all counted as delivered."""
    topic, settings = kafka.topic(partitions=2), kafka.settings()
    trace = [("traceparent", b"00-1-1-01")]
    with publishing(settings, topic, counted.metrics, drain_s=10.0) as publisher:
        publisher.offer([online(1), online(2)], ["1", "ü"])
        publisher.offer([online(3)], ["3"], trace)
        wait_until(lambda: counted["delivered"] == 3, "all are delivered")
    records = read(settings, topic, 3)
    found = {record.key(): (record.value(), record.headers()) for record in records}
    assert found == {
        b"1": (online(1), None),
        "ü".encode(): (online(2), None),
        b"3": (online(3), trace),
    }
    assert counted.settled == 3


def test_a_subscriber_reads_online_and_streamed_predictions_alike(
    kafka: Any, flight_store: Path, streamscore: "CommandLine", counted: Counted
) -> None:
    """Both on one topic: the same flight, the same score; only their sources differ."""
    source, output = kafka.topic(), kafka.topic()
    env = {
        "STREAMSCORE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "STREAMSCORE_STORE": str(flight_store),
    }
    topics = ("--input", source, "--output", output)
    assert streamscore("topics", "create", *topics, env=env).returncode == 0
    flight = next(iter(december_events(load_flights())))
    with Publisher(source, settings=kafka.settings()) as events:
        events.send(flight, key=flight["id"])
    streamscore.start("consume", "--model", f"{MODEL}@champion", *topics, env=env)
    options = {"settings": kafka.settings(), "timeout_s": DEADLINE_S}
    with Subscription(output, group="first", max=1, **options) as predictions:
        (streamed,) = predictions
    answer = json.loads(streamed.value) | {"source": {"request": "r-1", "index": 0}}
    with publishing(kafka.settings(), output, counted.metrics, drain_s=30.0) as publisher:
        publisher.offer([json.dumps(answer).encode()], [answer["id"]])
    with Subscription(output, group="second", max=2, **options) as predictions:
        read_again, online = predictions
    assert read_again.source == streamed.source
    assert online.source == Source(request="r-1", index=0)
    assert (online.id, online.prediction) == (streamed.id, streamed.prediction)
    assert (online.key, streamed.key) == (flight["id"].encode(), flight["id"].encode())


def test_a_stop_drains_what_was_taken_over(kafka: Any, counted: Counted) -> None:
    """What was offered before the stop is on the topic after it; what comes later is dropped."""
    topic, settings = kafka.topic(), kafka.settings()
    with publishing(settings, topic, counted.metrics, drain_s=30.0) as publisher:
        publisher.offer([online(n) for n in range(5000)], [str(n) for n in range(5000)])
    publisher.offer([online(5000)], ["5000"])
    assert (counted["delivered"], counted["dropped"], counted["failed"]) == (5000, 1, 0)
    assert len(read(settings, topic, 5000)) == 5000


def test_a_missing_topic_is_told_at_the_start(kafka: Any, counted: Counted) -> None:
    """A wrong name is not found out by the subscribers."""
    with (
        pytest.raises(MissingTopics, match="nowhere"),
        publishing(kafka.settings(), "nowhere", counted.metrics, 1.0),
    ):
        pass


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(data=tmp_path / "broker") as broker:
        yield broker


def test_a_broker_that_is_killed_and_comes_back(
    kafka: Any, broker: EmbeddedBroker, counted: Counted
) -> None:
    """Nobody waits or fails meanwhile; what found room follows, what did not is told."""
    there = type(kafka)(broker.bootstrap_servers)
    topic = there.topic()
    room = 500
    settings = there.settings(
        kafka={"queue.buffering.max.messages": str(room), "reconnect.backoff.max.ms": "500"}
    )
    with capture_logs() as logs, publishing(settings, topic, counted.metrics, 20.0) as publisher:
        publisher.offer([online(0)], ["0"])
        wait_until(lambda: counted["delivered"] == 1, "the first one is delivered")
        broker.kill()
        offered = 1
        while counted["dropped"] < 1000:
            publisher.offer([online(offered)] * 10, [str(offered)] * 10)
            offered += 10
            time.sleep(0.001)
        broker.start()
        wait_until(lambda: counted.settled == offered, "all are settled")
        publisher.offer([online(offered)], ["last"])
        wait_until(lambda: counted["dropped"] + counted["delivered"] > offered, "the last one, too")
    assert counted["failed"] == 0
    assert counted["delivered"] >= room
    records = read(settings, topic, counted["delivered"])
    assert len(records) == counted["delivered"]
    assert records[-1].key() == b"last"
    told = [entry for entry in logs if entry["event"] == "predictions_not_published"]
    assert sum(entry["count"] for entry in told) == counted["dropped"]
    assert {entry["topic"] for entry in told} == {topic}


def test_a_broker_that_is_away_at_the_start_is_no_reason_not_to_start(counted: Counted) -> None:
    """Answers are given all the same, and the stop keeps its deadline; what is left has failed."""
    from runtime.settings import load_settings  # noqa: PLC0415

    overrides = {"bootstrap_servers": "127.0.0.1:1", "broker_timeout_s": 0.5}
    settings = load_settings(overrides, environ={}, directory=Path("/nowhere"))
    with (
        capture_logs() as logs,
        publishing(settings, "predictions", counted.metrics, drain_s=0.2) as publisher,
    ):
        publisher.offer([online(1), online(2)], ["1", "2"])
    assert counted["failed"] == 2
    events = [entry["event"] for entry in logs]
    assert "broker_unreachable" in events
    assert "predictions_not_published" in events


class FakeClient:
    """Takes records until it is full or broken."""

    def __init__(self, on_delivery: OnDelivery, refusal: KafkaError | None) -> None:
        self.on_delivery = on_delivery
        self.refusal = refusal
        self.taken: list[Message] = []

    def produce_batch(self, _topic: str, messages: list[Message], /) -> int:
        if self.refusal is None:
            self.taken += messages
            return len(messages)
        for message in messages:
            message["_error"] = self.refusal
        return 0

    def produce(self, topic: str, **message: Any) -> None:
        if self.refusal is not None:
            raise BufferError if self.refusal is FULL else KafkaException(self.refusal)
        self.produce_batch(topic, [message])

    def poll(self, _timeout: float, /) -> int:
        for _ in self.taken:
            self.on_delivery(None, None)
        count, self.taken = len(self.taken), []
        return count

    def flush(self, timeout: float, /) -> int:
        self.poll(timeout)
        return 0

    def purge(self) -> None:
        """Nothing is under way."""


HEADERS = [[], [("traceparent", b"00-1")]]


@pytest.mark.parametrize("headers", HEADERS)
def test_after_a_fatal_error_a_new_client_goes_on(counted: Counted, headers: Any) -> None:
    """What the broken one refused is sent by its successor: nothing is lost."""
    refusals = [FATAL, None]

    def connect(on_delivery: OnDelivery) -> FakeClient:
        return FakeClient(on_delivery, refusals.pop(0))

    publisher = AnswerPublisher("predictions", connect, counted.metrics)
    publisher.offer([online(1), online(2)], ["1", "2"], headers)
    publisher.start()
    publisher.stop(5.0)
    assert refusals == []
    assert (counted["delivered"], counted.settled) == (2, 2)


@pytest.mark.parametrize("headers", HEADERS)
def test_what_a_full_client_does_not_take_is_dropped(counted: Counted, headers: Any) -> None:
    """New records give way, not those that wait already: and the cause is told."""
    publisher = AnswerPublisher("predictions", lambda _: FakeClient(_, FULL), counted.metrics)
    publisher.offer([online(1), online(2)], ["1", "2"], headers)
    with capture_logs() as logs:
        publisher.start()
        publisher.stop(5.0)
    assert (counted["dropped"], counted.settled) == (2, 2)
    (entry,) = logs
    assert (entry["count"], entry["topic"]) == (2, "predictions")


def test_the_buffer_is_bounded(counted: Counted) -> None:
    """However much is offered while nothing goes out."""
    publisher = AnswerPublisher(
        "predictions", lambda _: FakeClient(_, None), counted.metrics, room=3
    )
    for number in range(4):
        publisher.offer([online(number)] * 2, [str(number)] * 2)
    assert (counted["dropped"], counted.settled) == (5, 5)
    publisher.start()
    publisher.stop(5.0)
    assert (counted["delivered"], counted.settled) == (3, 8)


def test_losses_are_told_at_a_bounded_rate(counted: Counted) -> None:
    """One line for many losses, with their number; then none for a while."""
    clock = [0.0]
    with capture_logs() as logs:
        publisher = AnswerPublisher(
            "predictions", lambda _: FakeClient(_, FULL), counted.metrics, now=lambda: clock[0]
        )
        publisher.start()
        for number in range(1, 101):
            publisher.offer([online(number)], [str(number)])
            wait_until(lambda at=number: counted["dropped"] == at, "it is dropped")  # type: ignore[misc]
        wait_until(lambda: len(logs) == 1, "the first loss is told")
        clock[0] = 11.0
        wait_until(lambda: len(logs) == 2, "those since are told")
        publisher.stop(5.0)
    assert [entry["count"] for entry in logs] == [logs[0]["count"], 100 - logs[0]["count"]]
    assert len(logs) == 2
