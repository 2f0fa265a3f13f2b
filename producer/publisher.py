"""Publish events onto a topic from Python: the client behind `streamscore produce`.

Every event that `send` takes is either acknowledged by the broker or counted as failed with a
reason; leaving the `with` block waits for all of them. Must not know files or the command line.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from confluent_kafka import KafkaError, KafkaException, Message

from model.errors import DeliveryFailed, WrongUsage
from model.event import encode_event
from producer.keys import UnusableKey, key_of
from runtime.clients import open_producer, producer_properties, require_broker
from runtime.kafka_errors import broker_error, describe_error
from runtime.settings import Settings, load_settings
from runtime.topics import require_topics

DELIVERY_TIMEOUT_S = 30.0

_GRACE_S = 5.0  # librdkafka gives its own verdict at the deadline: its reason is the better one
_SLICE_S = 0.2  # a signal is served between two slices

HeaderValue = bytes | str | None
Headers = Mapping[str, HeaderValue] | Iterable[tuple[str, HeaderValue]]
OnDelivery = Callable[[KafkaError | None, Message], None]


class Client(Protocol):
    """What a publisher needs of confluent_kafka.Producer."""

    def produce(  # noqa: D102, PLR0913 - confluent-kafka's own
        self,
        topic: str,
        value: bytes,
        *,
        key: str | bytes | None,
        headers: list[tuple[str, HeaderValue]] | None,
        timestamp: int,
        on_delivery: OnDelivery | None,
    ) -> None: ...
    def poll(self, timeout: float, /) -> int: ...  # noqa: D102 - as produce
    def purge(self) -> None: ...  # noqa: D102 - as produce
    def __len__(self) -> int: ...


Connect = Callable[[Settings, str, float, OnDelivery], Client]


def connect(settings: Settings, topic: str, timeout_s: float, on_delivery: OnDelivery) -> Client:
    """Give a client for an existing topic. Raises BrokerUnreachable or MissingTopics."""
    require_broker(settings)
    require_topics(settings, [topic])
    extra: dict[str, object] = {"on_delivery": on_delivery}
    if not settings.kafka.keys() & {"message.timeout.ms", "delivery.timeout.ms"}:
        extra["message.timeout.ms"] = int(timeout_s * 1000)
    return open_producer(producer_properties(settings, extra=extra))


class Publisher:
    """Sends events onto one topic, as a context manager, from one thread.

        with Publisher("flights") as events:
            events.send({"id": "UA-1545", "dep_delay": 12.0}, key="UA-1545")

    Leaving the block waits until every event is acknowledged, and raises DeliveryFailed with the
    counts and the first reason when one was not. Entering it raises BrokerUnreachable or
    MissingTopics. With `key_field`, that field of each event is its key. An event that is not
    acknowledged within `delivery_timeout_s` has failed.
    """

    def __init__(
        self,
        topic: str,
        *,
        settings: Settings | None = None,
        key_field: str | None = None,
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
        connect: Connect = connect,
    ) -> None:
        self.topic = topic
        self.acknowledged = 0
        self.failed = 0
        self._first: KafkaError | None = None
        self._settings = settings
        self._key_field = key_field
        self._timeout_s = delivery_timeout_s
        self._connect = connect
        self._client: Client | None = None

    def __enter__(self) -> Self:
        settings = load_settings() if self._settings is None else self._settings
        self._client = self._connect(settings, self.topic, self._timeout_s, self._on_delivery)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        client = self._open()
        grace_s = min(_GRACE_S, self._timeout_s)
        try:
            self._wait(client, self._timeout_s + grace_s)
            if len(client):
                client.purge()  # what is still there now fails, and is counted
                self._wait(client, grace_s)
        finally:
            self._client = None
        if error is None:
            self._require_success()

    @property
    def reason(self) -> str:
        """Why the first of the failed events was not acknowledged; empty while none failed."""
        return "" if self._first is None else describe_error(self._first)

    @property
    def waiting(self) -> int:
        """How many events were sent and neither acknowledged nor failed so far."""
        return 0 if self._client is None else len(self._client)

    def send(
        self,
        event: Mapping[str, object] | bytes | str,
        key: str | bytes | None = None,
        *,
        headers: Headers | None = None,
        timestamp_ms: int | None = None,
        on_delivery: OnDelivery | None = None,
    ) -> None:
        """Hand an event over for sending: a mapping as JSON (NaN as null), bytes and text as is.

        Blocks while the local queue is full. `timestamp_ms` is the event's time since the epoch
        (now by default). `on_delivery(error, message)` is called from a later `send`, `poll` or
        `flush`. Raises DeliveryFailed when the event is refused at once (too large, say) or the
        queue stays full for the delivery timeout; TypeError for what JSON has no form for.
        """
        client = self._open()
        value = _encoded(event)
        if key is None and self._key_field is not None:
            key = _key(event, self._key_field)
        produce = partial(
            client.produce,
            self.topic,
            value,
            key=key,
            headers=None if headers is None else _pairs(headers),
            timestamp=timestamp_ms or 0,  # librdkafka takes 0 as now
            on_delivery=None if on_delivery is None else self._counted(on_delivery),
        )
        self._enqueue(client, produce)
        client.poll(0)

    def poll(self, timeout_s: float = 0.0) -> None:
        """Take note of deliveries, waiting for one up to `timeout_s`; `send` does so by itself."""
        self._open().poll(timeout_s)

    def flush(self, timeout_s: float = DELIVERY_TIMEOUT_S) -> None:
        """Wait until everything sent so far is acknowledged.

        Raises DeliveryFailed when an event failed, or is still under way after `timeout_s`.
        """
        self._wait(self._open(), timeout_s)
        if self.waiting:
            raise DeliveryFailed(
                f"{self.waiting} events on topic {self.topic} were not acknowledged "
                f"within {timeout_s:g} s"
            )
        self._require_success()

    def _enqueue(self, client: Client, produce: Callable[[], None]) -> None:
        deadline = None
        while True:
            try:
                produce()
            except BufferError:
                now = time.monotonic()
                deadline = now + self._timeout_s if deadline is None else deadline
                if now >= deadline:
                    raise self._queue_stays_full() from None
                client.poll(_SLICE_S)
            except KafkaException as error:
                raise broker_error(error, f"sending an event to topic {self.topic}") from error
            else:
                return

    def _wait(self, client: Client, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while len(client) and (left_s := deadline - time.monotonic()) > 0:
            client.poll(min(left_s, _SLICE_S))

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self.acknowledged += 1
            return
        self.failed += 1
        if self._first is None:
            self._first = error

    def _counted(self, on_delivery: OnDelivery) -> OnDelivery:
        def count_and_tell(error: KafkaError | None, message: Message) -> None:
            self._on_delivery(error, message)
            on_delivery(error, message)

        return count_and_tell

    def _open(self) -> Client:
        if self._client is None:
            raise WrongUsage(
                "this publisher is not open",
                hint=f"use it as `with Publisher({self.topic!r}) as events: events.send(…)`",
            )
        return self._client

    def _require_success(self) -> None:
        if self._first is not None:
            raise DeliveryFailed(
                f"{self.failed} of {self.failed + self.acknowledged} events were not acknowledged "
                f"on topic {self.topic}: {self.reason}",
                hint=broker_error(self._first, "sending").hint,
            )

    def _queue_stays_full(self) -> DeliveryFailed:
        return DeliveryFailed(
            f"{self.waiting} events wait to be sent to topic {self.topic}, "
            f"and there was no room for another within {self._timeout_s:g} s",
            hint="is the broker still there? `streamscore doctor` looks",
        )


def _encoded(event: Mapping[str, object] | bytes | str) -> bytes:
    if isinstance(event, bytes):
        return event
    if isinstance(event, str):
        return event.encode()
    return encode_event(event)


def _pairs(headers: Headers) -> list[tuple[str, HeaderValue]]:
    return list(headers.items() if isinstance(headers, Mapping) else headers)


def _key(event: Mapping[str, object] | bytes | str, field: str) -> bytes:
    if not isinstance(event, Mapping):
        raise WrongUsage(
            "an event given as bytes or text needs `key=`: its fields are not looked at"
        )
    try:
        return key_of(event, field)
    except UnusableKey as error:
        raise WrongUsage(f"an event has no key: {error}") from None
