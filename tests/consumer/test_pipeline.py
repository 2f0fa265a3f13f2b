"""The pipeline, pure: every record is answered once, in its partition and in order."""

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.headers import CloudEvents
from consumer.pipeline import Identity, Pipeline, Target
from consumer.records import ANY_PARTITION, Batch, DeadLetter, Outgoing
from model.codec import EventDecoder
from model.engines import Answers
from model.prediction import PredictionEncoder
from model.scorer import Scorer
from model.signature import Feature, Kind, Signature, Task
from model.table import Table
from runtime.dead_letter import (
    ATTEMPT,
    Headers,
    omitted_value_bytes,
    original_headers,
    read_headers,
)

NOW = "2013-12-01T10:15:00.123456Z"
GOOD = b'{"id":"UA-7","x":1}'
ROOMY = Target(same_partitions=True, limit_bytes=1_000_000)
SIGNATURE = Signature(
    (Feature("x", Kind.NUMBER, nullable=False, dtype="float64", path=("x",)),), Task.REGRESSION
)


@dataclass(frozen=True)
class FakeRecord:
    """A record as confluent-kafka gives it."""

    its_value: bytes | None = GOOD
    its_partition: int = 0
    its_offset: int = 0
    its_key: bytes | None = b"UA"
    its_headers: Headers | None = None
    its_timestamp: tuple[int, int] = (1, 1385892900123)

    def value(self) -> bytes | None:
        return self.its_value

    def partition(self) -> int:
        return self.its_partition

    def offset(self) -> int:
        return self.its_offset

    def key(self) -> bytes | None:
        return self.its_key

    def headers(self) -> Headers | None:
        return self.its_headers

    def timestamp(self) -> tuple[int, int]:
        return self.its_timestamp

    def topic(self) -> str:
        return "flights"


class Doubling:
    """Doubles; 13 is unlucky and raises, 17 has no answer."""

    name = "doubling"

    def answer(self, table: Table) -> Answers:
        column = table.columns[0]
        if 13.0 in column:
            raise ArithmeticError
        return Answers(np.where(column == 17.0, math.nan, column * 2))


PIPELINE = Pipeline(
    EventDecoder(SIGNATURE),
    Scorer(Doubling()),
    PredictionEncoder(SIGNATURE, "flight-delay", "3"),
    Identity("streamscore-flight-delay", "flight-delay", "3"),
    ROOMY,
    ROOMY,
    keep_tombstones=False,
)


@contextlib.contextmanager
def no_stage(_name: str) -> Iterator[None]:
    yield


def run(
    records: Sequence[FakeRecord], pipeline: Pipeline = PIPELINE
) -> tuple[Outgoing, dict[str, Any]]:
    """Run a batch; gives what goes out, and the tally as a dictionary."""
    batch = Batch(
        "flights",
        list(records),
        [record.partition() for record in records],
        [record.offset() for record in records],
        "metadata",
    )
    outgoing, tally = pipeline.run(batch, NOW, no_stage)
    return outgoing, {
        "predicted": tally.predicted,
        "skipped": tally.skipped,
        **{code: count for (_, code), count in tally.dead_letters.items()},
    }


def messages(outgoing: Outgoing) -> list[dict[str, Any]]:
    both = [*outgoing.predictions.values(), *outgoing.with_headers.values()]
    return [message for partition in both for message in partition]


def places(outgoing: Outgoing) -> dict[int, list[tuple[int, int]]]:
    """Give the source partitions and offsets of the predictions, by partition, in order."""
    return {
        partition: [
            (source["partition"], source["offset"])
            for source in (json.loads(message["value"])["source"] for message in sent)
        ]
        for partition, sent in {**outgoing.predictions, **outgoing.with_headers}.items()
    }


def letter_of(record: FakeRecord, pipeline: Pipeline = PIPELINE) -> DeadLetter:
    outgoing, _ = run([record], pipeline)
    assert messages(outgoing) == []
    (letter,) = outgoing.dead_letters
    return letter


