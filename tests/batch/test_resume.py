"""A run that was left goes on only over the rows that it left; a day is complete for its hours."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.snapshot import digest_of
from model.bundle import Model
from model.errors import DatabaseError, RunStopped, SourceUnfit, StreamscoreError

if TYPE_CHECKING:
    from tests.batch.conftest import Bench

# `flights` has 250 rows; in chunks of 100 the first one ends at 99: the last id may go on.
CHANGES = {
    "a done row has another feature": [
        "UPDATE flights SET distance = 1 WHERE id = 'f-2013-12-30-00050'",
    ],
    "a done row has a feature that is gone": [
        "UPDATE flights SET temp = NULL WHERE id = 'f-2013-12-30-00050'",
    ],
    "one is gone and another came": [
        "DELETE FROM flights WHERE id = 'f-2013-12-30-00000'",
        "INSERT INTO flights VALUES ('f-2', '2013-12-30 12:00:00', 9, 9, 'EWR', 9)",
    ],
    "one came with the last one's id": [
        "INSERT INTO flights VALUES ('f-2013-12-30-00098', '2013-12-30 12:00:00', 9, 9, 'EWR', 9)",
    ],
    "one has no id any more": ["UPDATE flights SET id = NULL WHERE id = 'f-2013-12-30-00000'"],
    "all are gone": ["DELETE FROM flights"],
}

values = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary()),
    *(st.decimals(allow_nan=False), st.uuids(), st.datetimes(), st.just("\udcff")),
)


def left_half_way(bench: "Bench", model: Model, *, chunks: int = 1, again: bool = False) -> None:
    """A day whose run was stopped after its first chunk, or so many."""
    stops = iter([*[False] * (chunks - 1), True])
    stopping = replace(bench, stopped=lambda: next(stops))
    with pytest.raises(RunStopped):
        stopping.score(stopping.job(model), again=again)


@pytest.mark.parametrize("change", CHANGES)
def test_done_rows_that_changed(bench: "Bench", small_model: Model, change: str) -> None:
    """Given a source that changed behind a stopped run, then the day is begun anew, as it is."""
    bench.make_flights(count=250)
    left_half_way(bench, small_model)
    bench.execute(*CHANGES[change])

    resumed = bench.score(bench.job(small_model)).run
    after_resume = bench.predictions(), bench.rejections()
    anew = bench.score(bench.job(small_model), again=True).run

    assert resumed.attempt == 1
    assert bench.rows("SELECT state FROM runs ORDER BY started_at") == [
        ("interrupted",), ("complete",), ("complete",)
    ]  # fmt: skip
    assert after_resume == (bench.predictions(), bench.rejections())
    assert (resumed.rows_read, resumed.digest) == (anew.rows_read, anew.digest)


def test_rows_behind_that_changed(bench: "Bench", small_model: Model) -> None:
    """Given a change of rows that were not done yet, then the run goes on, over the new ones."""
    bench.make_flights(count=250)
    left_half_way(bench, small_model)
    bench.execute("UPDATE flights SET distance = 4000 WHERE id = 'f-2013-12-30-00200'")

    resumed = bench.score(bench.job(small_model)).run
    after_resume = bench.predictions()
    bench.score(bench.job(small_model), again=True)

    assert (resumed.attempt, resumed.rows_read) == (2, 250)
    assert after_resume == bench.predictions()


@pytest.mark.parametrize("chunk_rows", [7, 100, 1000])
def test_chunks_of_another_size(bench: "Bench", small_model: Model, chunk_rows: int) -> None:
    """Given another size of chunks when a run goes on, then it does, and comes to the same."""
    bench.make_flights(count=250)
    left_half_way(bench, small_model)

    resumed = replace(bench, chunk_rows=chunk_rows)
    run = resumed.score(resumed.job(small_model)).run

    assert (run.attempt, run.rows_scored) == (2, 250)
    assert bench.score(bench.job(small_model), again=True).run.digest == run.digest


def test_a_stop_while_done_rows_are_compared(bench: "Bench", small_model: Model) -> None:
    """Given a stop before a run has gone on, then it stands where it stood."""
    bench.make_flights(count=250)
    left_half_way(bench, small_model)
    stopping = replace(bench, stopped=lambda: True, chunk_rows=10)

    with pytest.raises(RunStopped, match="after 99 rows"):
        stopping.score(stopping.job(small_model))

    assert bench.rows("SELECT state, rows_read, attempt FROM runs") == [("interrupted", 99, 1)]
    assert bench.score(bench.job(small_model)).run.attempt == 2


def test_a_day_of_other_hours(
    bench: "Bench", small_model: Model, rows_of: Callable[..., list[tuple[Any, ...]]]
) -> None:
    """Given another time zone, then the day is scored anew, and holds the rows of its hours."""
    bench.make_flights(count=240)
    first = bench.score(bench.job(small_model))
    moved = replace(bench, zone=ZoneInfo("Asia/Tokyo"))

    second = moved.score(moved.job(small_model))
    third = moved.score(moved.job(small_model))

    assert (first.skipped, second.skipped, third.skipped) == (False, False, True)
    ids = {row[0] for row in rows_of(first.run.task.window.day, 240)[: second.run.rows_scored]}
    assert 0 < second.run.rows_scored < 240
    assert {row[0] for row in bench.predictions()} == ids


def test_a_table_with_another_key(bench: "Bench") -> None:
    """Given a table with our columns but another key, then it is refused: it could hold doubles."""
    bench.open_target()
    bench.execute(
        "ALTER TABLE predictions RENAME TO kept",
        "CREATE TABLE predictions AS SELECT * FROM kept",
        on=bench.target,
    )

    with pytest.raises(DatabaseError, match=r"its primary key is not \(event_id, model\)"):
        bench.open_target()


@given(st.lists(st.tuples(st.text(), values, values), max_size=40), st.integers(0, 40))
def test_a_digest_of_parts(rows: list[tuple[Any, ...]], cut: int) -> None:
    """Rows have one digest, however they are cut into chunks."""
    assert digest_of(rows[cut:], digest_of(rows[:cut])) == digest_of(rows)


def test_a_digest_is_of_values() -> None:
    """Each value counts, and its kind does: a number is not its text, NULL is not the text."""
    odd = [
        *(None, "None", "", 0, "0", 1 << 70, -1, 1.5, float("nan"), "\udcff", b"\xff", "ÿ"),
        *(True, Decimal("1.50"), Decimal("1.5"), UUID(int=1), timedelta(days=1)),
    ]
    assert len({digest_of([("a", value)]) for value in odd}) == len(odd)


def test_progress_while_done_rows_are_compared(bench: "Bench", small_model: Model) -> None:
    """Given rows that are compared, then the bar moves with them, and comes to all rows once."""
    bench.make_flights(count=250)
    bench.execute("UPDATE flights SET id = NULL WHERE id LIKE '%0'")
    left_half_way(bench, small_model, chunks=2)
    job = replace(bench, chunk_rows=20).job(small_model)
    resumed, anew = Told(), Told()
    job.score_day(bench.task(job), resumed)
    left_half_way(bench, small_model, chunks=2, again=True)
    bench.execute("UPDATE flights SET distance = 1 WHERE hour > 1")
    job.score_day(bench.task(job), anew)

    assert max(resumed.steps) <= 25  # nulls of the first chunk, and chunks of 20
    for told in (resumed, anew):
        assert (sum(told.steps), told.total) == (250, 250)
    assert [step < 0 for step in resumed.steps].count(True) == 0
    assert [step < 0 for step in anew.steps].count(True) == 1


class Told:
    """Is told of progress, and keeps it."""

    def __init__(self) -> None:
        self.total, self.steps = 0.0, list[float]()

    def expect(self, total: float) -> None:
        """Keep it."""
        self.total = total

    def advance(self, count: float = 1) -> None:
        """Keep it."""
        self.steps.append(count)


@pytest.mark.parametrize("error", [DatabaseError("gone"), SourceUnfit("too many of one id")])
def test_a_failure_while_done_rows_are_compared(
    bench: "Bench", small_model: Model, error: StreamscoreError
) -> None:
    """Given a source that fails before a run has gone on, then `runs` says so; the next goes on."""
    bench.make_flights(count=250)
    left_half_way(bench, small_model)

    job = bench.job(small_model)
    with pytest.raises(type(error)):
        job.score_day(bench.task(job), Failing(error))

    where = "SELECT state, rows_read, attempt, error FROM runs"
    assert bench.rows(where) == [("failed", 99, 1, str(error))]
    assert bench.score(bench.job(small_model)).run.attempt == 2
    assert bench.rows(where) == [("complete", 250, 2, None)]


class Failing(Told):
    """Fails as soon as it is told of progress, as a source does in the middle of a day."""

    def __init__(self, error: StreamscoreError) -> None:
        super().__init__()
        self.error = error

    def advance(self, count: float = 1) -> None:
        """Fail."""
        raise self.error
