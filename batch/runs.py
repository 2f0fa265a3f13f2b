"""What ran: the table `runs`, in which each run says how far it came.

A run belongs to one process at a time. Each that takes it over adds one to its attempt, and can
only move it on while that is still the number: whoever was overtaken finds out at its next chunk,
whose transaction is undone.
"""

import os
import socket
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, null, select, update

from batch.day import Window
from batch.tables import COMPLETE, RUNNING, predictions, rejections, runs
from model.errors import RunTaken


@dataclass(frozen=True, slots=True)
class Task:
    """Which day of which source is scored by which version of a model.

    `digest` tells what is read of the source (batch/source.py): a query can change.
    """

    model: str
    version: str
    source: str
    window: Window
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it stands; `digest`: of the rows done that have an id (batch/snapshot.py)."""

    run_id: str
    task: Task
    state: str
    attempt: int
    digest: int
    rows_read: int
    rows_scored: int
    rows_rejected: int
    profile: Any
    seconds: float
    started_at: datetime
    progress_at: datetime

    @property
    def is_complete(self) -> bool:
        """Whether the whole day is done."""
        return self.state == COMPLETE

    def completes(self, task: Task, *, any_version: bool = False) -> bool:
        """Whether it did all of a task: its version, hours and reading of the source are its."""
        wanted = replace(task, version=self.task.version) if any_version else task
        return self.is_complete and self.task == wanted


def owner() -> str:
    """This process, for people."""
    return f"{socket.gethostname()}, process {os.getpid()}"


def latest(connection: Connection, task: Task) -> Run | None:
    """The last run of a day of a source by a model, of whichever version."""
    rows = select(runs).where(_same_day(task)).order_by(runs.c.started_at.desc()).limit(1)
    found = connection.execute(rows).mappings().one_or_none()
    return None if found is None else _run(dict(found))


def latest_runs(connection: Connection, tasks: Collection[Task]) -> dict[date, Run]:
    """The last run of each day, of whichever version, without what its rows were like.

    `tasks` are of one model and source.
    """
    one, days = next(iter(tasks)), [task.window.day for task in tasks]
    of_model = and_(runs.c.model == one.model, runs.c.source == one.source)
    within = runs.c.scored_for.between(min(days), max(days))
    columns = [null().label(each.name) if each is runs.c.profile else each for each in runs.c]
    rows = select(*columns).where(of_model, within).order_by(runs.c.started_at)
    return {row["scored_for"]: _run(dict(row)) for row in connection.execute(rows).mappings()}


def begin(connection: Connection, task: Task, now: datetime) -> Run:
    """A new run of a day, whose source is read as it is at `now` or later."""
    newest = select(func.max(runs.c.started_at)).where(_same_day(task))
    last = connection.execute(newest).scalar_one()
    # The last run is known by it, also where a clock was put back.
    at = now if last is None else max(now, last + timedelta(microseconds=1))
    run = Run(str(uuid.uuid4()), task, RUNNING, 1, 0, 0, 0, 0, None, 0.0, at, now)
    row = {
        "run_id": run.run_id,
        "model": task.model,
        "version": task.version,
        "source": task.source,
        "source_digest": task.digest,
        "scored_for": task.window.day,
        "window_start": task.window.start,
        "window_end": task.window.end,
        "owner": owner(),
        "started_at": run.started_at,
        **_state(run),
    }
    connection.execute(insert(runs).values(row))
    return run


def take_over(connection: Connection, run: Run, now: datetime) -> Run:
    """Go on with a run that another process left."""
    taken = replace(run, state=RUNNING, attempt=run.attempt + 1, progress_at=now)
    values = {**_state(taken), "owner": owner(), "error": None}
    _move(connection, run, values)
    return taken


def move_on(connection: Connection, run: Run, done_before: int) -> None:
    """Write down where the run now stands, which stood behind `done_before` rows.

    Raises:
        RunTaken: another process has taken it over, or the database has lost what was done;
            nothing must be written then.

    """
    ended = {} if run.state == RUNNING else {"finished_at": run.progress_at, "error": None}
    _move(connection, run, {**_state(run), **ended}, runs.c.rows_read == done_before)


def leave(connection: Connection, run: Run, error: str) -> None:
    """Write down that, and why, the run ended. Where it stands only `move_on` writes.

    The process may know of more rows than the database: a crash can take the last ones back.
    Raises RunTaken where another process has taken it over.
    """
    ended = {"state": run.state, "error": error, "seconds": run.seconds}
    _move(connection, run, {**ended, "finished_at": run.progress_at})


def clear_earlier(connection: Connection, run: Run) -> None:
    """Delete what earlier runs of the same day wrote and this one did not write again."""
    earlier = select(runs.c.run_id).where(_same_day(run.task), runs.c.run_id != run.run_id)
    found = [run_id for (run_id,) in connection.execute(earlier)]
    for run_id in found:
        connection.execute(delete(rejections).where(rejections.c.run_id == run_id))
        of_run = and_(
            predictions.c.scored_for == run.task.window.day,
            predictions.c.model == run.task.model,
            predictions.c.run_id == run_id,
        )
        connection.execute(delete(predictions).where(of_run))


def history(connection: Connection, model: str, first: date, last: date) -> list[dict[str, Any]]:
    """The last run of each day and source from `first` to `last`, as rows of the table."""
    rows = select(runs).where(runs.c.model == model, runs.c.scored_for.between(first, last))
    found = connection.execute(rows.order_by(runs.c.started_at)).mappings()
    newest = {(row["scored_for"], row["source"]): dict(row) for row in found}
    return [newest[key] for key in sorted(newest)]


# What an earlier version did not write is like nothing: the day is begun anew.
_UNKNOWN: Final = "unknown"
_OF_NO_ROWS: Final = -1

_KEPT: Final = (
    *("state", "attempt", "digest", "rows_read", "rows_scored", "rows_rejected"),
    *("profile", "seconds", "progress_at"),
)


def _state(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in _KEPT}


def _move(
    connection: Connection, run: Run, values: Mapping[str, Any], *also: ColumnElement[bool]
) -> None:
    mine = and_(runs.c.run_id == run.run_id, runs.c.attempt == run.attempt, *also)
    moved = connection.execute(update(runs).where(mine).values(**values))
    if moved.rowcount != 1:
        msg = f"the run of {run.task.window.day} is not where this process left it"
        hint = "another process has taken it over: nothing of this one is half written"
        raise RunTaken(msg, hint=hint)


def _same_day(task: Task) -> Any:  # noqa: ANN401 - SQLAlchemy's own
    return and_(
        runs.c.model == task.model,
        runs.c.source == task.source,
        runs.c.scored_for == task.window.day,
    )


def _run(row: Mapping[str, Any]) -> Run:
    window = Window(row["scored_for"], row["window_start"], row["window_end"])
    read = _UNKNOWN if row["source_digest"] is None else row["source_digest"]
    kept = {name: row[name] for name in _KEPT}
    if kept["digest"] is None:
        kept["digest"] = _OF_NO_ROWS
    return Run(
        run_id=row["run_id"],
        task=Task(row["model"], row["version"], row["source"], window, read),
        started_at=row["started_at"],
        **kept,
    )