def test_a_good_event_becomes_a_prediction() -> None:
    """The prediction has the event's key, and its id, place and score in its value."""
    outgoing, tally = run([FakeRecord(its_partition=2, its_offset=8812)])

    assert outgoing.dead_letters == []
    assert outgoing.with_headers == {}
    ((partition, (message,)),) = outgoing.predictions.items()
    assert partition == 2
    assert message["key"] == b"UA"
    assert json.loads(message["value"]) == {
        "id": "UA-7",
        "prediction": 2.0,
        "model": "flight-delay",
        "version": "3",
        "source": {"topic": "flights", "partition": 2, "offset": 8812},
        "scored_at": NOW,
    }
    assert tally == {"predicted": 1, "skipped": 0}


@pytest.mark.parametrize("value", [b'{"x":1}', b'{"x":1,"id":null}'])
def test_an_event_without_an_id_is_named_by_its_place(value: bytes) -> None:
    """Without an id, topic, partition and offset name the event."""
    outgoing, _ = run([FakeRecord(value, its_partition=2, its_offset=8812)])

    assert json.loads(messages(outgoing)[0]["value"])["id"] == "flights/2/8812"


@pytest.mark.parametrize("key", [None, b"", b"\xff\x00", b"UA"])
def test_the_key_is_kept_byte_for_byte(key: bytes | None) -> None:
    """A prediction and a dead letter have the event's key, also where it is empty or absent."""
    outgoing, _ = run([FakeRecord(its_key=key), FakeRecord(b"{", its_key=key)])

    assert messages(outgoing)[0]["key"] == key
    assert outgoing.dead_letters[0].key == key


@pytest.mark.parametrize(("same", "partitions"), [(True, {0, 2}), (False, {ANY_PARTITION})])
def test_results_go_to_their_events_partition_or_by_key(
    *, same: bool, partitions: set[int]
) -> None:
    """With as many partitions the number is the event's; else the partitioner chooses by key."""
    target = replace(ROOMY, same_partitions=same)
    pipeline = replace(PIPELINE, output=target, dead_letters=target)
    records = [FakeRecord(value, partition) for partition in (0, 2) for value in (GOOD, b"{")]

    outgoing, _ = run(records, pipeline)

    assert set(outgoing.predictions) == partitions
    assert {letter.partition for letter in outgoing.dead_letters} == partitions


def test_output_and_dead_letters_may_differ_in_partitions() -> None:
    """Each topic is compared with the input on its own."""
    pipeline = replace(PIPELINE, dead_letters=replace(ROOMY, same_partitions=False))

    outgoing, _ = run([FakeRecord(its_partition=2), FakeRecord(b"{", 2)], pipeline)

    assert set(outgoing.predictions) == {2}
    assert outgoing.dead_letters[0].partition == ANY_PARTITION


BAD = [
    (b"", "decode", "empty_value"),
    (b"\xff", "decode", "not_utf8"),
    (b"{", "decode", "not_json"),
    (b"[]", "decode", "not_an_object"),
    (b'{"x":1,"x":1}', "decode", "duplicate_field"),
    (b"[" * 2000 + b"]" * 2000, "decode", "too_deep"),
    (b"{}", "validate", "missing_feature"),
    (b'{"x":"1"}', "validate", "wrong_type"),
    (b'{"x":null}', "validate", "null_not_allowed"),
    (b'{"x":1e400}', "validate", "out_of_range"),
    (b'{"x":1,"id":7}', "validate", "invalid_id"),
    (b'{"x":13}', "score", "score_failed"),
    (b'{"x":17}', "score", "not_finite"),
]


@pytest.mark.parametrize(("value", "stage", "code"), BAD)
@pytest.mark.parametrize("neighbours", [0, 1, 9])
def test_a_bad_event_becomes_one_dead_letter(
    value: bytes, stage: str, code: str, neighbours: int
) -> None:
    """The dead letter is the event untouched, with where it came from and why; no more happens."""
    good = [FakeRecord(its_partition=2, its_offset=offset) for offset in range(neighbours)]
    bad = FakeRecord(value, 2, 8812, b"UA", [("a", b"\xff"), ("a", None)], (1, 1385892900123))
    after = [replace(record, its_offset=9000 + record.its_offset) for record in good]

    outgoing, tally = run([*good, bad, *after])

    (letter,) = outgoing.dead_letters
    assert (letter.key, letter.value, letter.timestamp_ms) == (b"UA", value, 1385892900123)
    assert letter.partition == 2
    assert original_headers(letter.headers) == bad.its_headers
    failure = read_headers(letter.headers)
    assert (failure.stage, failure.code) == (stage, code)
    assert (failure.topic, failure.partition, failure.offset) == ("flights", 2, 8812)
    assert (failure.group, failure.model, failure.version) == (
        "streamscore-flight-delay",
        "flight-delay",
        "3",
    )
    assert (failure.timestamp_ms, failure.failed_at, failure.attempt) == (1385892900123, NOW, 1)
    assert 0 < len(failure.message) < 200
    assert tally == {"predicted": 2 * neighbours, "skipped": 0, code: 1}
    assert len(messages(outgoing)) == 2 * neighbours


