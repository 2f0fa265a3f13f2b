"""The source: a table or a query, found to have what is needed, and its days.

What a day's rows are like in memory is batch/snapshot.py, whether columns fit batch/fitting.py.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy import Connection, FromClause, column, inspect, select
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import NullType, TypeEngine

from batch.database import Database
from batch.day import Window
from batch.fitting import (
    feature_columns,
    nearest,
    require_id,
    require_types,
    within,
    within_stored_text,
)
from batch.identity import identify, qualified
from batch.snapshot import Copied, Snapshot, Streamed
from model.errors import InputFileError, SourceUnfit
from model.signature import Signature

_ONE_STATE: Final[dict[str, dict[str, Any]]] = {  # how a database is told to show one state
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
    "mysql": {"isolation_level": "REPEATABLE READ"},
    "mariadb": {"isolation_level": "REPEATABLE READ"},
}
_A_SELECT: Final = re.compile(
    r"(\s|--[^\n]*(\n|$)|/\*.*?\*/)*(select|with|values)\b", re.IGNORECASE | re.DOTALL
)


# What looks like one of SQLAlchemy's parameters, or like one that is escaped, is neither.
_NO_PARAMETERS: Final = re.compile(r"\\(?=:\w*(?![:\w]))|(?<![:\w\\]):(?=\w+(?![:\w]))")


@dataclass(frozen=True, slots=True)
class Query:
    """What is to be read: a table or view, or else the text of a SELECT; and its columns.

    `stored_zone` is that of times that are stored without one. `called` is what runs know a query
    by; `source_name`, where it is given, what they know the source by, whatever it is.
    """

    table: str | None
    text: str | None
    id_column: str
    time_column: str
    stored_zone: ZoneInfo
    called: str = ""
    source_name: str | None = None

    @property
    def digest(self) -> str:
        """Tells whether what is read is still the same: the text, the columns, the zone."""
        read = (self.text, self.id_column, self.time_column, self.stored_zone.key)
        return hashlib.sha256(repr(read).encode()).hexdigest()[:16]


def read_query(file: Path) -> str:
    """The SELECT that a file holds. Raises InputFileError."""
    try:
        given = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputFileError(f"the query {file} cannot be read: {reason}") from error
    query = given.strip().rstrip(";").rstrip()
    if not _A_SELECT.match(query):
        raise InputFileError(f"{file} does not begin with SELECT", hint="give one SELECT, or WITH")
    return query


@dataclass(frozen=True, slots=True)
class Selected:
    """A day's rows of a source, and a connection that sees one state of them."""

    connection: Connection
    rows: FromClause
    key: ColumnElement[Any]
    condition: ColumnElement[bool]


class Source:
    """A query on a database.

    `name` is by what runs are told apart: the database and the table, however they were spelled,
    or what the query is called. Raises SourceUnfit where the table or one of the named columns is
    not there, DatabaseError where the database cannot be asked.
    """

    def __init__(self, database: Database, query: Query) -> None:
        self._database = database
        self._query = query
        with database.connect(read_only=True, sqlite_raw_colnames=True) as connection:
            self._rows, self._types = _described(connection, query)
            self.name = _name(connection, database, query, self._rows)
        self.require(query.id_column, query.time_column)
        require_id(query.id_column, self._types[query.id_column])

    @property
    def dialect(self) -> str:
        """What kind of database it is on."""
        return self._database.dialect

    @property
    def address(self) -> str:
        """Where it is, without secrets: for messages."""
        return self._database.name

    @property
    def digest(self) -> str:
        """Tells whether a run has read the same of it."""
        return self._query.digest

    @property
    def label(self) -> str:
        """What people call it."""
        return f"the table {self._query.table!r}" if self._query.table else "the query"

    def require(self, *columns: str) -> None:
        """Refuse columns that are not there. Raises SourceUnfit."""
        for name in columns:
            if name not in self._types:
                hint = nearest(name, list(self._types))
                raise SourceUnfit(f"{self.label} has no column {name!r}", hint=hint)

    def features(self, signature: Signature) -> list[str]:
        """The column of each feature. Raises SourceUnfit where one is missing or does not fit."""
        names = feature_columns(self.label, signature, list(self._types))
        require_types(self.label, signature, names, self._types, self._database.dialect)
        return names

    def count(self, window: Window) -> int:
        """How many rows a day has by now. Raises SourceUnfit, DatabaseError."""
        with self.selected(window) as day:
            rows = select(sa.func.count()).select_from(day.rows).where(day.condition)
            return int(day.connection.execute(rows).scalar_one())

    @contextmanager
    def day(self, window: Window, columns: Sequence[str]) -> Iterator[Snapshot]:
        """One state of a day's ids and `columns`, for the block."""
        kind: type[Copied | Streamed] = Copied if self.dialect == "sqlite" else Streamed
        with self.selected(window) as day:
            snapshot = kind(day.connection, day.rows, day.key, columns, day.condition)
            snapshot.errors = self._database.errors  # so that a run is told which one failed
            yield snapshot

    @contextmanager
    def selected(self, window: Window) -> Iterator[Selected]:
        """A day that is yet to be read, in one state of the database, for the block."""
        query, dialect = self._query, self.dialect
        key = column(query.id_column, self._types[query.id_column])
        options = _ONE_STATE.get(dialect, {})
        with self._database.connect(read_only=True, **options) as connection:
            when = (query.time_column, window, query.stored_zone)
            if dialect == "sqlite":
                condition = within_stored_text(connection, self._rows, *when)
            else:
                kind = self._types[query.time_column]
                condition = within(query.time_column, kind, window, query.stored_zone)
            yield Selected(connection, self._rows, key, condition)


