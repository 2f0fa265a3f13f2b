"""One source is one source, however it is spelled; and what two sources both name counts once."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import make_url

from batch.alert.condition import Alert
from batch.database import Database
from batch.found import find_runs
from batch.lock import lock_number
from batch.source import Query, Source
from model.bundle import Model
from model.errors import RunStopped

if TYPE_CHECKING:
    from tests.batch.conftest import Bench

Rows = Callable[..., list[tuple[Any, ...]]]
LATE, ALL = "SELECT * FROM flights WHERE hour > 11", "SELECT * FROM flights"


def named(bench: "Bench", table: str = "flights", address: str | None = None) -> str:
    query = Query(table, None, "id", "at", bench.stored)
    return Source(Database(address or bench.source), query).name


def spelled(bench: "Bench", **parts: Any) -> str:
    """The address of the source, with other parts."""
    return make_url(bench.source).set(**parts).render_as_string(hide_password=False)


def test_a_server_is_known_by_any_of_its_names(postgres_bench: "Bench") -> None:
    """Given other names of the host, or none of the schema, then it is the same source."""
    bench = postgres_bench
    bench.make_flights(count=1)
    hosts = [name for name in ("localhost", "127.0.0.1", "127.0.0.2") if answers(bench, name)]

    names = {named(bench, table, spelled(bench, host=host)) for host in hosts for table in TABLES}

    assert len(hosts) > 1
    assert len(names) == 1
    database = make_url(bench.source).database
    assert names.pop().endswith(f"/{database} public.flights")


TABLES = ("flights", "public.flights")


def answers(bench: "Bench", host: str) -> bool:
    try:
        with Database(spelled(bench, host=host)).engine.connect():
            return True
    except sa.exc.OperationalError:
        return False


def test_a_table_is_that_of_its_schema(postgres_bench: "Bench") -> None:
    """Given two schemas, then the search path says which one is meant, and they are two sources."""
    bench = postgres_bench
    bench.make_flights(count=1)
    bench.execute("CREATE SCHEMA old", "CREATE TABLE old.flights AS SELECT * FROM flights")
    path = {"options": "-c search_path=old,public"}

    assert named(bench, "old.flights") != named(bench)
    assert named(bench, address=spelled(bench, query=path)) == named(bench, "old.flights")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_server_that_may_not_be_asked(postgres_bench: "Bench", host: str) -> None:
    """Given no right to the number of its cluster, then its host and port tell, as localhost."""
    bench = postgres_bench
    bench.make_flights(count=1)
    role = f"reader_{make_url(bench.source).database}"
    bench.execute(
        "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM public",
        f"CREATE ROLE {role} LOGIN PASSWORD 'x'",
        f"GRANT SELECT ON flights TO {role}",
    )
    try:
        address = spelled(bench, username=role, password="x", host=host)
        port, database = make_url(bench.source).port, make_url(bench.source).database
        name = named(bench, "public.flights", address)
        assert name == f"postgresql://localhost:{port}/{database} public.flights"
    finally:
        bench.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_user_without_rights_learns_who_the_server_is(postgres_bench: "Bench") -> None:
    """Given a user who may only read the table, then it is the same source as for its owner."""
    bench = postgres_bench
    bench.make_flights(count=1)
    role = f"plain_{make_url(bench.source).database}"
    bench.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'", f"GRANT SELECT ON flights TO {role}")
    try:
        address = spelled(bench, username=role, password="x")
        assert named(bench, address=address) == named(bench)
    finally:
        bench.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_file_is_known_by_any_of_its_paths(sqlite_bench: "Bench", tmp_path: Path) -> None:
    """Given a relative path, a link, the schema, or other case, then it is the same source."""
    bench = sqlite_bench
    bench.make_flights(count=1)
    (tmp_path / "link.db").symlink_to(tmp_path / "source.db")
    relative = os.path.relpath(tmp_path / "source.db")

    names = {
        named(bench),
        named(bench, "main.flights"),
        named(bench, "FLIGHTS"),
        named(bench, address=f"sqlite:///{relative}"),
        named(bench, address=f"sqlite:///{tmp_path}/link.db"),
    }

    assert names == {f"sqlite:///{(tmp_path / 'source.db').resolve()} main.flights"}


def test_another_spelling_finds_the_day_complete(bench: "Bench", small_model: Model) -> None:
    """Given a day of `flights`, then that of its schema's `flights` is complete, under one lock."""
    bench.make_flights(count=50)
    whole = "main.flights" if bench.kind == "sqlite" else "public.flights"
    first, second = bench.job(small_model), bench.job(small_model, whole)
    bench.score(first)

    assert bench.score(second).skipped
    assert lock_number(bench.task(first)) == lock_number(bench.task(second))