def test_tombstones_are_skipped_and_counted() -> None:
    """By default an event without a value is answered by nothing, and counted."""
    outgoing, tally = run([FakeRecord(None), FakeRecord(), FakeRecord(b"")])

    assert tally == {"predicted": 1, "skipped": 1, "empty_value": 1}
    assert len(outgoing.dead_letters) == 1
    assert len(messages(outgoing)) == 1


def test_tombstones_are_dead_lettered_where_wished() -> None:
    """With that setting an event without a value becomes a dead letter without one."""
    pipeline = replace(PIPELINE, keep_tombstones=True)

    outgoing, tally = run([FakeRecord(), FakeRecord(None, its_key=b"UA")], pipeline)

    (letter,) = outgoing.dead_letters
    assert (letter.key, letter.value) == (b"UA", None)
    assert read_headers(letter.headers).code == "tombstone"
    assert omitted_value_bytes(letter.headers) is None
    assert tally == {"predicted": 1, "skipped": 0, "tombstone": 1}


def test_the_trace_goes_on() -> None:
    """`traceparent` and `tracestate` are carried on as they are, other headers are not."""
    trace: Headers = [("traceparent", b"00-a-b-01"), ("tracestate", b"\xff"), ("traceparent", None)]
    other: Headers = [("app", b"x"), ("Traceparent", b"y"), (ATTEMPT, b"7")]

    outgoing, _ = run([FakeRecord(its_headers=[*other, *trace]), FakeRecord(its_offset=1)])

    assert outgoing.predictions == {}
    first, second = outgoing.with_headers[0]
    assert first["headers"] == trace
    assert "headers" not in second


def test_only_the_partitions_with_headers_are_written_one_by_one() -> None:
    """A partition stands whole on one side, so that its order is kept."""
    traced = FakeRecord(its_partition=1, its_offset=1, its_headers=[("traceparent", b"x")])
    plain = [
        FakeRecord(its_partition=p, its_offset=o, its_headers=[]) for p in (0, 1) for o in (0, 2)
    ]

    outgoing, _ = run([plain[0], plain[2], traced, plain[1], plain[3]])

    assert set(outgoing.predictions) == {0}
    assert set(outgoing.with_headers) == {1}
    assert places(outgoing) == {0: [(0, 0), (0, 2)], 1: [(1, 0), (1, 1), (1, 2)]}


def test_cloud_events_describe_a_prediction_where_wished() -> None:
    """With that setting every prediction has the attributes, after its trace."""
    pipeline = replace(PIPELINE, cloud_events=CloudEvents("/streamscore/g"))

    outgoing, _ = run([FakeRecord(its_offset=7, its_headers=[("traceparent", b"x")])], pipeline)

    headers = dict(messages(outgoing)[0]["headers"])
    assert headers["traceparent"] == b"x"
    assert headers["ce_id"] == b"flights/0/7"
    assert headers["ce_time"] == NOW.encode()


def test_forged_headers_are_taken_off() -> None:
    """What a sender put under the reserved prefix reaches no dead letter but as the attempt."""
    forged: Headers = [
        ("__streamscore.errors.code", b"forged"),
        ("__streamscore.errors.value_omitted", b"9"),
        ("__streamscore.else", b"forged"),
        ("kept", b"1"),
        (ATTEMPT, b"3"),
    ]

    letter = letter_of(FakeRecord(b"{", its_headers=forged))

    assert original_headers(letter.headers) == [("kept", b"1")]
    assert [value for name, value in letter.headers if name.endswith(".code")] == [b"not_json"]
    assert b"forged" not in [value for _, value in letter.headers]
    assert omitted_value_bytes(letter.headers) is None
    assert read_headers(letter.headers).attempt == 3


