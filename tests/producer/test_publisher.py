"""The publisher: every event is acknowledged or counted as failed, and no wait is without end."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson
import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from model.errors import BrokerUnreachable, DeliveryFailed, WrongUsage
from producer import Publisher
from producer.publisher import Client, Connect, OnDelivery
from runtime.settings import Settings

TOO_LARGE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
TIMED_OUT = KafkaError(KafkaError._MSG_TIMED_OUT)
PURGED = KafkaError(KafkaError._PURGE_QUEUE)


@dataclass
class FakeClient:
    """A producer with a small queue, of which each poll delivers `per_poll` events."""

    deliver: OnDelivery | None = None
    capacity: int = 10
    per_poll: int = 1
    refused: KafkaError | None = None
    verdicts: dict[bytes, KafkaError] = field(default_factory=dict)
    sent: list[dict[str, object]] = field(default_factory=list)
    queue: deque[tuple[bytes, OnDelivery | None]] = field(default_factory=deque)

    def produce(self, topic: str, value: bytes, **parts: object) -> None:
        if self.refused is not None:
            raise KafkaException(self.refused)
        if len(self.queue) >= self.capacity:
            raise BufferError("Local: Queue full")
        self.sent.append({"topic": topic, "value": value, **parts})
        self.queue.append((value, parts["on_delivery"]))  # type: ignore[arg-type] # a callback

    def poll(self, timeout: float, /) -> int:
        for _ in range(min(self.per_poll, len(self.queue))):
            value, on_delivery = self.queue.popleft()
            self.report(on_delivery, self.verdicts.get(value))
        return 0

    def purge(self) -> None:
        self.verdicts = {value: PURGED for value, _ in self.queue}
        self.per_poll = len(self.queue)

    def report(self, on_delivery: OnDelivery | None, error: KafkaError | None) -> None:
        told = on_delivery or self.deliver
        if told is None:
            pytest.fail("nobody is told of a delivery")
        told(error, None)  # type: ignore[arg-type] # the message is not looked at

    def __len__(self) -> int:
        return len(self.queue)


def connecting(client: FakeClient) -> Connect:
    def connect(_: Settings, _topic: str, _timeout_s: float, on_delivery: OnDelivery) -> Client:
        client.deliver = on_delivery
        return client

    return connect


def publisher(
    client: FakeClient, *, key_field: str | None = None, delivery_timeout_s: float = 0.05
) -> Publisher:
    return Publisher(
        "flights",
        settings=Settings(),
        key_field=key_field,
        delivery_timeout_s=delivery_timeout_s,
        connect=connecting(client),
    )


def send_all(
    events: Publisher, values: Iterable[str], on_delivery: OnDelivery | None = None
) -> None:
    with events:
        for value in values:
            events.send(value, on_delivery=on_delivery)


def test_leaving_the_block_waits_for_every_delivery() -> None:
    """After the block, everything that was sent has been acknowledged."""
    client = FakeClient(per_poll=0)
    with publisher(client) as events:
        for number in range(5):
            events.send({"n": number})
        assert (events.acknowledged, events.waiting) == (0, 5)
        client.per_poll = 1

    assert (events.acknowledged, events.failed, events.waiting) == (5, 0, 0)


def test_events_are_sent_as_they_were_given() -> None:
    """A mapping becomes JSON, bytes and text stay; key, headers and time go along."""
    client = FakeClient()
    with publisher(client) as events:
        events.send({"id": "a", "x": float("nan")}, key="a", headers={"h": b"1"}, timestamp_ms=5)
        events.send(b"\x00 as is", headers=[("h", "1"), ("h", None)])
        events.send('{"id": "\u00e9"}', key=b"k")

    sent = [
        tuple(each[part] for part in ("value", "key", "headers", "timestamp"))
        for each in client.sent
    ]
    assert sent == [
        (b'{"id":"a","x":null}', "a", [("h", b"1")], 5),
        (b"\x00 as is", None, [("h", "1"), ("h", None)], 0),
        ('{"id": "\u00e9"}'.encode(), b"k", None, 0),
    ]


def test_a_field_can_be_the_key() -> None:
    """With `key_field` each event's own field is its key, unless one is given."""
    client = FakeClient()
    with publisher(client, key_field="id") as events:
        events.send({"id": "a"})
        events.send({"id": 7})
        events.send({"id": "a"}, key="b")
        with pytest.raises(WrongUsage, match="the key field 'id' is missing"):
            events.send({"name": "a"})
        with pytest.raises(WrongUsage, match="bytes or text needs `key=`"):
            events.send(b'{"id": "a"}')

    assert [each["key"] for each in client.sent] == [b"a", b"7", "b"]


