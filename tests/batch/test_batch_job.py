"""A day's way from the source to the target, on both kinds of database."""

from typing import TYPE_CHECKING

from model.bundle import Model

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
