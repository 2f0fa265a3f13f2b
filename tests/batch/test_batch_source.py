"""Sources as they are found: names, queries, types, ids, and rows that change meanwhile."""

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import DBAPIError

from batch.source import read_query
from model.bundle import Model
from model.errors import DatabaseError, InputFileError, RunStopped, SourceUnfit

if TYPE_CHECKING:
    from tests.batch.conftest import Bench

Rows = Callable[..., list[tuple[Any, ...]]]
SELECT = "SELECT id, at, distance, hour, origin, temp FROM flights"


def test_a_missing_table_is_told_with_the_nearest(bench: "Bench") -> None:
    """Given a name with a slip, then the hint says which table was probably meant."""
    bench.make_flights(count=1)

    with pytest.raises(SourceUnfit, match="flihgts") as caught:
        bench.open_source("flihgts")

    assert caught.value.hint == "did you mean 'flights'?"


def test_missing_columns_are_told_with_the_nearest(bench: "Bench", small_model: Model) -> None:
    """Given a table that lacks what is needed, then the hint names what comes near."""
    bench.make_flights(count=1)
    bench.execute("ALTER TABLE flights RENAME COLUMN distance TO distanse")
    with pytest.raises(SourceUnfit, match="'distance'") as caught:
        bench.job(small_model)
    assert caught.value.hint == "did you mean 'distanse'?"

    for given in (replace(bench, id_column="ids"), replace(bench, time_column="att")):
        with pytest.raises(SourceUnfit, match="no column"):
            given.open_source()


def test_types_that_do_not_fit_are_all_named(bench: "Bench", small_model: Model) -> None:
    """Given columns of other types, then each is named with what the model takes."""
    bench.execute(
        "CREATE TABLE flights (id varchar(9), at timestamp, distance varchar(9), hour date,"
        " origin integer, temp float)"
    )

    with pytest.raises(SourceUnfit) as caught:
        bench.job(small_model)

    for name in ("distance", "hour", "origin"):
        assert f"'{name}'" in str(caught.value)
    assert "'temp'" not in str(caught.value)


@pytest.mark.parametrize("kind", ["float", "date", "boolean"])
def test_an_id_is_not_just_any_column(bench: "Bench", kind: str) -> None:
    """Given an id that does not name rows for certain, then it is refused at once."""
    bench.execute(f"CREATE TABLE flights (id {kind}, at timestamp)")

    with pytest.raises(SourceUnfit, match="the id column 'id'"):
        bench.open_source()


