"""Replaying dead letters: which go, in which chunks, and each chunk whole or not at all."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from hypothesis import given
from hypothesis import strategies as st

from dead_letters import replay as module
from dead_letters.letter import DeadLetter, Foreign
from dead_letters.replay import CHUNK_LETTERS, Event, Left, Report, TransactionalTarget, replay
from model.errors import BatchUndone, BrokerError, Fenced, OutcomeUnknown
from runtime.dead_letter import Failure, omit_value, write_headers
from runtime.settings import Settings

FAILURE = Failure(
    topic="flights",
    partition=2,
    offset=8812,
    timestamp_ms=1_385_892_900_123,
    group="g",
    stage="validate",
    code="wrong_type",
    message="m",
    model="flight-delay",
    version="3",
    attempt=1,
    failed_at="2013-12-01T10:15:00Z",
)


def letter(offset: int = 0, value: bytes | None = b"{}", **fields: object) -> DeadLetter:
    failure = replace(FAILURE, **fields)  # type: ignore[arg-type] # the fields of each test
    headers = write_headers([("a", b"1"), ("a", None)], failure)
    return DeadLetter(0, offset, b"key", value, headers, failure)


@dataclass
class FakeTarget:
    """A cluster with some topics; the chunk of a given number fails."""

    topics: dict[str, int] = field(default_factory=lambda: {"flights": 3})
    fail_at: int = -1
    chunks: list[list[Event]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def partitions(self, topic: str) -> int:
        self.asked.append(topic)
        return self.topics.get(topic, 0)

    def send(self, chunk: list[Event]) -> None:
        if len(self.chunks) == self.fail_at:
            raise BatchUndone("undone")
        self.chunks.append(list(chunk))


def replayed(
    letters: Iterable[DeadLetter | Foreign], target: FakeTarget | None = None, cap: int = 3
) -> tuple[list[Event], Report]:
    target, report = target or FakeTarget(), Report()
    replay(letters, target, cap, report)
    return [event for chunk in target.chunks for event in chunk], report


def test_an_event_goes_back_as_it_was() -> None:
    """Key, value, headers and partition are the original ones, plus the next attempt."""
    events, report = replayed([letter(17)])

    assert events == [
        Event(
            topic="flights",
            partition=2,
            key=b"key",
            value=b"{}",
            headers=[("a", b"1"), ("a", None), ("__streamscore.attempt", b"2")],
            place="0/17",
        )
    ]
    assert report == Report(replayed=report.replayed)
    assert report.replayed == {"flights": 1}


def test_a_partition_that_is_gone_is_chosen_by_key() -> None:
    """Where the source topic has fewer partitions now, the key decides."""
    events, _ = replayed([letter()], FakeTarget({"flights": 2}))

    assert events[0].partition == -1


def test_a_tombstone_goes_back_as_one() -> None:
    """A dead-lettered tombstone has no value, which is not the same as one left out."""
    events, _ = replayed([letter(value=None)])

    assert [event.value for event in events] == [None]


@pytest.mark.parametrize(
    ("attempt", "cap", "goes"), [(1, 1, False), (1, 2, True), (2, 2, False), (9, 10, True)]
)
def test_attempts_have_a_cap(attempt: int, cap: int, goes: bool) -> None:  # noqa: FBT001 - the expectation
    """What was tried as often as the cap allows is left, and counted."""
    events, report = replayed([letter(attempt=attempt)], cap=cap)

    assert bool(events) is goes
    assert report.left == ({} if goes else {Left.AT_CAP: 1})


def test_what_cannot_go_back_is_left_with_its_reason() -> None:
    """Each reason is counted; of values that were left out, the source is named."""
    whole = letter(1)
    omitted = replace(whole, value=None, headers=omit_value(whole.headers, 2_000_000))
    letters: list[DeadLetter | Foreign] = [
        omitted,
        letter(2, topic="gone"),
        letter(3, topic="gone"),
        letter(4, topic="__consumer_offsets"),
        Foreign(0, 5, "the header is missing"),
        letter(6, attempt=3),
        letter(7),
    ]
    target = FakeTarget({"flights": 3, "__consumer_offsets": 50})

    events, report = replayed(letters, target)

    assert [event.place for event in events] == ["0/7"]
    assert report.left == {
        Left.VALUE_OMITTED: 1,
        Left.NO_SOURCE_TOPIC: 3,
        Left.NOT_A_DEAD_LETTER: 1,
        Left.AT_CAP: 1,
    }
    assert report.omitted == ["flights/2/8812"]
    assert target.asked == ["flights", "gone"]


@given(st.integers(0, 3 * CHUNK_LETTERS))
def test_chunks_are_full_and_lose_nothing(count: int) -> None:
    """However many letters there are, all go once, in order, at most a thousand at a time."""
    target = FakeTarget()
    events, report = replayed((letter(offset) for offset in range(count)), target)

    assert [event.place for event in events] == [f"0/{offset}" for offset in range(count)]
    assert all(0 < len(chunk) <= CHUNK_LETTERS for chunk in target.chunks)
    assert len(target.chunks) == -(-count // CHUNK_LETTERS)
    assert report.replayed.total() == count


def test_chunks_are_bounded_in_bytes() -> None:
    """Large events make small chunks: the producer's queue never is full."""
    large = b"x" * (module.CHUNK_BYTES // 4)
    target = FakeTarget()

    replayed([letter(offset, large) for offset in range(10)], target)

    assert [len(chunk) for chunk in target.chunks] == [3, 3, 3, 1]


def test_an_event_larger_than_a_chunk_goes_alone() -> None:
    """No size makes a letter impossible to send, or an empty chunk."""
    target = FakeTarget()
    replayed([letter(0), letter(1, b"x" * (module.CHUNK_BYTES + 1)), letter(2)], target)

    assert [len(chunk) for chunk in target.chunks] == [1, 1, 1]


def test_the_report_counts_committed_chunks_only() -> None:
    """When a chunk fails, the report says what was replayed before it."""
    report = Report()
    letters = [letter(offset) for offset in range(2 * CHUNK_LETTERS)]

    with pytest.raises(BatchUndone):
        replay(letters, FakeTarget(fail_at=1), 3, report)
    assert report.replayed == {"flights": CHUNK_LETTERS}


# The transaction around a chunk.


@dataclass
class FakeProducer:
    """A transactional producer that fails where it is told to, and writes down what was asked."""

    fails: dict[str, BaseException] = field(default_factory=dict)
    undelivered: KafkaError | None = None
    never: bool = False
    calls: list[str] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fails:
            raise self.fails[name]

    def init_transactions(self, _timeout: float) -> None:
        self._call("init")

    def begin_transaction(self) -> None:
        self._call("begin")

    def produce(self, topic: str, value: bytes | None, **parts: Any) -> None:
        self._call("produce")
        self.sent.append({"topic": topic, "value": value, **parts})

    def flush(self, _timeout: float) -> int:
        self._call("flush")
        if self.never:
            return len(self.sent)
        for record in self.sent:
            record["on_delivery"](self.undelivered, None)
        return 0

    def purge(self) -> None:
        self._call("purge")

    def commit_transaction(self, _timeout: float) -> None:
        self._call("commit")

    def abort_transaction(self, _timeout: float) -> None:
        self._call("abort")


def failure(code: int, *, abortable: bool = False) -> KafkaException:
    return KafkaException(KafkaError(code, txn_requires_abort=abortable))


def target_of(
    producer: FakeProducer, properties: dict[str, object] | None = None
) -> TransactionalTarget:
    settings = Settings.model_validate({"consumer": {"transaction_timeout_s": 0.05}})

    def create(given: dict[str, object]) -> Producer:
        (properties if properties is not None else {}).update(given)
        return cast("Producer", producer)

    return TransactionalTarget(settings, "flights.dlq", create)


def chunk(count: int = 2) -> list[Event]:
    return [module.event_of(letter(offset), 3) for offset in range(count)]


def test_a_chunk_is_one_transaction() -> None:
    """Each chunk is begun, flushed and committed; the id is taken over once, by topic."""
    producer, properties = FakeProducer(), dict[str, object]()
    target = target_of(producer, properties)
    assert producer.calls == []

    target.send(chunk())
    target.send(chunk(1))

    assert producer.calls == [
        *("init", "begin", "produce", "produce", "flush", "commit"),
        *("begin", "produce", "flush", "commit"),
    ]
    assert properties["transactional.id"] == "streamscore-replay-flights.dlq"
    assert producer.sent[0]["headers"] == [
        ("a", b"1"),
        ("a", None),
        ("__streamscore.attempt", b"2"),
    ]
    assert "timestamp" not in producer.sent[0]


@pytest.mark.parametrize(
    ("producer", "says"),
    [
        (FakeProducer(fails={"produce": BufferError("Queue full")}), "Queue full"),
        (FakeProducer(fails={"flush": SystemError("out of a callback")}), "out of a callback"),
        (FakeProducer(fails={"produce": failure(KafkaError.MSG_SIZE_TOO_LARGE)}), "TOO_LARGE"),
        (FakeProducer(undelivered=KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)), "first .* is 0/0"),
        (FakeProducer(never=True), "not acknowledged within 0.05 s"),
        (
            FakeProducer(fails={"commit": failure(KafkaError.UNKNOWN_PRODUCER_ID, abortable=True)}),
            "UNKNOWN_PRODUCER_ID",
        ),
    ],
)
def test_a_chunk_that_fails_is_undone(producer: FakeProducer, says: str) -> None:
    """Whatever fails before the commit is done, the transaction is aborted and nothing is seen."""
    with pytest.raises(BatchUndone, match=f"from 0/0 to 0/1 were not replayed.*{says}"):
        target_of(producer).send(chunk())

    assert producer.calls[-1] == "abort"