def _name(connection: Connection, database: Database, query: Query, rows: FromClause) -> str:
    if query.source_name is not None:
        return query.source_name
    if isinstance(rows, sa.TableClause):
        what = qualified(connection, rows.name, rows.schema)
    else:
        what = f"query {query.called}".rstrip()
    return f"{identify(connection, database.name)} {what}"


def _described(
    connection: Connection, query: Query
) -> tuple[FromClause, dict[str, TypeEngine[Any]]]:
    if query.table is not None:
        return _described_table(connection, query.table)
    written = sa.text(_NO_PARAMETERS.sub(r"\\\g<0>", query.text or "") + "\n")  # ends a comment
    whole = written.columns().subquery("streamscore_source")
    result = connection.execute(select(sa.text("*")).select_from(whole).where(sa.text("1 = 0")))
    names = list(result.keys())
    renamed = {name: re.sub(r":\d+$", "", name) for name in names}  # SQLite: the second one "x:1"
    again = {given for name, given in renamed.items() if name != given and given in names}
    if twice := sorted(again | {name for name in names if names.count(name) > 1}):
        msg = f"the query has several columns named {', '.join(twice)}"
        raise SourceUnfit(msg, hint="give each a name of its own with AS")
    kinds = [_kind(connection, described) for described in result.cursor.description]
    rows = written.columns(*map(column, names)).subquery("streamscore_source")
    return rows, dict(zip(names, kinds, strict=True))


def _described_table(
    connection: Connection, table: str
) -> tuple[FromClause, dict[str, TypeEngine[Any]]]:
    inspector = inspect(connection)
    schema, _, short = table.rpartition(".")
    for name, within_schema in ((table, None), (short, schema or None)):
        if inspector.has_table(name, schema=within_schema):
            types = {
                str(each["name"]): getattr(each["type"], "data_type", each["type"])  # of a domain
                for each in inspector.get_columns(name, schema=within_schema)
            }
            return sa.table(name, *map(column, types), schema=within_schema), types
    known = [*inspector.get_table_names(), *inspector.get_view_names()]
    msg = f"there is no table or view {table!r}"
    raise SourceUnfit(msg, hint=nearest(table, sorted(known)))


def _kind(connection: Connection, described: Sequence[Any]) -> TypeEngine[Any]:
    """The type of a query's column, where the driver tells (psycopg does, by its number)."""
    if connection.dialect.driver != "psycopg":
        return NullType()
    from psycopg import adapters  # noqa: PLC0415 - a driver is there only where it is used

    info = adapters.types.get(described[1])
    if info is None:
        return NullType()
    if info.name == "timestamptz":
        return sa.DateTime(timezone=True)
    kind = ischema_names.get(info.regtype)
    return kind() if isinstance(kind, type) else NullType()
