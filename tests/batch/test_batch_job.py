"""A day's way from the source to the target, on both kinds of database."""

from datetime import date, timedelta
from typing import TYPE_CHECKING

from model.bundle import Model

DAY = date(2013, 12, 30)  # that of the bench's flights

if TYPE_CHECKING:
    from tests.batch.conftest import Bench


def test_a_day_is_scored(bench: "Bench", small_model: Model) -> None:
    """Given a day's rows, when it is scored, then each has its prediction and the run is whole."""
    bench.make_flights(count=250)
    job = bench.job(small_model)

    outcome = bench.score(job)

    assert (outcome.run.rows_read, outcome.run.rows_scored, outcome.run.rows_rejected) == (
        250,
        250,
        0,
    )
    assert len(bench.predictions()) == 250
    assert bench.score(job).skipped


def test_an_id_that_another_day_had_is_scored_anew(bench: "Bench", small_model: Model) -> None:
    """Given rows that move to the next day, then their predictions are those of that day."""
    bench.make_flights(count=250)
    job = bench.job(small_model)
    bench.score(job)
    before = bench.predictions()
    bench.execute("UPDATE flights SET at = '2013-12-31 10:00:00' WHERE id LIKE '%7'")

    outcome = bench.score(job, DAY + timedelta(days=1))

    assert outcome.run.rows_scored == 25
    after = bench.predictions()
    assert [row[:7] for row in after] == [row[:7] for row in before]
    moved = [str(row[7]) for row in after if row[0].endswith("7")]
    assert moved == ["2013-12-31"] * 25
