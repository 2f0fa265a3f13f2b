"""Publishes the service's answers as predictions, beside the answering and never in its way.

`offer` puts records into a bounded buffer and returns at once; a thread of its own hands them to
Kafka. While the broker is away both buffers fill, the thread's and the client's, and what they do
not hold is dropped and counted. Knows neither HTTP nor models.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

import structlog
from confluent_kafka import KafkaError, KafkaException

from model.errors import BrokerUnreachable
from runtime.clients import open_producer, producer_properties
from runtime.kafka_errors import describe_error
from runtime.settings import Settings
from runtime.telemetry import PublishMetrics
from runtime.topics import require_topics

_log = structlog.get_logger("streamscore.publish")

ROOM: Final = 100_000  # records in each of the two buffers
# In the client's; [kafka] can say otherwise.
_BUFFER: Final = {
    "queue.buffering.max.messages": str(ROOM),
    "queue.buffering.max.kbytes": "65536",
}
_TICK_S: Final = 0.02  # no wake-up for each request: what came meanwhile goes together
_QUIET_S: Final = 10.0
_GRACE_S: Final = 1.0

OnDelivery = Callable[[KafkaError | None, object], None]
Headers = Sequence[tuple[str, bytes]]
HeaderList = list[tuple[str, str | bytes | None]]
Message = dict[str, Any]  # as `produce` and `produce_batch` take it


class Client(Protocol):
    """What is needed of confluent_kafka.Producer."""

    def produce_batch(self, topic: str, messages: list[Message], /) -> int: ...  # noqa: D102
    def produce(  # noqa: D102
        self, topic: str, *, value: bytes, key: bytes, headers: HeaderList
    ) -> None: ...
    def poll(self, timeout: float, /) -> int: ...  # noqa: D102
    def flush(self, timeout: float, /) -> int: ...  # noqa: D102
    def purge(self) -> None: ...  # noqa: D102


class AnswerPublisher:
    """Publishes records onto one topic; `connect` gives a client that reports to a callback.

    A record that Kafka acknowledged is counted as delivered; one that found no room as dropped;
    one that was given up by the client (it waited too long, say) or refused by the broker as
    failed.
    """

    def __init__(
        self,
        topic: str,
        connect: Callable[[OnDelivery], Client],
        metrics: PublishMetrics,
        now: Callable[[], float] = time.monotonic,
        room: int = ROOM,
    ) -> None:
        self._topic = topic
        self._connect = connect
        self._metrics = metrics
        self._now = now
        self._room = room
        self._client = connect(self._on_delivery)
        self._waiting: deque[Message] = deque()
        self._lock = threading.Lock()  # held for moments: never while Kafka is talked to
        self._stopping = threading.Event()
        self._drain_s = 0.0
        self._lost = 0
        self._reason = ""
        self._told_at = -_QUIET_S
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def offer(self, values: Sequence[bytes], ids: Sequence[str], headers: Headers = ()) -> None:
        """Take predictions over for publishing, as far as there is room; never waits.

        The key of each record is its event's id in UTF-8; `headers` are those of each record.
        """
        extra = {"headers": list(headers)} if headers else {}
        messages = [
            {"value": value, "key": event_id.encode(), **extra}
            for value, event_id in zip(values, ids, strict=True)
        ]
        with self._lock:
            room = 0 if self._stopping.is_set() else self._room - len(self._waiting)
            self._waiting.extend(messages[:room])
        if room < len(messages):
            self._drop(len(messages) - max(room, 0), "the buffer is full")

    def stop(self, deadline_s: float) -> None:
        """Publish what was taken over, as far as that is done by the deadline."""
        self._drain_s = deadline_s
        self._stopping.set()
        self._thread.join(deadline_s + _GRACE_S)

    def _run(self) -> None:
        while not self._stopping.wait(_TICK_S):
            self._step()
        self._step()
        if self._client.flush(self._drain_s):
            self._client.purge()  # reported as failed
            self._client.flush(_GRACE_S)
        self._told_at = -_QUIET_S
        self._report()

    def _step(self) -> None:
        with self._lock:
            messages, self._waiting = list(self._waiting), deque()
        refused = self._send(messages)
        if any(code == KafkaError._FATAL for _, code, _ in refused):  # noqa: SLF001 - its name
            self._reopen()
            refused = self._send([message for message, _, _ in refused])
        if refused:
            self._drop(len(refused), refused[-1][2])
        self._client.poll(0)
        self._report()

    def _send(self, messages: list[Message]) -> list[tuple[Message, int, str]]:
        """Hand records to the client; gives those that it did not take, each with its cause."""
        plain = [message for message in messages if "headers" not in message]
        refused = []
        if plain and self._client.produce_batch(self._topic, plain) < len(plain):
            refused += [
                (message, error.code(), describe_error(error))
                for message in plain
                if (error := message.pop("_error", None)) is not None
            ]
        for message in messages:
            if "headers" in message:
                try:
                    self._client.produce(self._topic, **message)
                except KafkaException as raised:
                    error = raised.args[0]
                    refused.append((message, error.code(), describe_error(error)))
                except BufferError as raised:
                    refused.append((message, KafkaError._QUEUE_FULL, str(raised)))  # noqa: SLF001
        return refused

    def _reopen(self) -> None:
        """Take a new client: after a fatal error the old one never sends again."""
        self._client.purge()
        self._client.poll(0)
        self._client = self._connect(self._on_delivery)

    def _on_delivery(self, error: KafkaError | None, _record: object) -> None:
        if error is None:
            self._metrics.published.labels("delivered").inc()
            return
        self._metrics.published.labels("failed").inc()
        self._lose(1, describe_error(error))

    def _drop(self, count: int, reason: str) -> None:
        self._metrics.published.labels("dropped").inc(count)
        self._lose(count, reason)

    def _lose(self, count: int, reason: str) -> None:
        with self._lock:
            self._lost += count
            self._reason = reason

    def _report(self) -> None:
        """Log how many records were lost, at most once in a while."""
        now = self._now()
        with self._lock:
            lost, reason = self._lost, self._reason
            if not lost or now - self._told_at < _QUIET_S:
                return
            self._lost, self._told_at = 0, now
        _log.warning("predictions_not_published", count=lost, reason=reason, topic=self._topic)


@contextmanager
def publishing(
    settings: Settings, topic: str, metrics: PublishMetrics, drain_s: float
) -> Iterator[AnswerPublisher]:
    """Publish onto `topic` until the block is left, and then for `drain_s` at most.

    A broker that is away is no reason not to start: its predictions follow when it comes.

    Raises:
        BrokerError: the broker has no such topic, or turned the service down.

    """
    try:
        require_topics(settings, [topic])
    except BrokerUnreachable as error:
        _log.warning("broker_unreachable", reason=str(error), hint=error.hint, topic=topic)

    def connect(on_delivery: OnDelivery) -> Client:
        own = {name: value for name, value in _BUFFER.items() if name not in settings.kafka}
        extra: dict[str, object] = {**own, "on_delivery": on_delivery}
        return open_producer(producer_properties(settings, extra=extra))

    publisher = AnswerPublisher(topic, connect, metrics)
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.stop(drain_s)
