"""A day of a source as it is at one moment, in chunks of rows in the order of their ids.

Rows without an id are only counted. Rows of the same id always come in the same chunk, and a chunk
in hand is all that is in memory.
"""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, FromClause, column, func, select
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import NullType

from model.errors import SourceUnfit

Row = Sequence[Any]  # the id, then the columns that were asked for


class Snapshot(ABC):
    """One day: `rows` have an id, `nulls` have none."""

    rows: int
    nulls: int
    errors: Callable[[], AbstractContextManager[None]] = nullcontext  # around each read

    @abstractmethod
    def fetch(self, size: int) -> Iterator[list[Row]]:
        """All rows, in the order of the ids, up to `size` at a time."""

    def chunks(self, size: int) -> Iterator[list[Row]]:
        """All rows, in the order of the ids; those of one id together.

        Raises SourceUnfit where one id has more rows than a chunk takes.
        """
        held: list[Row] = []
        for fetched in self._read_in_words(size):
            rows = held + fetched
            cut = len(rows) - 1
            while cut and same_id(rows[cut - 1], rows[-1]):
                cut -= 1
            if not cut and len(rows) > size:
                msg = f"more than {size} rows of the day have the same id"
                raise SourceUnfit(msg, hint="is the id column the one that names each row?")
            held = rows[cut:]
            del rows[cut:], fetched  # one chunk in memory, not two, when the next one is read
            if cut:
                yield rows
            del rows
        if held:
            yield held

    def _read_in_words(self, size: int) -> Iterator[list[Row]]:
        with self.errors():
            yield from self.fetch(size)


def same_id(one: Row, other: Row) -> bool:
    """Whether two rows have the same id."""
    return bool(one[0] == other[0]) or str(one[0]) == str(other[0])


_encoder: Final = msgspec.msgpack.Encoder(enc_hook=repr)
_HEADERS: Final = ((1 << 4, 1), (1 << 16, 3), (1 << 32, 5))  # of an array of so many: its bytes


def digest_of(rows: Sequence[Row], before: int = 0) -> int:
    """A running CRC-32 of rows: the same in whatever chunks they come, and in every process.

    It tells a change from none, all but once in four billion changes.
    """
    try:
        packed = _encoder.encode(rows)
    except (UnicodeEncodeError, OverflowError):  # text that is none, integers of more than 64 bits
        for row in rows:
            before = _digest_of_odd(row, before)
        return before
    header = next(size for limit, size in _HEADERS if len(rows) < limit)
    return zlib.crc32(memoryview(packed)[header:], before)


def _digest_of_odd(row: Row, before: int) -> int:
    try:
        packed = _encoder.encode(row)
    except (UnicodeEncodeError, OverflowError):
        packed = repr(tuple(row)).encode("utf-8", "surrogatepass")
    return zlib.crc32(packed, before)


def ordered(key: ColumnElement[Any], dialect: str) -> ColumnElement[Any]:
    """The id as it is ordered by: so that rows of one id, and these alone, stand together.

    A collation may take "a" for "A", and what has no type in SQLite may hold both 5 and "5". An
    index of the column serves only where it is ordered as it is, which is the rule.
    """
    kind = key.type
    if dialect == "sqlite":
        untyped: ColumnElement[Any] = column(key.name)
        if isinstance(kind, NullType):
            untyped = sa.cast(untyped, sa.Text)
        return untyped if isinstance(kind, sa.Integer) else sa.collate(untyped, "BINARY")
    collated = isinstance(kind, CITEXT) or (isinstance(kind, sa.String) and kind.collation)
    if dialect == "postgresql" and collated:
        return sa.collate(sa.cast(key, sa.Text), "C")
    return key


