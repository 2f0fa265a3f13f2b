"""The demo's own two clients: one publishes events, one reads what became of them.

The reader sees only what is committed, as every subscriber at read_committed does. Knows the
contracts of predictions and dead letters; counts nothing itself.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, Self

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from demo.departures import Departure
from demo.figures import Figures, Rejected
from demo.stage import Stage
from model.errors import DeliveryFailed
from runtime.clients import (
    broker_error,
    consumer_properties,
    describe_error,
    open_consumer,
    open_producer,
    producer_properties,
)
from runtime.dead_letter import NotADeadLetter, read_headers

_BATCH: Final = 5_000
_PASSING: Final = frozenset({"_TRANSPORT", "_ALL_BROKERS_DOWN", "_RESOLVE", "_TIMED_OUT"})
_UNREADABLE: Final = Rejected("unknown", "a dead letter without its headers")


class _Prediction(msgspec.Struct, frozen=True):
    id: str
    prediction: float
    model: str
    version: str


class Exchange:
    """Publishes to one topic and reads predictions and dead letters from their beginning.

    `partitions` are the numbers of partitions by topic; `clock` gives Unix time in seconds.
    """

    def __init__(
        self,
        stage: Stage,
        figures: Figures,
        partitions: Mapping[str, int],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._figures = figures
        self._source = stage.source
        self._clock = clock
        self._undelivered: KafkaError | None = None
        self._decode = msgspec.json.Decoder(_Prediction).decode
        self._take = {
            stage.output: self._prediction,
            stage.dead_letters: self._dead_letter,
        }
        self._producer = open_producer(producer_properties(stage.settings))
        # It assigns itself partitions and commits nothing: the group is never created.
        self._consumer = open_consumer(
            consumer_properties(
                stage.settings, group="streamscore-demo", extra={"auto.offset.reset": "earliest"}
            )
        )
        self._consumer.assign(
            [
                TopicPartition(topic, partition, 0)
                for topic in self._take
                for partition in range(partitions[topic])
            ]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # What was not sent by now is not wanted any more; close() alone would wait for it.
        self._producer.purge()
        self._producer.close()
        self._consumer.close()

    def publish(self, departure: Departure) -> bool:
        """Hand an event to the client; False when its queue is full and it is to come again.

        Raises DeliveryFailed when an event before was not acknowledged.
        """
        now_s = self._clock()
        try:
            self._producer.produce(
                self._source,
                value=departure.value,
                key=departure.key,
                timestamp=int(now_s * 1000),
                on_delivery=self._delivered,
            )
        except BufferError:
            return False
        self._figures.publish(departure.flight, now_s)
        return True

    def exchange(self, wait_s: float) -> None:
        """Send what is queued and take what has come; wait for the first answer at most `wait_s`.

        Raises DeliveryFailed, and BrokerError for an error that does not pass by itself.
        """
        self._producer.poll(0)
        if self._undelivered is not None:
            raise DeliveryFailed(
                f"an event was not acknowledged on topic {self._source!r}: "
                f"{describe_error(self._undelivered)}"
            )
        first = self._consumer.poll(wait_s)
        if first is None:
            return
        messages = [first, *self._consumer.consume(_BATCH, 0)]
        now_s = self._clock()
        for message in messages:
            self._receive(message, now_s)

    def _receive(self, message: Message, now_s: float) -> None:
        error = message.error()
        if error is None:
            self._take[message.topic() or ""](message, now_s)
        elif error.name() not in _PASSING:
            raise broker_error(KafkaException(error), "reading predictions")

    def _prediction(self, message: Message, now_s: float) -> None:
        with suppress(msgspec.DecodeError):  # the audit counts what cannot be read
            prediction = self._decode(message.value() or b"")
            self._figures.model = f"{prediction.model}:{prediction.version}"
            self._figures.predict(prediction.id, prediction.prediction, now_s)

    def _dead_letter(self, message: Message, now_s: float) -> None:
        try:
            failure = read_headers(message.headers())  # type: ignore[arg-type] # keys and values as they came
        except NotADeadLetter:
            self._figures.reject(_UNREADABLE, now_s)
        else:
            self._figures.reject(Rejected(failure.code, failure.message), now_s)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._undelivered = error