def test_ctrl_c_undoes_the_chunk_in_hand() -> None:
    """An interrupted chunk is aborted before the interrupt goes on."""
    producer = FakeProducer(fails={"flush": KeyboardInterrupt()})

    with pytest.raises(KeyboardInterrupt):
        target_of(producer).send(chunk())
    assert producer.calls[-1] == "abort"


def test_an_abort_that_fails_does_not_hide_the_reason() -> None:
    """When the broker is away the abort fails too: the first error is the one to tell."""
    away = failure(KafkaError._TIMED_OUT)
    producer = FakeProducer(fails={"produce": BufferError("full"), "abort": away})

    with pytest.raises(BatchUndone, match="full"):
        target_of(producer).send(chunk())


def test_a_commit_without_an_answer_is_told_as_unknown() -> None:
    """Nobody here can know what became of it: the message says so, and where to look."""
    away = failure(KafkaError._TIMED_OUT)
    producer = FakeProducer(fails={"commit": away})

    with pytest.raises(OutcomeUnknown, match="it is not known whether the 2 dead letters") as told:
        target_of(producer).send(chunk())
    assert "source topic" in told.value.hint


@pytest.mark.parametrize("where", ["begin", "produce", "commit"])
def test_a_second_replay_is_told_as_such(where: str) -> None:
    """Another replay of the same topic fences this one, and the message says just that."""
    producer = FakeProducer(fails={where: failure(KafkaError._FENCED)})

    with pytest.raises(Fenced, match=r"another replay of flights\.dlq has begun"):
        target_of(producer).send(chunk())


def test_a_coordinator_that_does_not_answer_is_told() -> None:
    """Without a transaction coordinator nothing is begun."""
    away = failure(KafkaError.COORDINATOR_NOT_AVAILABLE)
    producer = FakeProducer(fails={"init": away})

    with pytest.raises(BrokerError, match="beginning with transactions"):
        target_of(producer).send(chunk())
    assert producer.calls == ["init"]
