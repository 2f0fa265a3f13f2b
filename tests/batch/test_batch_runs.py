"""One process at a time for a day: locks, runs that are taken over, versions that replace."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from batch import runs
from batch.answers import AnswerColumns
from batch.database import Database
from batch.day import window
from batch.runs import Task
from batch.target import Chunk, Target
from model.bundle import Model
from model.errors import DatabaseError, RunStopped, RunTaken
from runtime.child_process import bound
from tests.batch.watching import wait_until

if TYPE_CHECKING:
    from tests.batch.conftest import Bench

Rows = Callable[..., list[tuple[Any, ...]]]
ROOT = Path(__file__).parents[2]
NOW = datetime(2014, 1, 1, tzinfo=UTC)
HOLDER = """
import sys
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo
from batch.database import Database
from batch.day import window
from batch.runs import Task
from batch.target import Target
task = Task("delay", "1", sys.argv[2], window(date.fromisoformat(sys.argv[3]), ZoneInfo("UTC")))
with Target(Database(sys.argv[1])).day(task, None, datetime.now(UTC)):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_day_is_held_by_one_process(bench: "Bench", small_model: Model, day: date) -> None:
    """Given another process at the day, then it is taken; killed, it holds nothing any more."""
    bench.make_flights(day, day + timedelta(days=1), count=20)
    job = bench.job(small_model)
    with subprocess.Popen(
        bound([sys.executable, "-c", HOLDER, bench.target, job.source.name, str(day)]),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"

        with pytest.raises(RunTaken, match=str(day)):
            bench.score(job)
        assert bench.score(job, day + timedelta(days=1)).run.is_complete

        holder.kill()
        holder.wait(30)

    def is_free() -> bool:
        try:
            return bench.score(job).run.is_complete
        except RunTaken:
            return False

    wait_until(is_free, "the lock of a process that is dead is free", 5)


def test_a_day_is_held_among_threads_and_versions(
    bench: "Bench", small_model: Model, other_version: Model
) -> None:
    """Given a day in work, then neither this process nor another version begins it."""
    bench.make_flights(count=150)
    other, job = bench.job(other_version), bench.job(small_model)
    refused = []

    def meanwhile() -> bool:
        with pytest.raises(RunTaken):
            bench.score(other)
        refused.append(True)
        return False

    bench.score(replace(job, stopped=meanwhile))

    assert refused


def test_a_run_that_was_overtaken_writes_nothing_more(bench: "Bench", small_model: Model) -> None:
    """Given a run that another took over, then its next chunk is undone and it stops."""
    target = bench.open_target()
    task = Task("delay", "1", "somewhere", window(date(2013, 12, 30), ZoneInfo("UTC")))
    columns = AnswerColumns(small_model.signature)
    scores = small_model.scorer.score
    answers = scores(_one_row(small_model)).answers
    with target.day(task, columns, NOW) as writer:
        first = writer.begin(NOW)
        writer.write(replace(first, rows_read=1, rows_scored=1), Chunk(["a"], answers, []), NOW)
        with target.database.connect() as another, another.begin():
            taken = runs.take_over(another, first, NOW)

        with pytest.raises(RunTaken):
            writer.write(replace(first, rows_read=2), Chunk(["b"], answers, []), NOW)
        with pytest.raises(RunTaken):
            writer.finish(replace(first, state="complete"))

        assert taken.attempt == 2
        assert [row[0] for row in bench.predictions()] == ["a"]
        assert bench.rows("SELECT state, attempt FROM runs") == [("running", 2)]


def _one_row(model: Model) -> Any:
    from model.rows import decode_rows  # noqa: PLC0415 - this alone needs it

    return decode_rows(model.signature, ["a"], [[100.0], [1], ["JFK"], [None]]).table


def test_scoring_again_comes_to_the_same(bench: "Bench", small_model: Model) -> None:
    """Given a complete day, then it is skipped; again, it comes to the same table in a new run."""
    bench.make_flights(count=120)
    bench.execute("UPDATE flights SET distance = NULL WHERE id LIKE '%3'")
    job = bench.job(small_model)
    first = bench.score(job)
    before = bench.predictions(), bench.rejections()

    skipped, again = bench.score(job), bench.score(job, again=True)

    assert (skipped.skipped, skipped.run.run_id) == (True, first.run.run_id)
    assert again.run.run_id != first.run.run_id
    assert (bench.predictions(), bench.rejections()) == before
    assert len(bench.rejections()) == 12


def test_a_new_version_replaces_the_old_one_wholly(
    bench: "Bench", small_model: Model, other_version: Model
) -> None:
    """Given rows that went or are rejected now, then nothing stale of the old version is left."""
    bench.make_flights(count=100)
    bench.score(bench.job(small_model))
    bench.execute(
        "UPDATE flights SET distance = NULL WHERE id LIKE '%3'",
        "DELETE FROM flights WHERE id LIKE '%4'",
    )

    run = bench.score(bench.job(other_version)).run

    assert (run.rows_scored, run.rows_rejected) == (80, 10)
    assert {row[2] for row in bench.predictions()} == {"2"}
    assert len(bench.predictions()) == 80
    assert {row[3] for row in bench.rejections()} == {"2"}
    assert not bench.score(bench.job(small_model)).skipped  # the last version counts


def test_other_sources_and_days_keep_their_rows(
    bench: "Bench", small_model: Model, rows_of: Rows, day: date
) -> None:
    """Given two tables and two days, then a day that is scored again leaves the others alone."""
    following = day + timedelta(days=1)
    bench.make_flights(day, following, count=40)
    bench.execute("CREATE TABLE others AS SELECT * FROM flights WHERE 1 = 0")
    bench.fill(rows_of(day, 30, prefix="other"), "others")
    ours, others = bench.job(small_model), bench.job(small_model, "others")
    for each in (day, following):
        bench.score(ours, each)
    bench.score(others)
    bench.execute("DELETE FROM flights WHERE id LIKE '%7'")

    bench.score(ours, again=True)

    days = [str(row[7]) for row in bench.predictions()]
    assert {each: days.count(each) for each in days} == {str(day): 36 + 30, str(following): 40}


def test_a_clock_that_was_put_back(bench: "Bench", small_model: Model) -> None:
    """Given a clock that is behind the last run's, then the newest run is still the last."""
    bench.make_flights(count=20)
    job = bench.job(small_model)
    bench.score(job)
    late = replace(job, clock=replace(job.clock, now=lambda: NOW))

    second = bench.score(late, again=True).run

    assert bench.score(job).run.run_id == second.run_id


def test_a_stop_is_written_down(bench: "Bench", small_model: Model) -> None:
    """Given a stop, then the run says how far it came; the next goes on, and the counts hold."""
    bench.make_flights(count=250)
    stopping = replace(bench, stopped=lambda: True)
    with pytest.raises(RunStopped, match="99 rows"):
        stopping.score(stopping.job(small_model))
    assert bench.rows("SELECT state, rows_read FROM runs") == [("interrupted", 99)]

    run = bench.score(bench.job(small_model)).run

    assert (run.attempt, run.rows_read, run.rows_scored) == (2, 250, 250)
    assert bench.rows("SELECT state, attempt, error FROM runs") == [("complete", 2, None)]


def test_tables_that_several_create_at_once(bench: "Bench") -> None:
    """Given many that begin at once on an empty database, then all find the tables made."""
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
    assert bench.rows("SELECT count(*) FROM predictions") == [(0,)]


def test_tables_of_others_are_left_alone(bench: "Bench") -> None:
    """Given another table of the same name, then it is refused, and nothing is made or changed."""
    bench.execute("CREATE TABLE runs (id integer, athlete varchar(9))", on=bench.target)

    with pytest.raises(DatabaseError, match="another table 'runs': it lacks attempt"):
        bench.open_target()

    with pytest.raises(DatabaseError), Database(bench.target).errors():
        bench.predictions()


def test_a_target_that_may_only_be_read(postgres_bench: "Bench", small_model: Model) -> None:
    """Given a database whose transactions are read-only, then it is no target, and that is said."""
    postgres_bench.make_flights(count=20)
    postgres_bench.open_target()
    job = postgres_bench.job(small_model)
    postgres_bench.execute(
        "DO $$ BEGIN EXECUTE format("
        "'ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$",
        on=postgres_bench.target,
    )

    with pytest.raises(DatabaseError, match="read-only") as caught:
        postgres_bench.score(job)

    assert "written to" in caught.value.hint


@pytest.mark.parametrize("of", ["file", "folder"])
def test_a_file_that_may_only_be_read_is_no_target(
    sqlite_bench: "Bench", tmp_path: Path, of: str
) -> None:
    """Given no rights to the file, or to its folder, then a run fails in words."""
    sqlite_bench.make_flights(count=20)
    folder = tmp_path / "kept"
    folder.mkdir()
    sqlite_bench.target = f"sqlite:///{folder}/target.db"
    sqlite_bench.open_target()
    given = json.dumps([str(folder), sqlite_bench.source, sqlite_bench.target])
    (folder if of == "folder" else folder / "target.db").chmod(0o500 if of == "folder" else 0o444)
    script = tmp_path / "unprivileged.py"
    script.write_text(UNPRIVILEGED)

    done = subprocess.run(
        [sys.executable, str(script), given], cwd=ROOT, capture_output=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr.decode()
    assert b"DatabaseError" in done.stdout
    assert b"rights" in done.stdout or b"written to" in done.stdout
    assert os.access(folder, os.R_OK)


# Root may write anywhere: without that capability (CAP_DAC_OVERRIDE) it is a user like any other.
UNPRIVILEGED = """
import ctypes, json, os, sys
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo
from batch.database import Database
from batch.day import window
from batch.runs import Task
from batch.target import Target
from model.errors import DatabaseError
folder, source, target = json.loads(sys.argv[1])
if os.geteuid() == 0:
    class Header(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]
    sets = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(ctypes.byref(Header(0x20080522, 0)), sets):
        sys.exit("capset: " + os.strerror(ctypes.get_errno()))
task = Task("delay", "1", source, window(date(2013, 12, 30), ZoneInfo("UTC")))
try:
    opened = Target(Database(target, create=True))
    opened.prepare()
    with opened.day(task, None, datetime.now(UTC)) as writer:
        writer.begin(datetime.now(UTC))
except DatabaseError as error:
    print(type(error).__name__, error, error.hint)
"""
