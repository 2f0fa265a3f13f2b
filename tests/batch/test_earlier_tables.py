"""Tables that are there already: those of an earlier version go on, those of others are refused."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from batch.database import Database
from batch.dry_run import check
from batch.found import find_model, find_runs
from batch.tables import metadata
from batch.target import Target
from model.bundle import Model
from model.errors import DatabaseError, RunStopped
from runtime.settings import Settings
from runtime.stop import Stop

if TYPE_CHECKING:
    from tests.batch.conftest import Bench

SINCE = ("digest", "source_digest")
RUNS = "SELECT state, attempt, digest, source_digest FROM runs ORDER BY started_at"


def make_earlier(bench: "Bench") -> None:
    """The table `runs` as it was before it had these columns."""
    bench.execute(*(f"ALTER TABLE runs DROP COLUMN {name}" for name in SINCE), on=bench.target)


def test_runs_of_an_earlier_version_are_kept(bench: "Bench", small_model: Model, day: date) -> None:
    """Given a table that lacks what came since, then it is added, and the day is scored anew."""
    bench.make_flights(count=120)
    bench.score(bench.job(small_model))
    before = bench.predictions()
    make_earlier(bench)

    bench.open_target()

    assert bench.rows(RUNS) == [("complete", 1, None, None)]
    assert not bench.score(bench.job(small_model)).skipped
    assert bench.score(bench.job(small_model)).skipped
    assert bench.predictions() == before
    old, new = bench.rows(RUNS)
    assert (old, None in new) == (("complete", 1, None, None), False)
    with bench.connect(bench.target) as connection:
        assert [run.rows_scored for run in find_runs(connection, "delay", day, day)] == [120]


@pytest.mark.parametrize("gone", [SINCE, SINCE[:1], SINCE[1:]])
def test_a_run_that_an_earlier_version_left(
    bench: "Bench", small_model: Model, gone: tuple[str, ...]
) -> None:
    """Given an unfinished run without what tells its rows, then the day is begun anew."""
    bench.make_flights(count=250)
    stopping = replace(bench, stopped=lambda: True)
    with pytest.raises(RunStopped):
        stopping.score(stopping.job(small_model))
    bench.execute(*(f"UPDATE runs SET {name} = NULL" for name in gone), on=bench.target)  # noqa: S608

    run = bench.score(bench.job(small_model)).run

    assert (run.attempt, run.rows_scored) == (1, 250)
    assert len(bench.predictions()) == 250


def test_readers_say_what_an_earlier_table_needs(
    bench: "Bench",
    bench_settings: Settings,
    small_model: Model,
    capsys: pytest.CaptureFixture[str],
    day: date,
) -> None:
    """Given such a table, then report, alert and dry run say what it lacks, and change nothing."""
    bench.make_flights(count=20)
    bench.score(bench.job(small_model))
    make_earlier(bench)

    with (
        bench.connect(bench.target) as connection,
        pytest.raises(DatabaseError, match="lacks digest, source_digest") as caught,
    ):
        find_model(connection, "delay", day)

    assert "streamscore batch run" in caught.value.hint
    check(bench_settings, day, Stop(10.0))
    said = " ".join(capsys.readouterr().out.split())
    assert "would score the day; it would add to the table runs digest, source_digest" in said
    with pytest.raises((sa.exc.OperationalError, sa.exc.ProgrammingError)):
        bench.rows("SELECT digest FROM runs")


def test_columns_that_several_add_at_once(bench: "Bench") -> None:
    """Given many that begin at once on an earlier table, then each column is added once."""
    bench.open_target()
    make_earlier(bench)
    failed: list[BaseException] = []
    start = threading.Barrier(6)

    def prepare() -> None:
        target = Target(Database(bench.target, create=True))
        start.wait(30)
        try:
            target.prepare()
        except DatabaseError as error:
            failed.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failed == []
    assert bench.rows(RUNS) == []


def make_table(bench: "Bench", table: str, **kinds: Any) -> None:
    """One of our tables, with other types for some of its columns."""
    changed = sa.MetaData()
    copy = metadata.tables[table].to_metadata(changed)
    for name, kind in kinds.items():
        copy.c[name].type = kind
    with bench.connect(bench.target) as connection, connection.begin():
        changed.create_all(connection)


WRONG = {
    "predictions.event_id": sa.BigInteger(),
    "predictions.prediction": sa.Text(),
    "predictions.probabilities": sa.Integer(),
    "predictions.scored_for": sa.Integer(),
    "predictions.scored_at": sa.Date(),
    "rejections.number": sa.Text(),
    "runs.rows_read": sa.Float(),
    "runs.source_digest": sa.BigInteger(),
}


@pytest.mark.parametrize("column", WRONG)
def test_a_table_with_another_type(bench: "Bench", column: str) -> None:
    """Given our columns and key but a type that would bend values, then it is refused by name."""
    table, _, name = column.partition(".")
    make_table(bench, table, **{name: WRONG[column]})

    with pytest.raises(DatabaseError, match=f"another table '{table}': {name} is .+ rather than"):
        bench.open_target()


@pytest.mark.parametrize(
    ("name", "kind"), [("scored_at", sa.DateTime()), ("prediction", sa.REAL())]
)
def test_a_type_that_keeps_less(postgres_bench: "Bench", name: str, kind: Any) -> None:
    """Given times without a zone, or half of a number's digits, then PostgreSQL's are refused."""
    make_table(postgres_bench, "predictions", **{name: kind})

    with pytest.raises(DatabaseError, match=f"{name} is "):
        postgres_bench.open_target()


def test_types_of_the_same_families(
    bench: "Bench", small_model: Model, rows_of: Callable[..., list[tuple[Any, ...]]], day: date
) -> None:
    """Given types that keep the same, then the table is used."""
    kinds = {"event_id": sa.String(80), "prediction": sa.Float(53), "probabilities": sa.JSON()}
    make_table(bench, "predictions", **kinds)
    make_table(bench, "runs", attempt=sa.BigInteger(), error=sa.String(900))
    bench.make_flights(count=30)

    bench.score(bench.job(small_model))

    assert {row[0] for row in bench.predictions()} == {row[0] for row in rows_of(day, 30)}
