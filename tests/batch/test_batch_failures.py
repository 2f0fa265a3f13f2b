"""A database that fails: said in words, nothing half written, and the next run goes on."""

import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, make_url, text

from batch.database import Database
from batch.job import Job
from batch.target import Target
from model.bundle import Model
from model.errors import DatabaseError, DatabaseUnavailable, RunStopped, WrongUsage

if TYPE_CHECKING:
    from tests.batch.conftest import Bench, Postgres, PostgresServer

WRONG = "n0t-the-Password%"


def failure(address: str) -> DatabaseError:
    """What is said when a database is to be read."""
    with pytest.raises(DatabaseError) as caught, Database(address).connect():
        pass
    return caught.value


def test_a_wrong_password_is_not_shown(postgres: "Postgres") -> None:
    """Given a wrong password, then what is said tells what to mend, and does not hold it."""
    url = make_url(postgres.url).set(password=WRONG)

    error = failure(url.render_as_string(hide_password=False))

    assert not isinstance(error, DatabaseUnavailable)  # trying again is no use
    assert "password" in error.hint
    for secret in (WRONG, "n0t-the-Password", url.render_as_string(hide_password=False)):
        assert secret not in f"{error} {error.hint} {error!r}"
    assert WRONG not in Database(url.render_as_string(hide_password=False)).name


def test_a_password_among_the_parameters_is_not_shown(postgres: "Postgres") -> None:
    """Given the password as a parameter of the address, then no message and no name has it."""
    url = make_url(postgres.url).set(password=None).update_query_dict({"password": WRONG})
    address = url.render_as_string(hide_password=False)

    error = failure(address)

    assert WRONG not in f"{error} {error.hint} {Database(address).name}"


AMBIGUOUS = {
    "in the password": "postgresql://u:p@s3cret@h/d",
    "behind a question mark": "postgresql://u:p@s3cret?x@h/d",
    "before one": "postgresql://u:p@s3?cret@h/d?sslmode=require",
    "before a colon": "postgresql://u:p@ss:s3cret@h/d",
    "a colon before one": "postgresql://u:s3:cret@p@h/d",
    "a slash in the user": "postgresql://u/x:s3cret@h/d",
    "in the user": "postgresql://s3@cret:p@h/d",
    "in a parameter": "postgresql://u@h/d?password=s3@cret",
    "in a parameter alone": "postgresql://h/d?password=s3@cret",
    "another database": "mysql+pymysql://u:p@s3cret?x@h/d",
}


@pytest.mark.parametrize("address", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_an_address_that_can_be_read_in_two_ways(address: str) -> None:
    """Given an @ that may be the password's, then it is refused, and nothing of it is shown."""
    with pytest.raises(WrongUsage) as caught:
        Database(address)

    said = f"{caught.value} {caught.value.hint}"
    assert "as %40" in said
    assert not {part for part in ("s3", "cret", "u:", "h/d") if part in said}
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("postgresql://u%40x:p%40%3A%2F%3F%25@h/d", "postgresql://h/d"),
        ("postgresql://u:p?x/y@h:1/d?sslpassword=a%40b", "postgresql://h:1/d"),
        ("postgresql://h/d", "postgresql://h/d"),
        ("postgresql://@h/d", "postgresql://h/d"),
        ("postgresql://:p@h/d", "postgresql://h/d"),
    ],
)
def test_an_address_that_is_encoded(address: str, name: str) -> None:
    """Given one @ that ends the user and the password, or none, then it is taken."""
    assert Database(address).name == name


def test_a_password_that_the_database_repeats_is_masked(postgres: "Postgres") -> None:
    """Given a statement's error that repeats the password, then the message has it masked."""
    password = make_url(postgres.url).password
    database = Database(postgres.url)

    with pytest.raises(DatabaseError) as caught, database.connect() as connection:
        connection.execute(text(f'SELECT * FROM "{password}"'))  # noqa: S608 - as a mistake would

    assert "***" in str(caught.value)
    assert str(password) not in str(caught.value)


