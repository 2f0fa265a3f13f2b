"""Outcomes that come early, late, twice or not at all; restarts; bounds."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import SettingsError
from monitor import quality
from monitor.join import Join
from monitor.records import Outcome, Prediction, decode_outcomes, decode_predictions

T0 = 1_700_000_000.0


def prediction(name: str, answer: object = 1.5, **more: object) -> Prediction:
    text = {
        "id": name, "prediction": answer, "model": "m", "version": "1",
        "source": {"topic": "t", "partition": 0, "offset": 1}, "scored_at": "x", **more,
    }  # fmt: skip
    (read,) = decode_predictions([json.dumps(text).encode()])
    assert read is not None
    return read


@pytest.fixture
def join() -> Iterator[Join]:
    made = Join(":memory:", keep_s=3600, keep_rows=100)
    yield made
    made.close()


def whole(join: Join) -> quality.Sums:
    return quality.total(each.sums for each in join.minutes())


def test_late_early_and_duplicate_outcomes_count_once(join: Join) -> None:
    """Each id is one pair, by its first outcome, whichever record came first."""
    join.begin()
    join.add_outcomes([(Outcome("early", 3.5), T0), (Outcome("early", 99.0), T0 + 1)])
    assert join.waiting() == (0, 1)
    join.add_predictions([(prediction("early"), T0 + 5), (prediction("late"), T0)])
    join.add_outcomes([(Outcome("late", 1.0), T0 + 100), (Outcome("late", 50.0), T0 + 101)])
    join.add_predictions([(prediction("late", 77), T0 + 102)])
    join.commit({("p", 0): 3})
    found = quality.metrics(whole(join), numbers=True)
    assert found["mae"] == pytest.approx((2.0 + 0.5) / 2)
    assert join.waiting() == (0, 0)
    counts = join.counts()
    assert counts["joined"] == 2
    assert counts["duplicate_outcomes"] == 2
    assert counts["duplicate_predictions"] == 1


def test_coverage_is_by_the_minute_of_the_prediction(join: Join) -> None:
    """An outcome an hour later covers a prediction of an hour ago; its pair is one of now."""
    join.begin()
    join.add_predictions([(prediction("a"), T0), (prediction("b"), T0)])
    join.add_outcomes([(Outcome("a", 1.0), T0 + 3600)])
    first, later = sorted(join.minutes(), key=lambda each: each.minute)
    assert (first.predicted, first.covered, first.sums.n) == (2, 1, 0)
    assert (later.predicted, later.covered, later.sums.n) == (0, 0, 1)


@given(
    order=st.permutations([(kind, n) for kind in "po" for n in range(4)]),
    cut=st.integers(0, 8),
)
def test_any_order_and_a_crash_in_between_give_the_same_pairs(
    order: list[tuple[str, int]], cut: int
) -> None:
    """Given records in any order, when a batch is undone and read again, then nothing doubles."""
    join = Join(":memory:", keep_s=3600, keep_rows=100)

    def take(records: list[tuple[str, int]]) -> None:
        for kind, n in records:
            if kind == "p":
                join.add_predictions([(prediction(str(n), float(n)), T0)])
            else:
                join.add_outcomes([(Outcome(str(n), 2.0 * n), T0 + 1)])

    join.begin()
    take(order[:cut])
    join.commit({("x", 0): cut})
    join.begin()
    take(order[cut:])
    join.rollback()  # killed before its commit: the offsets still say `cut`
    assert join.offsets() == {("x", 0): cut}
    join.begin()
    take(order[cut:])
    join.commit({("x", 0): len(order)})
    assert quality.metrics(whole(join), numbers=True)["mae"] == pytest.approx(1.5)
    assert join.counts()["joined"] == 4
    join.close()


def test_a_restart_goes_on_where_it_stood(tmp_path: Path) -> None:
    """Pairs, what waits, counts and offsets are in the file."""
    path = tmp_path / "deep" / "state.db"
    first = Join(path, keep_s=3600, keep_rows=100)
    first.begin()
    first.add_predictions([(prediction("a"), T0)])
    first.note("started", "then")
    first.commit({("p", 3): 7})
    first.close()
    second = Join(path, keep_s=3600, keep_rows=100)
    assert second.offsets() == {("p", 3): 7}
    assert second.notes() == {"started": "then"}
    second.begin()
    (pair,) = second.add_outcomes([(Outcome("a", 2.0), T0 + 9)])
    assert (pair.delay_s, pair.predicted, pair.truth) == (9.0, 1.5, 2.0)
    second.close()


def test_a_state_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    """One that another monitor has open, or a folder in its place: the setting is named."""
    first = Join(tmp_path / "state.db", keep_s=1, keep_rows=1)
    for path in (tmp_path / "state.db", tmp_path):
        with pytest.raises(SettingsError, match="cannot be used") as caught:
            Join(path, keep_s=1, keep_rows=1)
        assert "monitor.state" in caught.value.hint
    first.close()


def test_age_and_size_bound_what_is_kept(join: Join) -> None:
    """The oldest go first, are counted, and their late outcome waits as an early one would."""
    join.begin()
    join.add_predictions([(prediction(f"old-{n}"), T0 - 5000) for n in range(10)])
    join.add_predictions([(prediction(f"new-{n}"), T0 + n) for n in range(130)])
    join.expire(T0)
    assert join.waiting() == (100, 0)
    assert join.counts()["expired"] == 40
    assert join.add_outcomes([(Outcome("new-0", 1.0), T0)]) == []
    assert len(join.add_outcomes([(Outcome("new-129", 1.0), T0 + 500)])) == 1


def test_old_minutes_are_merged_and_nothing_is_lost(join: Join) -> None:
    """The figures over all stay; the number of rows does not grow with the days."""
    join.begin()
    for day in range(5):
        at = T0 + day * 86_400
        join.add_predictions([(prediction(f"p-{day}"), at)])
        join.add_outcomes([(Outcome(f"p-{day}", 0.5), at)])
    join.expire(T0 + 4 * 86_400 + 60)
    assert len(join.minutes()) == 2
    assert whole(join).n == 5


def test_labels_are_compared_whatever_their_type(join: Join) -> None:
    """Texts, booleans and whole numbers; 1.0 is the label 1."""
    join.begin()
    join.add_predictions([
        (prediction("t", "late", probabilities={"early": 0.2, "late": 0.8}), T0),
        (prediction("b", answer=True, probabilities={"false": 0.4, "true": 0.6}), T0),
        (prediction("i", 1, probabilities={"0": 0.1, "1": 0.9}), T0),
    ])  # fmt: skip
    join.add_outcomes([(Outcome("t", "late"), T0), (Outcome("b", outcome=True), T0),
                       (Outcome("i", 1.0), T0)])  # fmt: skip
    sums = whole(join)
    found = quality.metrics(sums, numbers=False)
    assert found["accuracy"] == 1.0
    assert found["brier"] == pytest.approx((0.04 + 0.16 + 0.01) / 3)


@pytest.mark.parametrize(
    "value", [None, b"", b"[]", b"{", b'{"id": 3, "outcome": 1}', b'{"id": "a"}', b"\xff"]
)
def test_what_is_no_outcome_is_left_out(value: bytes | None) -> None:
    """Bad records stop nothing."""
    assert decode_outcomes([value]) == [None]
    assert decode_predictions([value]) == [None]


def test_a_prediction_that_was_asked_for_by_http_has_no_place_on_the_input() -> None:
    """Published online answers are predictions like any other, but for their source."""
    source = {"request": "r-1", "index": 0}
    assert prediction("online", source=source).source.partition == -1


def test_a_number_beyond_64_bits_is_kept_as_a_float(join: Join) -> None:
    """JSON has no largest whole number; SQLite has."""
    join.begin()
    join.add_predictions([(prediction("huge", 2**70), T0)])
    (pair,) = join.add_outcomes([(Outcome("huge", 2**70), T0)])
    assert pair.predicted == float(2**70)