@pytest.mark.parametrize("attempt", [b"", b"-1", b"x", b"\xff", b"9" * 400, None])
def test_a_forged_attempt_counts_as_the_first(attempt: bytes | None) -> None:
    """An attempt that no replay wrote is none."""
    letter = letter_of(FakeRecord(b"{", its_headers=[(ATTEMPT, attempt)]))

    assert read_headers(letter.headers).attempt == 1


def test_500_headers_are_kept() -> None:
    """All of many headers stay on a dead letter, in order, and trouble no prediction."""
    many: Headers = [(f"h{number % 7}", bytes([number % 256])) for number in range(500)]

    outgoing, tally = run([FakeRecord(its_headers=many), FakeRecord(b"{", its_headers=many)])

    assert original_headers(outgoing.dead_letters[0].headers) == many
    assert tally == {"predicted": 1, "skipped": 0, "not_json": 1}


def test_a_prediction_that_is_too_large_becomes_a_dead_letter() -> None:
    """Where a long id or key makes a prediction exceed its topic, that event is dead-lettered."""
    pipeline = replace(PIPELINE, output=replace(ROOMY, limit_bytes=2000))
    long_id = json.dumps({"id": "x" * 2000, "x": 1}).encode()
    records = [FakeRecord(), FakeRecord(long_id), FakeRecord(its_key=b"k" * 2000), FakeRecord()]

    outgoing, tally = run(records, pipeline)

    assert tally == {"predicted": 2, "skipped": 0, "too_large": 2}
    assert [letter.value for letter in outgoing.dead_letters] == [long_id, GOOD]
    failure = read_headers(outgoing.dead_letters[0].headers)
    assert (failure.stage, failure.code) == ("encode", "too_large")
    assert "long id" in failure.message
    assert all(len(m["value"]) + len(m["key"]) < 2000 for m in messages(outgoing))


def test_a_dead_letter_that_is_too_large_omits_its_value() -> None:
    """A value that does not fit beside the headers is left out, and its size is told."""
    pipeline = replace(PIPELINE, dead_letters=replace(ROOMY, limit_bytes=5000))

    letter = letter_of(FakeRecord(b"{" * 5000, its_headers=[("kept", b"1")]), pipeline)

    assert letter.value is None
    assert omitted_value_bytes(letter.headers) == 5000
    assert original_headers(letter.headers) == [("kept", b"1")]
    assert read_headers(letter.headers).code == "not_json"


def test_a_dead_letter_whose_headers_are_too_large_omits_them_too() -> None:
    """Where the event's own headers alone do not fit, the reason is what stays."""
    pipeline = replace(PIPELINE, dead_letters=replace(ROOMY, limit_bytes=5000))

    letter = letter_of(FakeRecord(b"{", its_headers=[("kept", b"1" * 5000)]), pipeline)

    assert letter.value is None
    assert original_headers(letter.headers) == []
    assert omitted_value_bytes(letter.headers) == 1
    assert size(letter) < 5000


def size(letter: DeadLetter) -> int:
    headers = sum(len(name.encode()) + len(value or b"") for name, value in letter.headers)
    return len(letter.key or b"") + len(letter.value or b"") + headers


def test_the_stages_are_entered_in_order() -> None:
    """Decode, score and encode are timed one after the other."""
    entered: list[str] = []

    @contextlib.contextmanager
    def stage(name: str) -> Iterator[None]:
        entered.append(name)
        yield
        entered.append(f"/{name}")

    PIPELINE.run(Batch("flights", [FakeRecord()], [0], [0], None), NOW, stage)

    assert entered == ["decode", "/decode", "score", "/score", "encode", "/encode"]


def test_an_empty_batch_is_answered_with_nothing() -> None:
    """No records, no predictions, no dead letters."""
    outgoing, tally = run([])

    assert (messages(outgoing), outgoing.dead_letters) == ([], [])
    assert tally == {"predicted": 0, "skipped": 0}


def test_a_batch_of_nothing_but_failures_is_all_dead_letters() -> None:
    """Where no event of a batch can be answered, each becomes its dead letter."""
    for value in (b"{", b'{"x":13}', b'{"x":17}'):
        outgoing, tally = run([FakeRecord(value, its_offset=offset) for offset in range(5)])

        assert messages(outgoing) == []
        assert [read_headers(letter.headers).offset for letter in outgoing.dead_letters] == [
            *range(5)
        ]
        assert tally["predicted"] == 0


