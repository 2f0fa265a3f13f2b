"""The tables of the predictions database: the contract that reports and people read.

    predictions   one row for each row of the source that was scored; key: event_id, model
    rejections    one row for each that was not, with the cause; key: run_id, number
    runs          what ran when, how far it came and what it found; key: run_id

docs/contracts.md describes each column.
"""

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Date,
    DateTime,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    inspect,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect

from model.errors import DatabaseError

RUNNING: Final = "running"
COMPLETE: Final = "complete"
INTERRUPTED: Final = "interrupted"
FAILED: Final = "failed"


class Instant(TypeDecorator[datetime]):
    """A time in UTC, also where the database keeps no time zones (there it is stored in UTC)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """As it is stored."""
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ANN401, ARG002 - as the base has it
        """As it was given, in UTC."""
        if value is None:
            return None
        given: datetime = value
        return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)


_Json: Final = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
_Key: Final = Text().with_variant(String(255), "mysql", "mariadb", "mssql", "oracle")
_Number: Final[Double[float]] = Double()

metadata: Final = MetaData()

predictions: Final = Table(
    "predictions",
    metadata,
    Column("event_id", _Key, primary_key=True),
    Column("model", _Key, primary_key=True),
    Column("version", _Key, nullable=False),
    Column("prediction", _Number),  # a number; NULL where the answer is a label that is none
    Column("label", Text),  # a classifier's answer as text
    Column("probabilities", _Json),  # a classifier's, by label
    Column("score", _Number),  # an outlier detector's
    Column("scored_for", Date, nullable=False),
    Column("scored_at", Instant, nullable=False),
    Column("run_id", String(36), nullable=False),
    Index("predictions_by_day", "scored_for", "model"),
    sqlite_with_rowid=False,
)

rejections: Final = Table(
    "rejections",
    metadata,
    Column("run_id", String(36), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", Text),  # NULL where the row has none
    Column("model", _Key, nullable=False),
    Column("version", _Key, nullable=False),
    Column("scored_for", Date, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("code", String(32), nullable=False),
    Column("message", Text, nullable=False),
    Column("rejected_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)

runs: Final = Table(
    "runs",
    metadata,
    Column("run_id", String(36), primary_key=True),
    Column("model", _Key, nullable=False),
    Column("version", _Key, nullable=False),
    Column("source", Text, nullable=False),  # which database and table, without any password
    Column("scored_for", Date, nullable=False),
    Column("window_start", Instant, nullable=False),
    Column("window_end", Instant, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),  # each process that goes on with it adds one
    Column("owner", Text, nullable=False),  # the process that does, or did
    Column("digest", BigInteger, nullable=False),  # of the rows that are done, ids and features
    Column("rows_read", BigInteger, nullable=False),
    Column("rows_scored", BigInteger, nullable=False),
    Column("rows_rejected", BigInteger, nullable=False),
    Column("profile", _Json),  # what the rows were like: see model/profile.py
    Column("started_at", Instant, nullable=False),
    Column("progress_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("seconds", _Number, nullable=False),  # at work, over all attempts
    Column("error", Text),
    Index("runs_by_day", "scored_for", "model"),
)


def create_tables(connection: Connection, missing: set[str]) -> None:
    """Create those of the tables."""
    if connection.dialect.name == "postgresql":  # two that begin at once must not both create
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('streamscore tables'))"))
    metadata.create_all(connection, [metadata.tables[name] for name in sorted(missing)])


def require_columns(connection: Connection, table: str, where: str) -> None:
    """Refuse a table that is not ours. Raises DatabaseError; `where` is the database's name."""
    ours, there = metadata.tables[table], inspect(connection)
    names = {column["name"] for column in there.get_columns(table)}
    hint = "name a database, or a schema, for the predictions alone"
    if missing := {column.name for column in ours.columns} - names:
        msg = f"{where} has another table {table!r}: it lacks {', '.join(sorted(missing))}"
        raise DatabaseError(msg, hint=hint)
    key = [column.name for column in ours.primary_key]
    if set(there.get_pk_constraint(table)["constrained_columns"]) != set(key):
        msg = f"{where} has another table {table!r}: its primary key is not ({', '.join(key)})"
        raise DatabaseError(msg, hint=hint)