def test_a_database_that_does_not_exist_is_named(postgres: "Postgres") -> None:
    """Given a name that no database has, then it is said; trying again is no use."""
    url = make_url(postgres.url).set(database="nowhere_at_all")

    error = failure(url.render_as_string(hide_password=False))

    assert not isinstance(error, DatabaseUnavailable)
    assert "nowhere_at_all" in str(error)
    assert "name" in error.hint


def test_a_port_where_nobody_listens_may_be_tried_again() -> None:
    """Given a port without a server, then it is unavailable, and the hint says what to check."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

        error = failure(f"postgresql://score:pw@127.0.0.1:{port}/x")

    assert isinstance(error, DatabaseUnavailable)
    assert "host and port" in error.hint


def test_a_host_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a port that is open and silent, then it is unavailable once the deadline has passed."""
    monkeypatch.setattr("batch.database.CONNECT_S", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()

        error = failure(f"postgresql://score:pw@127.0.0.1:{silent.getsockname()[1]}/x")

    assert isinstance(error, DatabaseUnavailable)


@pytest.mark.parametrize("address", ["", "nonsense", "oracle9://x/y", "postgresql://h:notaport/x"])
def test_an_address_that_cannot_be_one_is_refused(address: str) -> None:
    """It is a wrong setting, found before anything is connected."""
    with pytest.raises(WrongUsage):
        Database(address)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """Given a file of something else, then the message says so and keeps it."""
    file = tmp_path / "photo.db"
    file.write_bytes(b"GIF89a" * 1000)

    with pytest.raises(DatabaseError, match="not a database") as caught:
        Target(Database(f"sqlite:///{file}", create=True)).prepare()

    assert caught.value.hint == "name a file of SQLite"
    assert file.read_bytes() == b"GIF89a" * 1000


def interrupted(bench: "Bench", model: Model, chunks: int) -> Job:
    """A job whose run of the day was stopped after some chunks."""
    seen = iter(range(chunks))
    bench.stopped = lambda: next(seen, None) is None
    job = bench.job(model)
    with pytest.raises(RunStopped):
        bench.score(job)
    bench.stopped = lambda: False
    return bench.job(model)


@pytest.fixture
def own_bench(own_postgres: "PostgresServer", sqlite_bench: "Bench") -> "Bench":
    """A source of SQLite and a target of PostgreSQL, on a server that the test may stop."""
    sqlite_bench.target = own_postgres.url
    sqlite_bench.make_flights(count=1500)
    return sqlite_bench


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_server_restarted_in_the_middle(
    own_bench: "Bench", own_postgres: "PostgresServer", small_model: Model, how: signal.Signals
) -> None:
    """Given a restart while a day is written, then that is said, and the next run goes on."""
    asked = 0

    def restart() -> bool:
        nonlocal asked
        asked += 1
        if asked == 4:
            own_postgres.stop(how)
            own_postgres.start()
        return False

    own_bench.stopped = restart
    with pytest.raises(DatabaseUnavailable) as caught:
        own_bench.score(own_bench.job(small_model))
    assert "s3cr3t" not in str(caught.value)
    own_bench.stopped = lambda: False
    before = len(own_bench.predictions())

    done = own_bench.score(own_bench.job(small_model)).run

    # The last row of a chunk waits for those of the same id. A server that ends without a moment's
    # notice may take back the last chunks, each with its progress.
    assert before in ({399} if how is signal.SIGINT else {99, 199, 299, 399})
    assert (done.attempt, done.rows_scored, len(own_bench.predictions())) == (2, 1500, 1500)


def test_a_server_that_stays_away(
    own_bench: "Bench", own_postgres: "PostgresServer", small_model: Model
) -> None:
    """Given a server that is stopped, then a run fails in time, and a later one is whole."""
    job = interrupted(own_bench, small_model, 3)
    own_postgres.stop()

    with pytest.raises(DatabaseUnavailable):
        own_bench.score(job)

    own_postgres.start()
    assert own_bench.score(job).run.rows_scored == 1500
    assert len(own_bench.predictions()) == 1500


def test_a_source_that_goes_away_in_the_middle(
    own_postgres: "PostgresServer", sqlite_bench: "Bench", small_model: Model
) -> None:
    """Given a source that restarts while it is read, then it is unavailable; the rest is done."""
    sqlite_bench.kind, sqlite_bench.source = "postgresql", own_postgres.url
    sqlite_bench.make_flights(count=1500)
    asked = 0

    def restart() -> bool:
        nonlocal asked
        asked += 1
        if asked == 4:
            own_postgres.stop()
            own_postgres.start()
        return False

    sqlite_bench.stopped = restart
    with pytest.raises(DatabaseUnavailable):
        sqlite_bench.score(sqlite_bench.job(small_model))
    sqlite_bench.stopped = lambda: False
    assert sqlite_bench.rows("SELECT state, rows_read FROM runs") == [("failed", 399)]

    assert sqlite_bench.score(sqlite_bench.job(small_model)).run.rows_scored == 1500
    assert len(sqlite_bench.predictions()) == 1500


def test_a_full_disk_under_postgresql(
    own_bench: "Bench", own_postgres: "PostgresServer", small_model: Model
) -> None:
    """Given no room for its tables, then it is said, nothing is half written, and more room heals.

    The server's files may not become larger than some, as on a disk that is full.
    """
    own_bench.open_target()
    own_postgres.stop()
    own_postgres.largest = 1_200_000  # more than a segment of its log
    own_postgres.start()
    own_bench.execute(
        "INSERT INTO predictions SELECT 'other ' || n, repeat('m', 200), '1', 1, NULL, NULL, NULL,"
        " DATE '2013-01-01', now(), 'none' FROM generate_series(1, 2700) AS n",
        on=own_bench.target,
    )
    with pytest.raises(DatabaseUnavailable) as caught:
        own_bench.score(own_bench.job(small_model))
    own_postgres.stop()
    own_postgres.largest = 0
    own_postgres.start()
    ((scored, run_id),) = own_bench.rows(
        "SELECT rows_scored, run_id FROM runs ORDER BY started_at DESC LIMIT 1"
    )
    written = own_bench.rows(f"SELECT count(*) FROM predictions WHERE run_id = '{run_id}'")  # noqa: S608 - our own

    done = own_bench.score(own_bench.job(small_model)).run

    assert "room" in caught.value.hint, str(caught.value)
    assert written == [(scored,)]
    assert 0 < scored < done.rows_scored == 1500
    assert len(own_bench.predictions()) == 1500 + 2700


def test_a_full_disk_under_sqlite(sqlite_bench: "Bench", small_model: Model) -> None:
    """Given no room in its file, then it is said, nothing is half written, and more room heals."""
    sqlite_bench.make_flights(count=1500)
    sqlite_bench.open_target()
    job = sqlite_bench.job(small_model)
    limit(job.target.database, pages=60)

    with pytest.raises(DatabaseUnavailable, match="full") as caught:
        sqlite_bench.score(job)

    assert "room" in caught.value.hint
    ((state, scored),) = sqlite_bench.rows("SELECT state, rows_scored FROM runs")
    assert (state, len(sqlite_bench.predictions())) in {("failed", scored), ("running", scored)}
    assert 0 < scored < 1500
    done = sqlite_bench.score(sqlite_bench.job(small_model)).run
    assert done.rows_scored == len(sqlite_bench.predictions()) == 1500


def limit(database: Database, *, pages: int) -> None:
    """Have each connection find the disk full once the file has so many pages."""

    def limited(driver: Any, _: object) -> None:
        driver.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(database.engine, "connect", limited)