def test_a_name_that_is_given_counts_alone(bench: "Bench") -> None:
    """Given a name for the source, then runs know it by that, wherever it is."""
    bench.make_flights(count=1)
    query = Query("flights", None, "id", "at", bench.stored, source_name="flights of the airport")

    assert Source(Database(bench.source), query).name == "flights of the airport"


def test_a_query_that_was_changed_replaces_its_rows(bench: "Bench", small_model: Model) -> None:
    """Given another text of the same query, then the day is scored anew and old rows go."""
    bench.make_flights(count=120)
    before = bench.score(bench.job(small_model, None, ALL)).run
    late = bench.rows(LATE, on=bench.source)

    after = bench.score(bench.job(small_model, None, LATE))

    assert (after.skipped, after.run.rows_scored) == (False, len(late))
    assert after.run.task.source == before.task.source
    assert {row[0] for row in bench.predictions()} == {row[0] for row in late}
    assert bench.score(bench.job(small_model, None, LATE)).skipped


def test_a_query_that_was_changed_is_not_gone_on_with(bench: "Bench", small_model: Model) -> None:
    """Given an unfinished run of another text, then the day is begun anew."""
    bench.make_flights(count=250)
    stopping = replace(bench, stopped=lambda: True)
    with pytest.raises(RunStopped):
        stopping.score(stopping.job(small_model, None, ALL))

    run = bench.score(bench.job(small_model, None, LATE)).run

    assert run.attempt == 1
    assert len(bench.predictions()) == run.rows_scored == len(bench.rows(LATE, on=bench.source))


def test_another_column_of_ids_is_another_reading(bench: "Bench", small_model: Model) -> None:
    """Given other columns for ids or times, then a day that is complete is scored anew."""
    bench.make_flights(count=30)
    bench.execute(
        "ALTER TABLE flights ADD COLUMN other varchar(60)", "UPDATE flights SET other = id || '-2'"
    )
    bench.score(bench.job(small_model))
    renamed = replace(bench, id_column="other")

    assert not renamed.score(renamed.job(small_model)).skipped
    assert all(row[0].endswith("-2") for row in bench.predictions())
    assert len(bench.predictions()) == 30


@pytest.mark.parametrize("shared", [80, 30])
def test_rows_of_two_sources_count_once(
    bench: "Bench", small_model: Model, day: date, shared: int
) -> None:
    """Given two tables with ids in common, then figures and alerts count each row once."""
    bench.make_flights(count=80)
    bench.execute(
        "UPDATE flights SET distance = NULL WHERE id LIKE '%0'",
        f"CREATE TABLE others AS SELECT * FROM flights ORDER BY id LIMIT {shared}",  # noqa: S608
    )
    bench.score(bench.job(small_model))
    bench.score(bench.job(small_model, "others"))

    with bench.connect(bench.target) as connection:
        ran = find_runs(connection, "delay", day, day)
        found = Alert("rows > 80 or scored > 72 or rejected > 8").find(connection, ran)

    assert sum(each.rows_read for each in ran) == 80
    assert sum(each.rows_scored for each in ran) == len(bench.predictions()) == 72
    assert sorted(each.rows_taken for each in ran) == [0, shared]
    assert [each.profile is None for each in ran if each.rows_taken] == [shared == 80]
    assert found.holds is False


def test_a_row_that_moved_to_another_day_counts_there(
    bench: "Bench", small_model: Model, day: date
) -> None:
    """Given an id of a complete day that another day then has, then the first one has one less."""
    following = day.replace(day=day.day + 1)
    bench.make_flights(day, following, count=20)
    job = bench.job(small_model)
    bench.score(job)
    first = bench.predictions()[0][0]
    bench.execute(f"UPDATE flights SET at = '{following} 12:00:00' WHERE id = '{first}'")  # noqa: S608
    bench.score(job, following)

    with bench.connect(bench.target) as connection:
        ran = find_runs(connection, "delay", day, following)

    assert [(each.rows_scored, each.rows_taken) for each in ran] == [(19, 1), (21, 0)]


def test_late_rows_are_counted(bench: "Bench", rows_of: Rows, day: date) -> None:
    """Given rows that come and go, then a count of the source tells, by the same window."""
    bench.make_flights(count=20)
    source = bench.open_source()
    window = bench.task(_Named(source)).window  # type: ignore[arg-type] # what it needs of a job
    assert source.count(window) == 20
    bench.fill(rows_of(day, 12, prefix="late"))
    assert source.count(window) == 32
    bench.execute("DELETE FROM flights WHERE id LIKE 'f-%'")
    assert source.count(window) == 12


class _Named:
    """A job, as far as a task is told by it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.model = self
        self.name, self.version = "delay", "1"