NAMES = ["Flüge 2013", 'a"b', "it's", "UPPER", "a%b", "per:cent", "a.b", "select"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_table_and_of_its_columns(
    bench: "Bench", small_model: Model, rows_of: Rows, day: date, name: str
) -> None:
    """Spaces, quotes, capitals, umlauts and signs are part of a name like any other."""
    quoted, key, at = (
        f'"{part.replace(chr(34), chr(34) * 2)}"' for part in (name, f"{name} i", f"{name} t")
    )
    bench.execute(
        f"CREATE TABLE {quoted} ({key} varchar(60), {at} timestamp, distance float, hour integer,"
        " origin varchar(10), temp float)"
    )
    marked = quoted if bench.kind == "sqlite" else quoted.replace("%", "%%")
    bench.fill(rows_of(day, 20), marked)
    named = replace(bench, id_column=f"{name} i", time_column=f"{name} t", chunk_rows=7)

    assert named.score(named.job(small_model, name)).run.rows_scored == 20
    text = f"SELECT {key}, {at}, distance, hour, origin, temp FROM {quoted}"  # noqa: S608 - our own
    assert named.score(named.job(small_model, None, text)).run.rows_scored == 20


def test_a_view_and_a_schema(bench: "Bench", small_model: Model) -> None:
    """A view is a table to read from, and one of another schema is named with it."""
    bench.make_flights(count=30)
    schema = "main" if bench.kind == "sqlite" else "other"
    if bench.kind == "postgresql":
        bench.execute("CREATE SCHEMA other", "ALTER TABLE flights SET SCHEMA other")
    bench.execute(f"CREATE VIEW seen AS SELECT * FROM {schema}.flights")  # noqa: S608 - our own

    for name in ("seen", f"{schema}.flights"):
        assert bench.score(bench.job(small_model, name)).run.rows_scored == 30


QUERIES = [
    SELECT,
    f"{SELECT};\n\n",
    f"-- all of them\n{SELECT} -- to the end",
    f"/* a\n;b */ {SELECT} WHERE 'a:b' <> ':c' AND origin LIKE '%' AND 5 % 2 = 1",
    f"WITH few AS ({SELECT}) SELECT * FROM few",  # noqa: S608 - our own
    f"{SELECT} WHERE ':x' <> 'a\\:b' AND length('\\:b') = 3 AND length('\\\\:b') = 4",
    'SELECT 1 AS "a.b", 2 AS "A", CAST(at AS varchar(40)) AS was, flights.* FROM flights LIMIT 99',
]


@pytest.mark.parametrize("text", QUERIES)
def test_a_query_is_executed_as_it_is_written(
    bench: "Bench", small_model: Model, tmp_path: Path, text: str
) -> None:
    """Comments, semicolons, colons, backslashes, per cents and CTEs mean what they mean there."""
    bench.make_flights(count=30)
    file = tmp_path / "query.sql"
    file.write_text(text)

    assert bench.score(bench.job(small_model, None, read_query(file))).run.rows_scored == 30


def test_casts_of_postgresql(postgres_bench: "Bench", small_model: Model) -> None:
    """`::` is no parameter, whatever follows it; nor is a slice."""
    postgres_bench.make_flights(count=30)
    text = (
        "SELECT id::text, at::timestamptz, distance::float8, hour::int, origin, temp,"
        " (array[1,2])[1:2] AS two FROM flights WHERE (array[1,2])[1:hour] IS NOT NULL"
    )

    assert postgres_bench.score(postgres_bench.job(small_model, None, text)).run.rows_scored == 30


def test_a_column_with_a_dot_is_found_in_a_query(bench: "Bench", small_model: Model) -> None:
    """Given a name like a path, then it is the whole name, in SQLite too."""
    bench.make_flights(count=30)
    text = SELECT.replace("id,", 'id AS "flight.id",', 1)
    bench.id_column = "flight.id"

    assert bench.score(bench.job(small_model, None, text)).run.rows_scored == 30


@pytest.mark.parametrize(
    "text", ["", "DELETE FROM flights", "  -- SELECT\nDROP TABLE flights", "selection"]
)
def test_what_is_no_select_is_refused(tmp_path: Path, text: str) -> None:
    """Given a file with anything but a SELECT, then it is refused before it is sent anywhere."""
    file = tmp_path / "query.sql"
    file.write_text(text)

    with pytest.raises(InputFileError, match="SELECT"):
        read_query(file)


def test_columns_of_one_name_and_queries_that_are_wrong(bench: "Bench") -> None:
    """Given a query that cannot serve, then the message says why."""
    bench.make_flights(count=1)
    with pytest.raises(SourceUnfit, match="several columns named hour"):
        bench.open_source(None, "SELECT id, at, hour, hour FROM flights")
    with pytest.raises(DatabaseError, match="nowhere"):
        bench.open_source(None, "SELECT * FROM nowhere")


def test_a_day_without_rows_is_complete(bench: "Bench", small_model: Model, day: date) -> None:
    """Given no rows on a day, then its run is whole, with none."""
    bench.make_flights(count=5)

    outcome = bench.score(bench.job(small_model), day + timedelta(days=1))

    assert (outcome.run.is_complete, outcome.run.rows_read) == (True, 0)


def test_ids_that_are_missing_or_shared(bench: "Bench", small_model: Model) -> None:
    """Given NULLs and twins, also at the borders of chunks, then these rows alone are rejected."""
    bench.make_flights(count=100)
    bench.chunk_rows = 10
    bench.execute(
        "UPDATE flights SET id = NULL WHERE id LIKE '%5'",
        "UPDATE flights SET id = substr(id, 1, 17) || '9' WHERE id LIKE '%8'",
    )

    run = bench.score(bench.job(small_model)).run

    assert (run.rows_read, run.rows_scored, run.rows_rejected) == (100, 70, 30)
    found = bench.rejections()
    assert [row[0] for row in found[:10]] == list(range(1, 11))
    assert {(row[1], row[6]) for row in found[:10]} == {(None, "invalid_id")}
    assert {row[6] for row in found[10:]} == {"duplicate_id"}
    assert len({row[0] for row in found}) == 30


def test_an_id_that_names_no_row_stops_the_run(bench: "Bench", small_model: Model) -> None:
    """Given more rows of one id than a chunk takes, then the column cannot be the id."""
    bench.make_flights(count=100)
    bench.chunk_rows = 10
    bench.execute("UPDATE flights SET id = 'one'")

    with pytest.raises(SourceUnfit, match="same id") as caught:
        bench.score(bench.job(small_model))

    assert "id column" in caught.value.hint
    assert bench.rows("SELECT state FROM runs") == [("failed",)]


ID_TYPES = {
    "varchar(20)": "'f' || n",
    "char(9)": "'f' || n",
    "integer": "n",
    "bigint": "n * 3000000000",
    "numeric(30)": "n * 10000000000",
}
POSTGRES_ID_TYPES = {
    "uuid": "md5(n::text)::uuid",
    "text": "chr(200 + n % 100) || n",
    'text COLLATE "POSIX"': "chr(65 + n % 60) || n",
    "ids": "'f' || n",
    "numeric(12, 2)": "n + 0.25",
}


@pytest.mark.parametrize("kind", ID_TYPES)
def test_a_run_goes_on_behind_any_type_of_id(bench: "Bench", small_model: Model, kind: str) -> None:
    """Given a run that was stopped, then it goes on where it was, and each row is scored once."""
    goes_on(bench, small_model, kind, ID_TYPES[kind])


@pytest.mark.parametrize("kind", POSTGRES_ID_TYPES)
def test_a_run_goes_on_behind_ids_of_postgresql(
    postgres_bench: "Bench", small_model: Model, kind: str
) -> None:
    """The same for types, collations and domains that are PostgreSQL's own."""
    postgres_bench.execute("CREATE DOMAIN ids AS varchar(20) CHECK (value <> '')")
    goes_on(postgres_bench, small_model, kind, POSTGRES_ID_TYPES[kind])


def goes_on(bench: "Bench", model: Model, kind: str, made: str) -> None:
    bench.chunk_rows = 10
    bench.execute(
        f"CREATE TABLE flights (id {kind}, at timestamp, distance float, hour integer,"
        " origin varchar(10), temp float)",
        "INSERT INTO flights WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM"  # noqa: S608 - our own
        f" numbers WHERE n < 95) SELECT {made}, '2013-12-30 10:00:00', n * 30.5, n % 24,"
        " 'JFK', NULL FROM numbers".replace("'2013-12-30 10:00:00'", stamp(bench)),
    )
    answers = iter([False, False, True])
    stopping = replace(bench, stopped=lambda: next(answers))
    with pytest.raises(RunStopped):
        stopping.score(stopping.job(model))

    run = bench.score(bench.job(model)).run

    assert (run.attempt, run.rows_read, run.rows_scored) == (2, 95, 95)
    assert len(bench.predictions()) == 95


def stamp(bench: "Bench") -> str:
    return f"{'TIMESTAMP' if bench.kind == 'postgresql' else ''} '2013-12-30 10:00:00'"


@pytest.mark.parametrize("kind", ["varchar(9) COLLATE NOCASE", "", "numeric"])
def test_twins_are_found_under_any_type_of_sqlite(
    sqlite_bench: "Bench", small_model: Model, kind: str
) -> None:
    """Given a collation without cases, or no type at all, then ids are still compared as text."""
    ids = ["a", "A", "a", "b", "B", 5, "5", "z"] if "COLLATE" in kind or not kind else []
    ids = ids or ["a", "A", "a", "b", "B", "y5", "y5", "z"]
    sqlite_bench.execute(
        f"CREATE TABLE flights (id {kind}, at timestamp, distance float, hour integer,"
        " origin varchar(10), temp float)"
    )
    sqlite_bench.fill([(i, "2013-12-30 10:00:00", 100.0, 1, "JFK", None) for i in ids])
    sqlite_bench.chunk_rows = 2

    run = sqlite_bench.score(sqlite_bench.job(small_model)).run

    assert (run.rows_scored, run.rows_rejected) == (4, 4)
    assert sorted(row[0] for row in sqlite_bench.predictions()) == ["A", "B", "b", "z"]


def test_twins_are_found_under_a_collation_without_cases(
    postgres_bench: "Bench", small_model: Model
) -> None:
    """Given a collation for which "a" is "A", then each text is an id of its own."""
    try:
        postgres_bench.execute(
            "CREATE COLLATION nocase"
            " (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        )
    except DBAPIError:  # a server without ICU has no such collations
        postgres_bench.execute('CREATE COLLATION nocase FROM "POSIX"')
    postgres_bench.execute(
        "CREATE TABLE flights (id text COLLATE nocase, at timestamp, distance float, hour integer,"
        " origin varchar(10), temp float)",
    )
    ids = ["a", "A", "a", "b", "B", "c", "c", "z"]
    postgres_bench.fill([(i, "2013-12-30 10:00:00", 100.0, 1, "JFK", None) for i in ids])
    postgres_bench.chunk_rows = 2

    run = postgres_bench.score(postgres_bench.job(small_model)).run

    assert (run.rows_scored, run.rows_rejected) == (4, 4)
    assert sorted(row[0] for row in postgres_bench.predictions()) == ["A", "B", "b", "z"]


def test_a_numeric_that_is_no_number_is_no_id(postgres_bench: "Bench", small_model: Model) -> None:
    """Given NaN as an id, twice, then these rows are rejected and the others scored."""
    postgres_bench.execute(
        "CREATE TABLE flights AS SELECT CASE WHEN n < 3 THEN 'NaN'::numeric ELSE n END AS id,"
        " TIMESTAMP '2013-12-30 10:00' AS at, 5.5 AS distance, n AS hour, 'JFK' AS origin,"
        " NULL::float AS temp FROM generate_series(1, 5) AS n"
    )

    run = postgres_bench.score(postgres_bench.job(small_model)).run

    assert (run.rows_scored, run.rows_rejected) == (3, 2)


def test_text_that_is_none_in_sqlite(sqlite_bench: "Bench", small_model: Model) -> None:
    """Given bytes that are no UTF-8, then their rows alone are rejected; a stop is no harm."""
    sqlite_bench.make_flights(count=40)
    sqlite_bench.chunk_rows = 9
    sqlite_bench.execute(
        "UPDATE flights SET id = CAST(x'66ff' AS TEXT) || id WHERE id LIKE '%1' OR id LIKE '%19'",
        "UPDATE flights SET origin = CAST(x'ff' AS TEXT) WHERE id LIKE '%2'",
        "UPDATE flights SET origin = 'a' || char(0) || 'b' WHERE id LIKE '%3'",
        "UPDATE flights SET id = id || char(0) WHERE id LIKE '%4'",
        "UPDATE flights SET id = x'6162' WHERE id LIKE '%30'",
    )
    answers = iter([False, False, False, True])
    stopping = replace(sqlite_bench, stopped=lambda: next(answers))
    with pytest.raises(RunStopped):
        stopping.score(stopping.job(small_model))
    assert sqlite_bench.rows("SELECT rows_read > 0, rows_read < 40 FROM runs") == [(1, 1)]

    run = sqlite_bench.score(sqlite_bench.job(small_model)).run

    causes = [row[6] for row in sqlite_bench.rejections()]
    assert run.rows_read == 40
    assert {cause: causes.count(cause) for cause in causes} == {
        "invalid_id": 10,
        "not_utf8": 4,
        "score_failed": 4,  # this model has not learned such an origin
    }


def writes(bench: "Bench", rows: list[tuple[Any, ...]]) -> None:
    """What another connection does in the middle: it inserts, changes and deletes."""
    bench.fill(rows)
    bench.execute(
        "UPDATE flights SET distance = 1, id = 'changed ' || id WHERE id LIKE '%7'",
        "DELETE FROM flights WHERE id LIKE '%8'",
    )


def test_a_day_is_read_as_it_was_at_one_moment(
    bench: "Bench", small_model: Model, rows_of: Rows, day: date
) -> None:
    """Given another that writes while a day is read, then it need not wait, and nothing is seen."""
    bench.make_flights(count=100)
    expected = replace(bench, target=bench.target.replace("target.db", "calm.db"))
    if bench.kind == "sqlite":
        expected.score(expected.job(small_model))
    bench.chunk_rows = 10
    asked = 0

    def in_the_middle() -> bool:
        nonlocal asked
        asked += 1
        if asked == 3:
            writes(bench, rows_of(day, 50, prefix="new"))
        return False

    bench.stopped = in_the_middle

    run = bench.score(bench.job(small_model)).run

    assert (run.rows_read, run.rows_scored) == (100, 100)
    assert {row[0][:2] for row in bench.predictions()} == {"f-"}
    if bench.kind == "sqlite":
        assert bench.predictions() == expected.predictions()


def test_a_source_that_changed_after_a_stop(
    bench: "Bench", small_model: Model, rows_of: Rows, day: date
) -> None:
    """Given rows that came and went between a stop and the next run, then it begins anew."""
    bench.make_flights(count=100)
    bench.chunk_rows = 10
    answers = iter([False] * 4 + [True])
    stopping = replace(bench, stopped=lambda: next(answers))
    with pytest.raises(RunStopped):
        stopping.score(stopping.job(small_model))
    bench.fill(rows_of(day, 5, prefix="a-first"))

    run = bench.score(bench.job(small_model)).run

    assert (run.attempt, run.rows_scored, len(bench.predictions())) == (1, 105, 105)


def test_the_encoding_is_ours(
    postgres_bench: "Bench", small_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given an environment that asks for another encoding, then text is text all the same."""
    postgres_bench.make_flights(count=5)
    postgres_bench.execute("UPDATE flights SET id = 'Ærø ' || id")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")

    postgres_bench.score(postgres_bench.job(small_model))

    monkeypatch.delenv("PGCLIENTENCODING")
    assert {row[0][:4] for row in postgres_bench.predictions()} == {"Ærø "}


def test_one_database_is_source_and_target(bench: "Bench", small_model: Model) -> None:
    """Given the same database for both, then a day is scored as ever."""
    bench.make_flights(count=100)
    bench.chunk_rows = 10
    bench.target = bench.source

    assert bench.score(bench.job(small_model)).run.rows_scored == 100
    assert len(bench.predictions()) == 100


def test_a_source_that_may_only_be_read(postgres_bench: "Bench", small_model: Model) -> None:
    """Given a database whose transactions are read-only, then it can be a source."""
    postgres_bench.make_flights(count=50)
    postgres_bench.execute(
        "DO $$ BEGIN EXECUTE format("
        "'ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$"
    )

    assert postgres_bench.score(postgres_bench.job(small_model)).run.rows_scored == 50


# Root may write anywhere: without that capability (CAP_DAC_OVERRIDE) it is a user like any other.
UNPRIVILEGED = """
import ctypes, os, sys
from datetime import date
from zoneinfo import ZoneInfo
from batch.database import Database
from batch.day import window
from batch.source import Query, Source
if os.geteuid() == 0:
    class Header(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]
    sets = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(ctypes.byref(Header(0x20080522, 0)), sets):
        sys.exit("capset: " + os.strerror(ctypes.get_errno()))
utc = ZoneInfo("UTC")
source = Source(Database(sys.argv[1]), Query("flights", None, "id", "at", utc))
with source.day(window(date(2013, 12, 30), utc), ["distance"]) as snapshot:
    print(sum(map(len, snapshot.chunks(20))))
"""


def test_a_file_that_may_only_be_read(sqlite_bench: "Bench", tmp_path: Path) -> None:
    """Given a file without rights to write in a folder without, then it can be a source."""
    sqlite_bench.make_flights(count=50)
    readable = tmp_path / "readable"
    readable.mkdir()
    file = Path(sqlite_bench.source.removeprefix("sqlite:///")).rename(readable / "source.db")
    file.chmod(0o444)
    readable.chmod(0o555)

    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, f"sqlite:///{file}"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
        timeout=60,
    )

    readable.chmod(0o755)
    assert (done.returncode, done.stdout) == (0, b"50\n"), done.stderr.decode()


def test_memory_does_not_grow_with_the_rows(bench: "Bench", small_model: Model) -> None:
    """Given ten times the rows, then the chunk in hand is still all that is kept."""
    peaks = []
    bench.execute(
        "CREATE TABLE flights (id integer, at timestamp, distance float, hour integer,"
        " origin varchar(10), temp float)"
    )
    for count in (2_000, 20_000):
        bench.execute(
            "DELETE FROM flights",
            "INSERT INTO flights WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1"  # noqa: S608 - our own
            f" FROM numbers WHERE n < {count}) SELECT n, {stamp(bench)}, n, n % 24, 'JFK', NULL"
            " FROM numbers",
        )
        bench.chunk_rows = 500
        job = bench.job(small_model)
        tracemalloc.start()
        bench.score(job, again=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < peaks[0] * 1.5
