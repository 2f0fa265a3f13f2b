"""Where the executors of a run put their rows, until all of them are shown at once.

Three tables of the target, of the run alone: which parts are done, their predictions and their
rejections. Their name holds the number of the day's lock, which tells whether the run still lives;
so what a dead one left is dropped by the next that begins, on whichever day.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any, Final

import structlog
from sqlalchemy import Connection, text

from batch.database import Database
from batch.job import added
from batch.lock import lock_number
from batch.runs import Run
from batch.target import STAGED_COLUMNS, constants, upsert_from
from model.errors import DatabaseError
from model.profile import from_json
from model.rows import NO_ID

_log = structlog.get_logger("streamscore.batch")

_LEFT_BEHIND: Final = text(
    "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    " AND tablename ~ '^streamscore_[0-9a-f]{16}_[0-9a-f]{32}$'"
)
_DROP_WITHIN_S: Final = 5  # a task that was left may be writing still: the next run drops it then


@dataclass(frozen=True, slots=True)
class Staging:
    """The tables of one run, by their common name."""

    name: str

    @classmethod
    def of(cls, run: Run) -> "Staging":
        """Those of a run."""
        number = lock_number(run.task) % (1 << 64)
        return cls(f"streamscore_{number:016x}_{run.run_id.replace('-', '')}")

    @property
    def predictions(self) -> str:
        """The table of the predictions."""
        return f"{self.name}_p"

    @property
    def rejections(self) -> str:
        """The table of the rejections, with their numbers within their part."""
        return f"{self.name}_r"

    def create(self, connection: Connection) -> None:
        """Create the tables. A crash of the server empties them, which `bring` finds out."""
        connection.exec_driver_sql(
            f"CREATE UNLOGGED TABLE {self.name} (part integer PRIMARY KEY,"
            " read bigint NOT NULL DEFAULT 0, scored bigint NOT NULL DEFAULT 0,"
            " rejected bigint NOT NULL DEFAULT 0, profile jsonb)"
        )
        connection.exec_driver_sql(f"CREATE UNLOGGED TABLE {self.predictions} ({STAGED_COLUMNS})")
        connection.exec_driver_sql(
            f"CREATE UNLOGGED TABLE {self.rejections} (part integer, number bigint,"
            " event_id text, stage text, code text, message text)"
        )

    def profile(self, connection: Connection) -> Any:  # noqa: ANN401 - JSON
        """What the rows of all parts were like (model/profile.py)."""
        parts = connection.exec_driver_sql(f"SELECT profile FROM {self.name} ORDER BY part")  # noqa: S608 - a name of ours
        return reduce(added, map(from_json, parts.scalars()), None)

    def bring(self, connection: Connection, run: Run, nulls: int, now: datetime) -> None:
        """Take all rows into the tables that people read; those without an id are `nulls`.

        A rejection's number is what it is in a run that reads the day from end to end. Raises
        DatabaseError where rows are missing.
        """
        values = constants(run, now)
        scored = connection.exec_driver_sql(upsert_from(self.predictions), values).rowcount
        rejected = connection.exec_driver_sql(self._bring_rejections(), {**values, "nulls": nulls})
        without_id = connection.exec_driver_sql(_WITHOUT_ID, {**values, "nulls": nulls})
        brought = scored, rejected.rowcount + without_id.rowcount
        if brought != (run.rows_scored, run.rows_rejected):
            expected = (run.rows_scored, run.rows_rejected)
            msg = f"of {expected} rows scored and rejected, {brought} are in {self.name}"
            raise DatabaseError(msg, hint="did the server restart? Run it again")

    def drop(self, database: Database) -> None:
        """Drop the tables, or leave them to the next run where a task still writes to them."""
        try:
            with database.connect() as connection, connection.begin():
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_DROP_WITHIN_S}s'")
                tables = f"{self.name}, {self.predictions}, {self.rejections}"
                connection.exec_driver_sql(f"DROP TABLE IF EXISTS {tables}")
        except DatabaseError as error:
            _log.warning("staging_left", tables=self.name, reason=str(error))

    def _bring_rejections(self) -> str:
        return (
            f"INSERT INTO rejections ({_REJECTED}) SELECT %(run_id)s::text,"  # noqa: S608 - names of ours
            " %(nulls)s::bigint + before + number, event_id, %(model)s::text, %(version)s::text,"
            " %(scored_for)s::date, stage, code, message, %(scored_at)s::timestamptz"
            f" FROM {self.rejections} JOIN (SELECT part,"
            f" (sum(read) OVER (ORDER BY part) - read)::bigint AS before FROM {self.name}) parts"
            " USING (part)"
        )


def sweep(database: Database, run: Run) -> None:
    """Drop the tables of runs whose process is gone: whoever holds the run's day calls this."""
    mine = Staging.of(run).name
    with database.connect() as connection:
        with connection.begin():
            names = list(connection.execute(_LEFT_BEHIND).scalars())
        for name in names:
            day = name.split("_")[1]
            if name == mine:
                continue
            if day == mine.split("_")[1]:  # an earlier run of a day that is ours alone
                Staging(name).drop(database)
                continue
            number = int.from_bytes(bytes.fromhex(day), signed=True)
            if connection.execute(_TRY_LOCK, {"number": number}).scalar_one():
                Staging(name).drop(database)
                connection.execute(_UNLOCK, {"number": number})
            connection.commit()


_TRY_LOCK: Final = text("SELECT pg_try_advisory_lock(:number)")
_UNLOCK: Final = text("SELECT pg_advisory_unlock(:number)")

_REJECTED: Final = ", ".join(
    (
        *("run_id", "number", "event_id", "model", "version", "scored_for"),
        *("stage", "code", "message", "rejected_at"),
    )
)


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


_WITHOUT_ID: Final = (
    f"INSERT INTO rejections ({_REJECTED}) SELECT %(run_id)s::text, number, NULL,"  # noqa: S608 - texts of ours
    " %(model)s::text, %(version)s::text, %(scored_for)s::date,"
    f" {_literal(NO_ID.stage.value)}, {_literal(NO_ID.code.value)}, {_literal(NO_ID.message)},"
    " %(scored_at)s::timestamptz FROM generate_series(1, %(nulls)s::bigint) AS number"
)