def test_a_full_queue_blocks_until_there_is_room() -> None:
    """More events than the queue holds are all sent: `send` waits for room."""
    client = FakeClient(capacity=2, per_poll=1)
    with publisher(client) as events:
        for number in range(50):
            events.send({"n": number})

    assert [orjson.loads(each["value"])["n"] for each in client.sent] == list(range(50))  # type: ignore[arg-type] # bytes
    assert events.acknowledged == 50


def test_a_queue_that_stays_full_is_an_error() -> None:
    """When nothing is delivered, `send` gives up at its deadline and says so."""
    client = FakeClient(capacity=1, per_poll=0)

    with pytest.raises(DeliveryFailed, match=r"no room for another within 0\.05 s") as caught:
        send_all(publisher(client), ["0", "1"])
    assert "doctor" in caught.value.hint


def test_a_failed_delivery_is_an_error_with_counts_and_the_first_reason() -> None:
    """Leaving the block tells how many failed, of how many, and why the first did."""
    events = publisher(FakeClient(verdicts={b"2": TIMED_OUT, b"3": TOO_LARGE}))

    with pytest.raises(DeliveryFailed, match="_MSG_TIMED_OUT") as caught:
        send_all(events, "01234")
    assert str(caught.value).startswith("2 of 5 events were not acknowledged on topic flights")
    assert caught.value.hint
    assert (events.acknowledged, events.failed) == (3, 2)


def test_what_is_never_acknowledged_fails_at_the_deadline() -> None:
    """A broker that went away ends the wait: what is left is purged and counted as failed."""
    events = publisher(FakeClient(per_poll=0))

    with pytest.raises(DeliveryFailed, match="1 of 1 events were not acknowledged"):
        send_all(events, "0")
    assert (events.failed, events.waiting) == (1, 0)


def test_an_error_in_the_block_is_not_replaced() -> None:
    """The user's own error comes out; what was sent is still waited for and counted."""
    client = FakeClient(per_poll=0, verdicts={b"1": TIMED_OUT})
    events = publisher(client)

    def work() -> None:
        with events:
            events.send("0")
            events.send("1")
            client.per_poll = 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert (events.acknowledged, events.failed) == (1, 1)


def test_an_event_that_is_refused_at_once_is_an_error_of_send() -> None:
    """An event that is too large for the client is told where it is sent."""
    client = FakeClient(refused=TOO_LARGE)
    with publisher(client) as events, pytest.raises(DeliveryFailed, match="MSG_SIZE_TOO_LARGE"):
        events.send(b"x")


def test_flush_waits_and_tells() -> None:
    """`flush` returns when all is acknowledged, and raises at its deadline."""
    client = FakeClient(per_poll=0)
    with publisher(client) as events:
        events.send("0")
        with pytest.raises(DeliveryFailed, match="1 events on topic flights were not acknowledged"):
            events.flush(timeout_s=0.02)
        client.per_poll = 1

        events.flush(timeout_s=1)

        assert events.acknowledged == 1


def test_a_callback_is_told_and_the_count_kept() -> None:
    """An event's own callback is called with its verdict; the event is counted all the same."""
    events = publisher(FakeClient(verdicts={b"1": TIMED_OUT}))
    told: list[KafkaError | None] = []

    def note(error: KafkaError | None, _message: Message) -> None:
        told.append(error)

    with pytest.raises(DeliveryFailed, match="1 of 2"):
        send_all(events, "01", note)
    assert told == [None, TIMED_OUT]
    assert (events.acknowledged, events.failed) == (1, 1)


def test_outside_a_block_nothing_can_be_sent() -> None:
    """A publisher that was not entered, or was left, says how it is used."""
    events = publisher(FakeClient())
    with pytest.raises(WrongUsage, match="not open"):
        events.send({"n": 1})
    with events:
        events.send({"n": 1})
    with pytest.raises(WrongUsage, match="not open") as caught:
        events.send({"n": 2})

    assert "with Publisher('flights')" in caught.value.hint


def test_what_has_no_form_as_json_is_a_type_error() -> None:
    """An event that JSON cannot say is the caller's mistake, told at once."""
    with publisher(FakeClient()) as events, pytest.raises(TypeError):
        events.send({"n": object()})


def test_a_broker_that_does_not_answer_is_told_in_time() -> None:
    """Without a broker, entering the block fails within the broker timeout, with what was tried."""
    settings = Settings(bootstrap_servers="127.0.0.1:1", broker_timeout_s=0.5)

    with pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:1 within 0\.5 s"):
        Publisher("flights", settings=settings).__enter__()