values = st.sampled_from(
    [None, GOOD, GOOD, GOOD, b'{"x":2}', json.dumps({"id": "x" * 3000, "x": 1}).encode()]
    + [value for value, _, _ in BAD]
)
headers = st.sampled_from([None, None, [], [("traceparent", b"x")], [(ATTEMPT, b"2")]])


@settings(deadline=None)
@given(
    drawn=st.lists(st.tuples(values, st.integers(0, 3), headers), max_size=40),
    same=st.booleans(),
    keep=st.booleans(),
)
def test_every_record_is_answered_exactly_once(
    *, drawn: list[tuple[bytes | None, int, Headers | None]], same: bool, keep: bool
) -> None:
    """Each record is in one prediction or one dead letter or skipped, in its partition's order."""
    pipeline = replace(
        PIPELINE, output=Target(same_partitions=same, limit_bytes=3000), keep_tombstones=keep
    )
    records = [
        FakeRecord(value, partition, 100 + at, its_headers=its_headers)
        for at, (value, partition, its_headers) in enumerate(drawn)
    ]

    outgoing, tally = run(records, pipeline)

    predicted = places(outgoing)
    for partition, sent in predicted.items():
        if same:
            assert {source for source, _ in sent} == {partition}
        assert [offset for _, offset in sent] == sorted(offset for _, offset in sent)
    letters = [read_headers(letter.headers) for letter in outgoing.dead_letters]
    rejected = [(failure.partition, failure.offset) for failure in letters]
    assert [offset for _, offset in rejected] == sorted(offset for _, offset in rejected)
    skipped = [r for r in records if r.value() is None and not keep]
    answered = [place for sent in predicted.values() for place in sent] + rejected
    answered += [(r.partition(), r.offset()) for r in skipped]
    assert sorted(answered) == sorted((r.partition(), r.offset()) for r in records)
    assert tally.pop("predicted") == sum(map(len, predicted.values()))
    assert tally.pop("skipped") == len(skipped)
    assert sum(tally.values()) == len(letters)


@given(
    drawn=st.lists(st.tuples(values, st.integers(0, 3), st.sampled_from([b"k", b"", None]))),
    same=st.booleans(),
)
def test_a_batch_in_bulk_is_what_it_is_one_by_one(
    *, drawn: list[tuple[bytes | None, int, bytes | None]], same: bool
) -> None:
    """One record with a header, in a partition of its own, changes nothing for the others."""
    pipeline = replace(PIPELINE, output=Target(same_partitions=same, limit_bytes=1_000_000))
    records = [
        FakeRecord(value, partition, at, key) for at, (value, partition, key) in enumerate(drawn)
    ]
    headed = FakeRecord(GOOD, 9, len(drawn), its_headers=[("traceparent", b"x")])

    bulk, _ = run(records, pipeline)
    singly, _ = run([*records, headed], pipeline)

    target = 9 if same else ANY_PARTITION
    for message in singly.with_headers.get(target, []):
        message.pop("headers", None)
    together = {**singly.predictions, **singly.with_headers}
    assert together.pop(target)[:-1] == bulk.predictions.get(target, [])
    assert together == {key: sent for key, sent in bulk.predictions.items() if key != target}
    assert singly.dead_letters == bulk.dead_letters


class Unreadable(FakeRecord):
    """A record with a header name that is not UTF-8, as confluent-kafka 2.16 gives it."""

    def headers(self) -> Headers | None:
        raise SystemError("returned a result with an exception set")


def test_headers_that_the_client_cannot_read_stop_nothing() -> None:
    """The event is answered, or dead-lettered, without them."""
    outgoing, tally = run([Unreadable(GOOD), Unreadable(b"{")])
    assert tally == {"predicted": 1, "skipped": 0, "not_json": 1}
    assert len(messages(outgoing)) == 1
    assert read_headers(outgoing.dead_letters[0].headers).code == "not_json"


def test_a_trace_header_that_is_too_large_dead_letters_its_event() -> None:
    """Its record would be refused by the broker each time: the batch would never be committed."""
    huge = FakeRecord(its_headers=[("traceparent", b"0" * 2_000_000)])
    _, tally = run([FakeRecord(), huge])
    assert tally == {"predicted": 1, "skipped": 0, "too_large": 1}
