"""The benchmark looks at the answers: whatever is wrong with them ends it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import pytest

from benchmarks.answers import Copies, Predictions, Stamps
from benchmarks.cases import Case, padded, poisoned
from benchmarks.lab import CHUNK, Backlog, BenchmarkError

VALUES = [
    orjson.dumps({"id": f"e-{n}", "distance": n, "dep_delay": n, "origin": "JFK"})
    for n in range(700)
]


@dataclass(frozen=True)
class Written:
    """A record of an output topic."""

    data: bytes
    at_ms: int = 0

    def value(self) -> bytes:
        return self.data

    def timestamp(self) -> tuple[int, int]:
        return 2, self.at_ms


def case() -> Case:
    return Case(
        name="flight",
        reference="flight:1",
        values=VALUES,
        expected=np.arange(len(VALUES), dtype=np.float64),
        features=["distance"],
        estimator=None,
        dump=Path("unused"),
    )


def backlog(count: int = 2 * CHUNK + 10, partitions: int = 2) -> Backlog:
    return Backlog(case(), "events", partitions, count)


def position(at: Backlog, partition: int, offset: int) -> int:
    return int(at.positions(np.array([partition]), np.array([offset]))[0])


def answers(at: Backlog, partition: int, offsets: range, error: float = 0.0) -> list[Written]:
    """What a right contestant writes, off by `error`."""
    return [
        Written(
            orjson.dumps(
                {
                    "source": {"topic": "events", "partition": partition, "offset": offset},
                    "prediction": at.case.expected[position(at, partition, offset)].item() + error,
                }
            )
        )
        for offset in offsets
    ]


@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, 3 * CHUNK + 7, 12 * CHUNK])
@pytest.mark.parametrize("partitions", [1, 4])
def test_each_place_of_a_backlog_holds_the_value_that_was_published_there(
    count: int, partitions: int
) -> None:
    """Chunks go to the partitions in turn: position and size follow from the number alone."""
    at = backlog(count, partitions)
    published: list[list[int]] = [[] for _ in range(partitions)]
    for start in range(0, count, CHUNK):
        chunk = [n % len(VALUES) for n in range(start, min(start + CHUNK, count))]
        published[start // CHUNK % partitions] += chunk
    assert at.sizes() == [len(each) for each in published]
    for partition, positions in enumerate(published):
        offsets = np.arange(len(positions))
        assert at.positions(np.full_like(offsets, partition), offsets).tolist() == positions


def test_right_answers_are_counted() -> None:
    """Given every event answered once with the model's prediction, then all of them count."""
    at = backlog()
    check = Predictions(at)
    for partition, size in enumerate(at.sizes()):
        check.add(partition, answers(at, partition, range(size)))  # type: ignore[arg-type]
    assert check.finish() == at.count


def test_a_wrong_prediction_is_found() -> None:
    """A millionth beside the model's is wrong."""
    check = Predictions(backlog())
    with pytest.raises(BenchmarkError, match="not the model's"):
        check.add(0, answers(backlog(), 0, range(1, 9), error=1e-6))  # type: ignore[arg-type]


def test_a_doubled_and_a_lost_answer_are_found() -> None:
    """Each event once: neither twice nor not at all."""
    at = backlog()
    doubled, lost = Predictions(at), Predictions(at)
    for partition, size in enumerate(at.sizes()):
        doubled.add(partition, answers(at, partition, range(size)))  # type: ignore[arg-type]
        lost.add(partition, answers(at, partition, range(1, size)))  # type: ignore[arg-type]
    doubled.add(0, answers(at, 0, range(1)))  # type: ignore[arg-type]
    with pytest.raises(BenchmarkError, match="twice"):
        doubled.finish()
    with pytest.raises(BenchmarkError, match="not answered"):
        lost.finish()


def test_a_slow_contestant_may_answer_a_first_part_without_gaps() -> None:
    """Given that it was stopped early, then what it wrote must have no hole."""
    at = backlog()
    begun, holed = Predictions(at), Predictions(at)
    begun.add(0, answers(at, 0, range(30)))  # type: ignore[arg-type]
    assert begun.finish(whole=False) == 30
    holed.add(0, answers(at, 0, range(1, 30)))  # type: ignore[arg-type]
    with pytest.raises(BenchmarkError, match="not answered"):
        holed.finish(whole=False)


def test_copies_must_be_the_events_bytes() -> None:
    """A pass-through that changes or drops a byte is found."""
    at = backlog()
    right, wrong, short = Copies(at), Copies(at), Copies(at)
    for partition, size in enumerate(at.sizes()):
        values = [VALUES[position(at, partition, offset)] for offset in range(size)]
        right.add(partition, [Written(value) for value in values])  # type: ignore[misc]
        short.add(partition, [Written(value) for value in values[:-1]])  # type: ignore[misc]
    assert right.finish() == at.count
    with pytest.raises(BenchmarkError, match="differs"):
        wrong.add(0, [Written(VALUES[0] + b" ")])  # type: ignore[list-item]
    with pytest.raises(BenchmarkError, match="missing"):
        short.finish()


def test_the_rate_is_that_of_the_brokers_times() -> None:
    """From the first to the last; of several workers from when all of them had work."""
    stamps = Stamps()
    stamps.add([Written(b"", ms) for ms in range(1000, 2001, 10)])  # type: ignore[misc]
    assert list(stamps.rate(0)) == pytest.approx([100.0, 100 / 101])
    assert list(stamps.rate(1500)) == pytest.approx([100.0, 50 / 101])
    assert stamps.rate(9999) == stamps.rate(0)


def test_answers_of_one_millisecond_have_a_rate() -> None:
    """A tiny run tells little, and breaks nothing."""
    stamps = Stamps()
    stamps.add([Written(b"", 1000)] * 7)  # type: ignore[list-item]
    assert stamps.rate(0) == (7000.0, 1.0)


def test_one_event_in_a_hundred_is_poisoned() -> None:
    """Three kinds of bad events in turn, and the others as they were."""
    bad = poisoned(case())
    assert len(bad.values) == 700
    assert len(bad.bad) == 7
    changed = {n for n, (old, new) in enumerate(zip(VALUES, bad.values, strict=True)) if old != new}
    assert changed == bad.bad


def test_padding_leaves_the_features_alone() -> None:
    """A padded event is about as large as asked for, and still the same event."""
    large = padded(case(), 2_000)
    assert {len(value) // 10 for value in large.values} == {200}
    event = orjson.loads(large.values[3])
    assert {**event, "note": ""} == {**orjson.loads(VALUES[3]), "note": ""}
