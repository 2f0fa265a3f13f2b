"""consumer/source.py and consumer/transaction.py together on real Kafka: no batch counts twice."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from consumer.records import Batch, Outgoing
from consumer.source import Source
from consumer.transaction import ExactlyOnce, Outbox
from model.errors import BatchUndone, BrokerError
from runtime.clients import consumer_properties, open_consumer, open_producer, producer_properties
from runtime.settings import Settings, load_settings


@contextmanager
def stage(_name: str) -> Iterator[None]:
    yield


class Member:
    """A worker's two ends, moved by hand."""

    def __init__(self, flow: Any, name: str, settings: Settings) -> None:
        def create_consumer() -> Consumer:
            return open_consumer(consumer_properties(settings, group=f"group-{flow.input}"))

        def create_producer(on_delivery: Any) -> Producer:
            extra = {"transactional.id": f"{flow.input}-{name}", "on_delivery": on_delivery}
            return open_producer(producer_properties(settings, extra=extra))

        self.source = Source(create_consumer, flow.input, 10.0)
        self.sink = ExactlyOnce(
            lambda: Outbox(create_producer, flow.output, flow.dead_letters, 10.0), 10.0, 10.0
        )
        self.sink.open()

    def take(self) -> Batch:
        for _ in range(300):
            batch = self.source.take(1000, 0.1)
            if batch is not None:
                return batch
        pytest.fail("no batch within 30 s")

    def answer(self, batch: Batch) -> None:
        messages = [{"key": None, "value": b"%d" % offset} for offset in batch.offsets]
        self.sink.publish(batch, Outgoing({0: messages}), stage)

    def close(self) -> None:
        self.sink.close()
        self.source.close()


def settings_of(flow: Any, **overrides: Any) -> Settings:
    servers = {"bootstrap_servers": flow.settings.bootstrap_servers}
    return load_settings({**servers, **overrides}, environ={})


def test_a_batch_of_a_lost_partition_is_refused(make_flow: Callable[..., Any]) -> None:
    """A member that was away answers with the metadata of its batch: its successor's count.

    With metadata asked for at commit time the old batch would be accepted (facts, 1).
    """
    flow = make_flow(partitions=1)
    for number in range(10):
        flow.send(b"%d" % number)
    flow.flush()
    short = {"consumer.session_timeout_s": 6, "consumer.max_poll_interval_s": 6}
    away = Member(flow, "away", settings_of(flow, **short))
    batch = away.take()
    successor = Member(flow, "successor", settings_of(flow))
    try:
        taken_over = successor.take()  # once the group has given up on the one that is away
        successor.answer(taken_over)
        assert taken_over.offsets == batch.offsets
        with pytest.raises(BrokerError):
            away.answer(batch)
        assert len(flow.read(flow.output, 10)) == 10
        assert [r.value() for r in flow.read(flow.output, 10)] == [b"%d" % n for n in range(10)]
    finally:
        away.close()
        successor.close()


@pytest.mark.parametrize("size", [3_000_000, 20_000_000], ids=["by the broker", "by the client"])
def test_a_record_that_is_refused_undoes_its_batch(
    make_flow: Callable[..., Any], size: int
) -> None:
    """A refused record aborts the transaction, and after going back the batch is answered whole.

    To commit in spite of it would succeed and lose the record silently (facts, 2 and 4).
    """
    flow = make_flow(partitions=1)
    for number in range(5):
        flow.send(b"%d" % number)
    flow.flush()
    member = Member(flow, "one", settings_of(flow))
    try:
        batch = member.take()
        messages = [{"key": None, "value": b"first"}, {"key": None, "value": os.urandom(size)}]
        with pytest.raises(BatchUndone):
            member.sink.publish(batch, Outgoing({0: messages}), stage)
        for _ in range(5):  # the abort may go on for a while behind the scenes
            member.source.rewind(batch)
            again = member.take()
            assert again.offsets == batch.offsets
            try:
                member.answer(again)
                break
            except BatchUndone:
                continue
        assert [r.value() for r in flow.read(flow.output, 5)] == [b"%d" % n for n in range(5)]
    finally:
        member.close()


def test_a_successor_aborts_what_was_left_open_and_goes_on(make_flow: Callable[..., Any]) -> None:
    """Sent but not committed: readers never see it, and the same id's next owner clears the way."""
    flow = make_flow(partitions=1)
    for number in range(5):
        flow.send(b"%d" % number)
    flow.flush()
    first = Member(flow, "same", settings_of(flow))
    batch = first.take()
    outbox = first.sink._outbox
    assert outbox is not None
    outbox.producer.begin_transaction()
    outbox.send(Outgoing({0: [{"key": None, "value": b"never seen"}]}))
    second = Member(flow, "same", settings_of(flow))
    try:
        with pytest.raises(BrokerError):
            first.answer(batch)
        first.source.close()
        answered = second.take()
        second.answer(answered)
        assert [r.value() for r in flow.read(flow.output, 5)] == [b"%d" % n for n in range(5)]
    finally:
        second.close()
