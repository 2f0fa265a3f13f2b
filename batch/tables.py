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
    REAL,
    BigInteger,
    Column,
    Connection,
    Date,
    DateTime,
    Double,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    TypeDecorator,
    inspect,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect, Inspector
from sqlalchemy.schema import CreateColumn
from sqlalchemy.types import NullType, TypeEngine

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
    Column("source_digest", String(16)),  # what was read of it: text, columns
    Column("scored_for", Date, nullable=False),
    Column("window_start", Instant, nullable=False),
    Column("window_end", Instant, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),  # each process that goes on with it adds one
    Column("owner", Text, nullable=False),  # the process that does, or did
    Column("digest", BigInteger),  # of the rows that are done, ids and features
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


# Columns of `runs` that came with later versions; NULL in the rows of earlier ones, which thus are
# of no reading of the source that is known, and have done no rows that are.
_SINCE: Final = frozenset({"source_digest", "digest"})


def bring_up_to_date(connection: Connection, where: str) -> None:
    """Create the tables that are not there, and the columns that an earlier version had not.

    Raises DatabaseError where a table of these names is not ours; `where` is the database's name.
    """
    if connection.dialect.name == "postgresql":  # two that begin at once must not both create
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('streamscore tables'))"))
    missing, lacking = missing_parts(connection, where)
    metadata.create_all(connection, [metadata.tables[name] for name in missing])
    for name in lacking:
        column = CreateColumn(runs.c[name]).compile(connection)
        connection.exec_driver_sql(f"ALTER TABLE runs ADD {column}")


def missing_parts(connection: Connection, where: str) -> tuple[list[str], list[str]]:
    """The tables that are not there, and the columns of `runs` that an earlier version had not.

    Raises DatabaseError where a table of these names is not ours.
    """
    there = inspect(connection)
    present = set(there.get_table_names()) & set(metadata.tables)
    lacking: list[str] = []
    for name in sorted(present):
        lacking += _lacking(there, metadata.tables[name], where)
    return sorted(set(metadata.tables) - present), lacking


def _lacking(there: Inspector, ours: Table, where: str) -> list[str]:
    """The columns that came since and are not there yet; anything else that is wrong is refused."""
    found = {column["name"]: column["type"] for column in there.get_columns(ours.name)}
    missing = sorted({column.name for column in ours.columns} - set(found))
    if set(missing) - (_SINCE if ours is runs else set()):
        raise _not_ours(where, ours, f"it lacks {', '.join(missing)}")
    key = [column.name for column in ours.primary_key]
    if set(there.get_pk_constraint(ours.name)["constrained_columns"]) != set(key):
        raise _not_ours(where, ours, f"its primary key is not ({', '.join(key)})")
    dialect = there.dialect
    wrong = [
        f"{column.name} is {_called(found[column.name], dialect)}"
        f" rather than {_called(column.type, dialect)}"
        for column in ours.columns
        if column.name in found and not _holds(found[column.name], column.type, dialect)
    ]
    if wrong:
        raise _not_ours(where, ours, "; ".join(wrong))
    return missing


def _not_ours(where: str, ours: Table, why: str) -> DatabaseError:
    hint = "name a database, or a schema, for the predictions alone"
    return DatabaseError(f"{where} has another table {ours.name!r}: {why}", hint=hint)


# By the family of a column of ours: the families that hold it, and those that other databases than
# SQLite and PostgreSQL have for it.
_Family = tuple[type[TypeEngine[Any]], ...]
_HOLDING: Final[tuple[tuple[type[TypeEngine[Any]], _Family, _Family], ...]] = (
    (JSON, (JSON,), (String, LargeBinary)),
    (DateTime, (DateTime,), ()),
    (Date, (Date,), (DateTime,)),
    (Integer, (Integer,), (Numeric,)),
    (Double, (Float,), (Numeric,)),
    (String, (String,), ()),
)


def _holds(given: TypeEngine[Any], ours: TypeEngine[Any], dialect: Dialect) -> bool:
    """Whether a column of a type that was found keeps what one of ours is given, as it is."""
    given = getattr(given, "data_type", given)  # of a domain
    own = ours.impl_instance if isinstance(ours, TypeDecorator) else ours
    if isinstance(given, NullType):
        return True  # nothing is declared: it keeps anything
    if dialect.name == "postgresql":
        if isinstance(own, DateTime):
            return isinstance(given, DateTime) and given.timezone
        if isinstance(given, REAL):
            return False  # half of a double's digits
    strict = dialect.name in {"sqlite", "postgresql"}
    _, holding, elsewhere = next(each for each in _HOLDING if isinstance(own, each[0]))
    return isinstance(given, holding if strict else holding + elsewhere)


def _called(kind: TypeEngine[Any], dialect: Dialect) -> str:
    return str(kind.compile(dialect)).lower()
