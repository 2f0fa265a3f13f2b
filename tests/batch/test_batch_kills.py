"""A job that is killed again and again comes to the same tables as one that never was."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from model.bundle import Model
from runtime.child_process import bound

if TYPE_CHECKING:
    from tests.batch.conftest import Bench

DAYS = 6
ROWS = 300
KILLS = 30
HARNESS = Path(__file__).with_name("killed_job.py")
ROOT = HARNESS.parents[2]


def spoil(bench: "Bench", first: str) -> None:
    """Rows that are rejected, rows without an id, and rows that share one."""
    bench.execute(
        f"UPDATE flights SET distance = NULL WHERE id LIKE '{first}%7'",  # noqa: S608 - our own
        "UPDATE flights SET id = NULL WHERE id LIKE '%13'",
        "UPDATE flights SET id = 'twin ' || substr(id, 1, 12) WHERE id LIKE '%21' OR id LIKE '%22'",
    )


@pytest.mark.timeout(300)
def test_kills_leave_no_trace(
    bench: "Bench",
    small_store: Path,
    small_model: Model,
    day: date,
    tmp_path: Path,
) -> None:
    """Given 30 kills, when it is started again after each, then nothing is lost, twice or stale."""
    first = day - timedelta(days=DAYS)
    dates = [first + timedelta(days=number) for number in range(DAYS)]
    bench.make_flights(*dates, count=ROWS)
    spoil(bench, "f-")
    bench.chunk_rows = 9
    given = {
        "source": bench.source,
        "target": bench.target,
        "store": str(small_store),
        "model": "delay:1",
        "first": str(first),
        "days": DAYS,
        "chunk_rows": bench.chunk_rows,
        "kills": KILLS,
        "seed": 11,
        "id_column": "id",
    }

    done = subprocess.run(
        bound([sys.executable, str(HARNESS)]),
        input=json.dumps(given).encode(),
        cwd=ROOT,
        capture_output=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["killed"] == KILLS
    calm = replace(bench, target=f"sqlite:///{tmp_path}/calm.db")
    if bench.kind == "postgresql":
        calm = replace(bench, target=bench.source)
    job = calm.job(small_model)
    runs = [calm.score(job, each).run for each in dates]
    assert bench.predictions() == calm.predictions()
    assert bench.rejections() == calm.rejections()
    assert len(bench.predictions()) + len(bench.rejections()) == DAYS * ROWS
    found = bench.rows(
        "SELECT scored_for, rows_read, rows_scored, rows_rejected FROM runs"
        " WHERE state = 'complete' ORDER BY scored_for"
    )
    assert [(str(each), *counts) for each, *counts in found] == [
        (str(run.task.window.day), run.rows_read, run.rows_scored, run.rows_rejected)
        for run in runs
    ]
