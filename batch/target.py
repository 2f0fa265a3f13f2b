"""The predictions database: its tables, and chunks that are written whole or not at all."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import chain, repeat
from typing import Any, Final

import orjson
from sqlalchemy import Connection, delete, insert

from batch import runs
from batch.answers import COPIED, AnswerColumns
from batch.database import Database
from batch.lock import day_lock
from batch.runs import Run, Task
from batch.tables import bring_up_to_date, missing_parts, predictions, rejections
from model.engines import Answers
from model.profile import Profile
from model.rejection import Rejection

_COLUMNS: Final = [column.name for column in predictions.columns]
_KEY: Final = ("event_id", "model")
_AT_A_TIME: Final = 500  # ids in one DELETE, where a database has no upsert that we know
_SQLITE_ROWS: Final = 100  # a statement; older ones take 999 parameters
_STAGED: Final = "streamscore_chunk"
STAGED_COLUMNS: Final = (
    "event_id text, prediction double precision, label text, probabilities jsonb,"
    " score double precision"
)
_ALREADY_THERE: Final = "23505"  # unique_violation


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one chunk of rows came to.

    `ids` belong to the `answers`, row by row; `rejected` has the others: their number in the run
    (from 1), their id if they have one, and why.
    """

    ids: list[str]
    answers: Answers | None
    rejected: Sequence[tuple[int, str | None, Rejection]]
    profile: Profile | None = None  # what they were like


class Target:
    """A predictions database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def prepare(self) -> None:
        """Create the tables that are not there, and the columns that earlier versions had not.

        Raises:
            DatabaseError: it cannot be written to, or has other tables of these names.

        """
        file = self.database.file
        is_new = file is not None and not (file.exists() and file.stat().st_size)
        with self.database.connect(read_only=True) as connection:
            if is_new:  # readers of it are not to hold up its writer, nor the writer them
                driver: Any = connection.connection.driver_connection
                with suppress(connection.dialect.loaded_dbapi.OperationalError):
                    # Where it is locked, another one that begins does it just now.
                    driver.execute("PRAGMA journal_mode = WAL")
            is_current = not any(missing_parts(connection, self.database.name))
        if not is_current:
            with self.database.connect() as connection, connection.begin():
                bring_up_to_date(connection, self.database.name)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read from, for the block."""
        with self.database.connect(read_only=True) as connection:
            yield connection

    def require_free(self, task: Task, now: datetime) -> None:
        """Raise RunTaken where another process holds the day; nothing is held afterwards."""
        with (
            self.database.connect() as connection,
            day_lock(connection, task, self.database.file, now),
        ):
            pass

    @contextmanager
    def day(self, task: Task, columns: AnswerColumns, now: datetime) -> Iterator["DayWriter"]:
        """Hold a day for the block, and write it. Raises RunTaken, DatabaseError."""
        with (
            self.database.connect() as connection,
            day_lock(connection, task, self.database.file, now),
        ):
            yield DayWriter(self.database, connection, task, columns)


