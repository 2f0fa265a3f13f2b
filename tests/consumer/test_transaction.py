"""consumer/transaction.py: a batch is written whole, undone whole, or known to be unknown."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from consumer.records import Batch, DeadLetter, Outgoing
from consumer.transaction import AtLeastOnce, ExactlyOnce, Outbox
from model.errors import BatchUndone, BrokerError, Fenced, OutcomeUnknown

BATCH = Batch("events", [object()] * 3, [0, 1, 0], [5, 9, 6], group="the group's metadata")
LETTER = DeadLetter(b"k", b"v", [("h", b"x")], timestamp_ms=12, partition=1)
OUTGOING = Outgoing(
    predictions={0: [{"key": b"a", "value": b"1"}, {"key": None, "value": b"2"}]},
    with_headers={1: [{"key": b"b", "value": b"3", "headers": [("traceparent", b"t")]}]},
    dead_letters=[LETTER],
)


class FakeProducer:
    """Records what is asked of it; fails where it is told to."""

    def __init__(self, on_delivery: Any, failing: dict[str, Any]) -> None:
        self.calls: list[str] = []
        self.sent: list[tuple[Any, ...]] = []
        self.offsets: Any = None
        self.group: Any = None
        self._on_delivery = on_delivery
        self._failing = failing

    def _call(self, name: str) -> None:
        self.calls.append(name)
        failure = self._failing.get(name)
        if isinstance(failure, BaseException):
            raise failure

    def init_transactions(self, _timeout: float) -> None:
        self._call("init")

    def begin_transaction(self) -> None:
        self._call("begin")

    def produce_batch(self, topic: str, messages: list[dict[str, Any]], partition: int) -> int:
        self._call("produce_batch")
        self.sent.append((topic, partition, [message["value"] for message in messages]))
        return len(messages) - int(self._failing.get("short", 0))

    def produce(self, topic: str, **message: Any) -> None:
        self._call("produce")
        self.sent.append((topic, message))

    def flush(self, _timeout: float) -> int:
        self._call("flush")
        if "delivery" in self._failing:
            self._on_delivery(self._failing["delivery"], None)
        return int(self._failing.get("unacknowledged", 0))

    def send_offsets_to_transaction(self, offsets: Any, group: Any, _timeout: float) -> None:
        self._call("offsets")
        if "hang" in self._failing:
            self._failing["hang"].wait(30)
        self.offsets, self.group = offsets, group

    def commit_transaction(self, _timeout: float) -> None:
        self._call("commit")

    def abort_transaction(self, _timeout: float) -> None:
        self._call("abort")

    def purge(self, **_: bool) -> None:
        self._call("purge")


class Workshop:
    """Makes outboxes around fake producers, and keeps the latest."""

    def __init__(self, **failing: Any) -> None:
        self.failing = failing
        self.made: list[FakeProducer] = []

    def outbox(self) -> Outbox:
        def create(on_delivery: Any) -> Any:
            self.made.append(FakeProducer(on_delivery, self.failing))
            return self.made[-1]

        return Outbox(create, "predictions", "events.dlq", timeout_s=1.0)

    @property
    def producer(self) -> FakeProducer:
        return self.made[-1]


@contextmanager
def stage(_name: str) -> Iterator[None]:
    yield


def kafka(code: int, *, fatal: bool = False, abortable: bool = False) -> KafkaException:
    return KafkaException(KafkaError(code, "told to fail", fatal, False, abortable))


def exactly_once(**failing: Any) -> tuple[ExactlyOnce, Workshop]:
    workshop = Workshop(**failing)
    sink = ExactlyOnce(workshop.outbox, timeout_s=1.0, coordinator_timeout_s=0.1)
    sink.open()
    return sink, workshop


def test_results_and_offsets_are_one_transaction() -> None:
    """Everything is sent and acknowledged before the offsets go in, then all is committed."""
    sink, workshop = exactly_once()
    sink.publish(BATCH, OUTGOING, stage)
    producer = workshop.producer
    assert producer.calls == [
        "init",
        "begin",
        "produce_batch",
        "produce",
        "produce",
        "flush",
        "offsets",
        "commit",
    ]
    assert producer.sent[0] == ("predictions", 0, [b"1", b"2"])
    assert producer.sent[1][1]["headers"] == [("traceparent", b"t")]
    assert producer.sent[2] == (
        "events.dlq",
        {"partition": 1, "key": b"k", "value": b"v", "headers": [("h", b"x")], "timestamp": 12},
    )
    assert {(o.topic, o.partition, o.offset) for o in producer.offsets} == {
        ("events", 0, 7),
        ("events", 1, 10),
    }
    assert producer.group == "the group's metadata"


@pytest.mark.parametrize(
    "failing",
    [
        {"short": 1},
        {"produce_batch": TypeError("a str where bytes belong")},
        {"produce_batch": kafka(KafkaError.MSG_SIZE_TOO_LARGE)},
        {"produce": BufferError("the queue is full")},
        {"delivery": KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)},
        {"unacknowledged": 2},
    ],
    ids=lambda failing: next(iter(failing)),
)
def test_whatever_fails_while_sending_aborts(failing: dict[str, Any]) -> None:
    """A local failure does not poison a transaction: committing would lose the record (facts 2)."""
    sink, workshop = exactly_once(**failing)
    with pytest.raises(BatchUndone):
        sink.publish(BATCH, OUTGOING, stage)
    assert workshop.producer.calls[-2:] == ["abort", "flush"]
    assert "commit" not in workshop.producer.calls
    workshop.failing.clear()
    sink.publish(BATCH, OUTGOING, stage)
    assert workshop.producer.calls[-1] == "commit"
    assert len(workshop.made) == 1


@pytest.mark.parametrize("step", ["offsets", "commit"])
def test_a_refused_commit_aborts(step: str) -> None:
    """An abortable error at the end undoes the batch; the producer stays."""
    sink, workshop = exactly_once(**{step: kafka(KafkaError.ILLEGAL_GENERATION, abortable=True)})
    with pytest.raises(BatchUndone):
        sink.publish(BATCH, OUTGOING, stage)
    assert workshop.producer.calls[-2:] == ["abort", "flush"]


@pytest.mark.parametrize("step", ["offsets", "commit"])
@pytest.mark.parametrize("code", [KafkaError._TIMED_OUT, KafkaError._STATE])
def test_an_unanswered_commit_discards_the_producer(step: str, code: int) -> None:
    """Nobody here knows whether it was committed: no abort, no second commit (facts 6)."""
    sink, workshop = exactly_once(**{step: kafka(code)})
    with pytest.raises(OutcomeUnknown):
        sink.publish(BATCH, OUTGOING, stage)
    assert workshop.producer.calls[-2:] == [step, "purge"]
    with pytest.raises(OutcomeUnknown):
        sink.publish(BATCH, OUTGOING, stage)  # until it is opened again
    workshop.failing.clear()
    sink.open()
    sink.publish(BATCH, OUTGOING, stage)
    assert len(workshop.made) == 2


def test_an_abort_that_fails_leaves_the_outcome_unknown() -> None:
    """A failed abort is settled by the next producer with the same id."""
    sink, _ = exactly_once(short=1, abort=kafka(KafkaError._TIMED_OUT))
    with pytest.raises(OutcomeUnknown):
        sink.publish(BATCH, OUTGOING, stage)


def test_a_call_that_hangs_is_left_behind() -> None:
    """Without a group coordinator the client ignores its timeout (facts 7): the loop goes on."""
    released = threading.Event()
    sink, workshop = exactly_once(hang=released)
    try:
        with pytest.raises(OutcomeUnknown, match="took no offsets"):
            sink.publish(BATCH, OUTGOING, stage)
        assert "commit" not in workshop.producer.calls
        assert workshop.producer.calls[-1] == "purge"
    finally:
        released.set()
    workshop.failing.clear()
    sink.open()
    sink.publish(BATCH, OUTGOING, stage)
    assert len(workshop.made) == 2


def test_a_client_that_broke_is_replaced() -> None:
    """After a fatal error flush() itself may raise (facts 11): that producer is of no more use."""
    sink, workshop = exactly_once(flush=SystemError("out of a callback"))
    with pytest.raises(OutcomeUnknown):
        sink.publish(BATCH, OUTGOING, stage)
    assert "commit" not in workshop.producer.calls
    assert workshop.producer.calls[-1] == "purge"


def test_a_fenced_producer_says_so() -> None:
    """Another owner of the transactional id, or a transaction that timed out (facts 5)."""
    fenced = kafka(KafkaError._FENCED, fatal=True)
    sink, _ = exactly_once(begin=fenced, abort=fenced)
    with pytest.raises(Fenced):
        sink.publish(BATCH, OUTGOING, stage)


def test_opening_fails_as_a_broker_error() -> None:
    """A coordinator that does not answer is infrastructure: it is retried by the loop."""
    workshop = Workshop(init=kafka(KafkaError._TIMED_OUT))
    with pytest.raises(BrokerError):
        ExactlyOnce(workshop.outbox, timeout_s=1.0, coordinator_timeout_s=0.1).open()


def test_closing_gives_up_what_is_open_and_never_raises() -> None:
    """A stop aborts within its deadline, also while the broker is away."""
    sink, workshop = exactly_once(abort=kafka(KafkaError._TIMED_OUT))
    sink.close()
    assert workshop.producer.calls[-2:] == ["purge", "abort"]
    sink.close()


def test_at_least_once_commits_offsets_only_behind_the_results() -> None:
    """Results are acknowledged first: a crash in between repeats them and loses none."""
    committed: list[Any] = []
    workshop = Workshop()
    sink = AtLeastOnce(workshop.outbox, committed.append)
    sink.open()
    sink.publish(BATCH, OUTGOING, stage)
    assert workshop.producer.calls == ["produce_batch", "produce", "produce", "flush"]
    assert len(committed) == 1
    workshop.failing["unacknowledged"] = 1
    with pytest.raises(OutcomeUnknown):
        sink.publish(BATCH, OUTGOING, stage)
    assert len(committed) == 1


def test_at_least_once_undoes_a_batch_whose_offsets_were_refused() -> None:
    """The results may be seen twice then; the events are taken again."""

    def refuse(_offsets: Any) -> None:
        raise kafka(KafkaError.ILLEGAL_GENERATION)

    sink = AtLeastOnce(Workshop().outbox, refuse)
    sink.open()
    with pytest.raises(BatchUndone):
        sink.publish(BATCH, OUTGOING, stage)