class Streamed(Snapshot):
    """Read by a cursor of the server, in a transaction that sees one state of the database."""

    def __init__(
        self,
        connection: Connection,
        source: FromClause,
        key: ColumnElement[Any],
        columns: Sequence[str],
        within: ColumnElement[bool],
    ) -> None:
        self._connection = connection
        counts = select(func.count(), func.count(key)).select_from(source).where(within)
        untyped: list[ColumnElement[Any]] = [
            column(name) for name in (key.name, *columns)
        ]  # values as the driver has them
        rows = select(*untyped).select_from(source).where(within, key.is_not(None))
        self._select = rows.order_by(ordered(key, connection.dialect.name))
        everything, self.rows = connection.execute(counts).one()
        self.nulls = everything - self.rows

    def fetch(self, size: int) -> Iterator[list[Row]]:
        """All rows."""
        rows = self._select
        # By the driver itself: rows that SQLAlchemy wraps cost as much again.
        if self._connection.dialect.driver == "psycopg":
            yield from self._fetch_binary(rows, size)
            return
        with self._connection.execution_options(stream_results=True).execute(rows) as result:
            while fetched := result.cursor.fetchmany(size):
                yield list(fetched)
                del fetched  # or two of them were in memory

    def _fetch_binary(self, rows: sa.Select[Any], size: int) -> Iterator[list[Row]]:
        """Of PostgreSQL, numbers as they are rather than as text."""
        compiled = rows.compile(self._connection)
        from psycopg.types.string import TextBinaryLoader  # noqa: PLC0415 - a driver is there only where it is used

        driver: Any = self._connection.connection.driver_connection
        with driver.cursor(name="streamscore_day", binary=True) as cursor:
            # The types of extensions, and enumerations: their text, which is their binary form too.
            cursor.adapters.register_loader(0, TextBinaryLoader)
            cursor.execute(str(compiled), compiled.params)
            while fetched := cursor.fetchmany(size):
                yield fetched
                del fetched  # as above


_COPY: Final = "streamscore_day"


class Copied(Snapshot):
    """Copied into a temporary table of SQLite: nobody who writes to the source waits for us."""

    def __init__(
        self,
        connection: Connection,
        source: FromClause,
        key: ColumnElement[Any],
        columns: Sequence[str],
        within: ColumnElement[bool],
    ) -> None:
        self._connection = connection
        names = [f"c{number}" for number in range(1 + len(columns))]
        copy = sa.table(_COPY, column("n"), *map(column, names), schema="temp")
        kept = ", ".join(names)  # without types: what is stored stays as it is
        connection.exec_driver_sql(f"CREATE TABLE temp.{_COPY} (n INTEGER PRIMARY KEY, {kept})")
        untyped: list[ColumnElement[Any]] = [column(name) for name in (key.name, *columns)]
        rows = select(*untyped).select_from(source).where(within, key.is_not(None))
        rows = rows.order_by(ordered(key, "sqlite"))
        connection.execute(sa.insert(copy).from_select(names, rows))
        self.rows = connection.execute(select(func.count()).select_from(copy)).scalar_one()
        missing = select(func.count()).select_from(source).where(within, key.is_(None))
        self.nulls = connection.execute(missing).scalar_one()
        connection.commit()  # the source is free again
        self._page = f"SELECT {kept} FROM temp.{_COPY} WHERE n > ? ORDER BY n LIMIT ?"  # noqa: S608 - names of ours

    def fetch(self, size: int) -> Iterator[list[Row]]:
        """All rows."""
        last = 0
        while True:
            page = self._read(last, size)
            if not page:
                return
            last += len(page)  # it was filled in order, and nothing was taken out
            yield page
            del page  # as above

    def _read(self, last: int, size: int) -> list[Row]:
        # By the driver itself: rows that SQLAlchemy wraps cost as much again.
        driver: Any = self._connection.connection.driver_connection
        try:
            rows: list[Row] = driver.execute(self._page, (last, size)).fetchall()
        except self._connection.dialect.loaded_dbapi.OperationalError as error:
            if "decode to UTF-8" not in str(error) or driver.text_factory is not str:
                raise
            # Such a text is for its row alone to be refused.
            driver.text_factory = lambda given: given.decode("utf-8", "surrogateescape")
            return self._read(last, size)
        return rows