class DayWriter:
    """Writes one day through one connection, a transaction at a time."""

    def __init__(
        self, database: Database, connection: Connection, task: Task, columns: AnswerColumns
    ) -> None:
        self._database = database
        self._connection = connection
        self._task = task
        self._columns = columns
        self._is_first = False  # no run has written of this day yet
        self._upsert = {"postgresql": self._copy, "sqlite": self._insert_many}.get(
            connection.dialect.name, self._replace
        )

    def latest(self) -> Run | None:
        """The last run of the day, of whichever version."""
        with self._transaction():
            found = runs.latest(self._connection, self._task)
        self._is_first = found is None
        return found

    def begin(self, now: datetime) -> Run:
        """Begin a run of the day anew."""
        with self._transaction():
            return runs.begin(self._connection, self._task, now)

    def take_over(self, run: Run, now: datetime) -> Run:
        """Go on with a run that was left."""
        with self._transaction():
            return runs.take_over(self._connection, run, now)

    def write(self, run: Run, chunk: Chunk, now: datetime) -> None:
        """Write a chunk and where the run stands after it: both or neither."""
        rows = len(chunk.ids) + len(chunk.rejected)
        with self._transaction():
            runs.move_on(self._connection, run, run.rows_read - rows)
            if chunk.answers is not None:
                self._upsert(run, chunk.ids, chunk.answers, now)
            if chunk.rejected:
                self._connection.execute(insert(rejections), _rejected(run, chunk.rejected, now))

    def finish(self, run: Run, bring: Callable[[Connection], None] | None = None) -> None:
        """Write down that the day is complete; what earlier runs left of it goes.

        `bring` brings all rows in the same transaction, where they were kept elsewhere so far.
        """
        with self._transaction():
            runs.move_on(self._connection, run, 0 if bring else run.rows_read)
            if bring is not None:
                bring(self._connection)
            runs.clear_earlier(self._connection, run)

    def leave(self, run: Run, error: str) -> None:
        """Write down that the run ended before its end, and why."""
        with self._transaction():
            runs.leave(self._connection, run, error)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._database.errors(), self._connection.begin():
            yield

    def _copy(self, run: Run, ids: list[str], answers: Answers, now: datetime) -> None:
        """PostgreSQL: COPY into a temporary table, and from there in one statement."""
        columns = ", ".join(COPIED)
        driver: Any = self._connection.connection.driver_connection
        with driver.cursor() as cursor:
            # A chunk that a crash of the server takes back takes its progress with it.
            cursor.execute("SET LOCAL synchronous_commit = off")
            cursor.execute(
                f"CREATE TEMPORARY TABLE IF NOT EXISTS {_STAGED} ({STAGED_COLUMNS})"
                " ON COMMIT DELETE ROWS"
            )
            with cursor.copy(f"COPY {_STAGED} ({columns}) FROM STDIN") as copy:
                copy.write(self._columns.copy_text(ids, answers))
            values = constants(run, now)
            if not (self._is_first and _inserted(driver, cursor, values)):
                self._is_first = False
                cursor.execute(upsert_from(_STAGED), values)

    def _insert_many(self, run: Run, ids: list[str], answers: Answers, now: datetime) -> None:
        """SQLite: many rows a statement, which costs a third of one row a statement."""
        at = now.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")  # as SQLAlchemy reads it
        task = run.task
        same = (task.model, task.version, task.window.day.isoformat(), at, run.run_id)
        values = (repeat(None) if each is None else each for each in self._columns.values(answers))
        rows = list(zip(ids, *values, strict=False))
        for start in range(0, len(rows), _SQLITE_ROWS):
            some = rows[start : start + _SQLITE_ROWS]
            self._connection.exec_driver_sql(
                _sqlite_upsert(len(some)), (*same, *chain.from_iterable(some))
            )

    def _replace(self, run: Run, ids: list[str], answers: Answers, now: datetime) -> None:
        """Any other database: delete what is there, and insert."""
        for start in range(0, len(ids), _AT_A_TIME):
            some = predictions.c.event_id.in_(ids[start : start + _AT_A_TIME])
            same = predictions.c.model == run.task.model
            self._connection.execute(delete(predictions).where(same, some))
        rows = self._rows(run, ids, answers, run.task.window.day, now)
        given = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
        for row in given:
            row["probabilities"] = _parsed(row["probabilities"])
        self._connection.execute(insert(predictions), given)

    def _rows(
        self, run: Run, ids: list[str], answers: Answers, day: object, at: object
    ) -> list[tuple[Any, ...]]:
        prediction, label, probabilities, score = (
            repeat(None) if values is None else values for values in self._columns.values(answers)
        )
        task = run.task
        return list(
            zip(
                ids,
                *(repeat(task.model), repeat(task.version)),
                *(prediction, label, probabilities, score),
                *(repeat(day), repeat(at), repeat(run.run_id)),
                strict=False,
            )
        )


_ON_CONFLICT: Final = f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in _COLUMNS if name not in _KEY
)


def _insert_from(staged: str) -> str:
    return (
        f"INSERT INTO predictions ({', '.join(_COLUMNS)}) SELECT event_id, %(model)s, %(version)s,"  # noqa: S608 - names of ours
        " prediction, label, probabilities, score, %(scored_for)s, %(scored_at)s, %(run_id)s"
        f" FROM {staged}"
    )


def upsert_from(staged: str) -> str:
    """PostgreSQL's statement that takes the rows of a table, with the `constants` of a run."""
    return f"{_insert_from(staged)} {_ON_CONFLICT}"


def _inserted(driver: Any, cursor: Any, values: dict[str, Any]) -> bool:  # noqa: ANN401 - psycopg's
    """Insert what is staged; False, and nothing is done, where one of the ids is there already.

    PostgreSQL takes half again as long for rows that it has to look for before each.
    """
    try:
        with driver.transaction():  # a savepoint of the one that is open
            cursor.execute(_insert_from(_STAGED), values)
    except driver.IntegrityError as error:
        if error.sqlstate != _ALREADY_THERE:
            raise
        return False
    return True


@cache
def _sqlite_upsert(rows: int) -> str:
    """For the constants of `upsert_from` and then so many rows of what COPY is given."""
    values = ", ".join(["(?, ?, ?, ?, ?)"] * rows)
    columns = "event_id, model, version, prediction, label, probabilities, score"
    return (
        f"INSERT INTO predictions ({columns}, scored_for, scored_at, run_id)"  # noqa: S608 - names of ours
        " SELECT column1, ?, ?, column2, column3, column4, column5, ?, ?, ?"
        f" FROM (VALUES {values}) WHERE true {_ON_CONFLICT}"
    )


def constants(run: Run, now: datetime) -> dict[str, Any]:
    """What all rows of a run have in common."""
    task = run.task
    return {
        "model": task.model,
        "version": task.version,
        "scored_for": task.window.day,
        "scored_at": now,
        "run_id": run.run_id,
    }


def _rejected(
    run: Run, rejected: Sequence[tuple[int, str | None, Rejection]], now: datetime
) -> list[dict[str, Any]]:
    common = {name: value for name, value in constants(run, now).items() if name != "scored_at"}
    return [
        {
            **common,
            "number": number,
            "event_id": event_id,
            "stage": why.stage.value,
            "code": why.code.value,
            "message": why.message,
            "rejected_at": now,
        }
        for number, event_id, why in rejected
    ]


def _parsed(probabilities: str | None) -> Any:  # noqa: ANN401 - JSON
    return None if probabilities is None else orjson.loads(probabilities)
