"""Finds what ran: the runs of a day, of the model that is meant, in the predictions database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, func, select

from batch import runs as kept
from batch.counted import as_they_count
from batch.tables import COMPLETE, missing_parts, runs
from model.errors import DatabaseError, NoRun, WrongUsage


@dataclass(frozen=True, slots=True)
class Ran:
    """The last run of a day of one source.

    Its rows are those that count: `rows_taken` are its rows that later runs have answered too.
    """

    run_id: str
    model: str
    version: str
    source: str
    day: date
    state: str
    rows_read: int
    rows_scored: int
    rows_rejected: int
    seconds: float
    started_at: datetime
    finished_at: datetime | None
    error: str | None
    profile: Any
    source_digest: str | None = ""
    rows_taken: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether the whole day was scored."""
        return self.state == COMPLETE


def model_name(reference: str | None) -> str | None:
    """The name of "name@alias" or "name:version": all versions' runs are one model's."""
    return None if reference is None else reference.partition("@")[0].partition(":")[0]


def find_model(connection: Connection, reference: str | None, day: date) -> str:
    """The model that is meant: named, or the only one that has scored the day.

    Raises NoRun where nothing has, WrongUsage where several have and none is named.
    """
    where = str(connection.engine.url.database)
    missing, lacking = missing_parts(connection, where)
    if missing:
        msg = f"no predictions are in {where}: it has no table {missing[0]}"
        raise NoRun(msg, hint="see --target; or score a day")
    if lacking:
        msg = f"the table 'runs' of {where} is of an earlier version: it lacks {', '.join(lacking)}"
        hint = "any `streamscore batch run` (not a dry run) with this target adds what it lacks"
        raise DatabaseError(msg, hint=hint)
    of_day = select(runs.c.model).where(runs.c.scored_for == day).distinct()
    names = sorted(connection.execute(of_day).scalars())
    name = model_name(reference)
    if name is None and len(names) > 1:
        raise WrongUsage(f"several models scored {day}", hint=f"--model {' or '.join(names)}")
    if name in names or (name is None and names):
        return name or names[0]
    raise _no_run(connection, name, names, day)


def find_runs(connection: Connection, model: str, first: date, last: date) -> list[Ran]:
    """The last run of each day and source, in the order of the days."""
    ran = [_ran(row) for row in kept.history(connection, model, first, last)]
    return as_they_count(connection, ran)


def _ran(row: dict[str, Any]) -> Ran:
    names = set(Ran.__dataclass_fields__) - {"day", "rows_taken"}
    return Ran(day=row["scored_for"], **{name: row[name] for name in names})


def _no_run(connection: Connection, name: str | None, names: Sequence[str], day: date) -> NoRun:
    if names:
        hint = f"that day was scored by {', '.join(names)}: see --model"
        return NoRun(f"{name} has not scored {day}", hint=hint)
    last = select(func.max(runs.c.scored_for))
    if name is not None:
        last = last.where(runs.c.model == name)
    latest = connection.execute(last).scalar_one()
    hint = f"streamscore batch run --date {day}"
    if latest is not None:
        hint += f"; the last day that was scored is {latest}"
    return NoRun(f"{name or 'no model'} has {'not ' if name else ''}scored {day}", hint=hint)
