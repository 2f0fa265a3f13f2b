"""One contestant of the batch section: scores a day from a database to a database, and ends.

    python -m benchmarks.batch_contestant < job.json

Imports, the model and the connection's making are not timed. It answers a line of JSON: seconds,
the processor's seconds of this process, its peak RSS. What a contestant does without is not
imported: that would count as its memory.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runtime.lean_pandas import import_lean_pandas

if TYPE_CHECKING:
    from batch.job import Job
    from batch.runs import Task
    from runtime.settings import Settings

Figures = dict[str, float]
Given = dict[str, Any]


class _Unseen:
    """Progress that nobody looks at."""

    def expect(self, total: float) -> None:
        pass

    def advance(self, count: float = 1) -> None:
        pass


def main() -> None:
    """Do what the job on standard input says."""
    job = json.load(sys.stdin)
    if job["kind"] != "pandas":
        import_lean_pandas()  # as the commands do
    print(json.dumps(_KINDS[job["kind"]](job)), flush=True)


def _streamscore(given: Given) -> Figures:
    """A day, by the job that the commands build."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - see above

    job, task = _job(given)
    with threadpool_limits(1):  # as the commands do
        return _timed(lambda: job.score_day(task, _Unseen()))


def _unscored(given: Given) -> Figures:
    """The same read and the same write, with nothing decoded or scored between them."""
    import numpy as np  # noqa: PLC0415 - see above

    from batch.answers import AnswerColumns  # noqa: PLC0415
    from batch.target import Chunk  # noqa: PLC0415
    from model.engines import Answers  # noqa: PLC0415

    job, task = _job(given)
    clock, columns = job.clock, AnswerColumns(job.model.signature)
    constant = np.random.default_rng(0).normal(size=job.chunk_rows)

    def copy() -> None:
        with (
            job.target.day(task, columns, clock.now()) as writer,
            job.source.day(task.window, job.columns) as snapshot,
        ):
            run = writer.begin(clock.now())
            for rows in snapshot.chunks(job.chunk_rows):
                done = run.rows_read + len(rows)
                run = replace(run, rows_read=done, rows_scored=done)
                chunk = Chunk([row[0] for row in rows], Answers(constant[: len(rows)]), [])
                writer.write(run, chunk, clock.now())
            writer.finish(replace(run, state="complete"))

    return _timed(copy)


def _again(given: Given) -> Figures:
    """A day that is complete, as the commands meet it: from the settings on."""
    from batch.days import Days  # noqa: PLC0415 - see above
    from runtime.stop import Stop  # noqa: PLC0415

    settings, day = _settings(given), date.fromisoformat(given["day"])
    skipped = []

    def score() -> None:
        skipped.append(Days(settings, Stop(1.0)).score(day, seen=_Unseen()).skipped)

    figures = _timed(score)
    if skipped != [True]:
        sys.exit("the day was not complete")
    return figures


def _pandas(given: Given) -> Figures:
    """What everyone writes first: read it all, predict, append it all."""
    import joblib  # noqa: PLC0415 - see above
    import pandas as pd  # noqa: PLC0415
    import sqlalchemy as sa  # noqa: PLC0415

    estimator = joblib.load(given["dump"])
    source, target = (
        sa.create_engine(given[each].replace("postgresql:", "postgresql+psycopg:"))
        for each in ("source", "target")
    )
    features = given["features"]
    same = {**given["constants"], "scored_for": date.fromisoformat(given["day"])}

    def score() -> None:
        columns = ", ".join(("id", *features))
        frame = pd.read_sql(f"SELECT {columns} FROM {given['table']}", source)  # noqa: S608 - names of ours
        scored = pd.DataFrame(
            {"event_id": frame["id"], "prediction": estimator.predict(frame[features])}
        ).assign(**same, scored_at=pd.Timestamp.now("UTC"))
        scored.to_sql("predictions", target, if_exists="append", index=False)

    return _timed(score)


_KINDS: Final[dict[str, Callable[[Given], Figures]]] = {
    "streamscore": _streamscore,
    "unscored": _unscored,
    "again": _again,
    "pandas": _pandas,
}


def _settings(given: Given) -> "Settings":
    from runtime.settings import load_settings  # noqa: PLC0415 - see above

    return load_settings(
        {
            "store": given["store"],
            "model.engine": given.get("engine"),
            "batch.source": given["source"],
            "batch.table": given["table"],
            "batch.time_column": given["time_column"],
            "batch.target": given["target"],
            "batch.model": given["model"],
        },
        environ={},
        directory=Path("/dev/null"),
    )


def _job(given: Given) -> "tuple[Job, Task]":
    from batch import assembly  # noqa: PLC0415 - see above

    settings = _settings(given)
    ref, source = assembly.resolve_model(settings), assembly.open_source(settings)
    target = assembly.open_target(settings)
    model = assembly.load(settings, ref)
    task = assembly.task(settings, ref, source, date.fromisoformat(given["day"]))
    return assembly.build_job(settings, source, target, model, lambda: False), task


def _timed(call: Callable[[], object]) -> Figures:
    began, used = time.perf_counter(), time.process_time()
    call()
    return {
        "seconds": time.perf_counter() - began,
        "cpu_s": time.process_time() - used,
        "peak_rss_mib": _peak_rss_mib(),
    }


def _peak_rss_mib() -> float:
    """As benchmarks/process.py has it, which would import a lot."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


if __name__ == "__main__":
    main()
