"""The flights of 2013 as a table of a database: what the batch way scores, a few rows broken.

The database is any that SQLAlchemy has a driver for, by its address. Knows neither the model nor
what becomes of the rows.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pandas as pd

from demo.flights import EVENT_FIELDS, TARGET
from model.errors import DatabaseError, SettingsError, WrongUsage
from runtime.masking import mask_address

try:
    import sqlalchemy as sa
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
except ModuleNotFoundError as error:
    raise SettingsError(
        "what speaks with databases is not installed (package sqlalchemy)",
        hint="pip install 'streamscore[batch,demo]'",
    ) from error

TABLE: Final = "flights"
TIME_COLUMN: Final = "sched_dep"
TIME_ZONE: Final = "America/New_York"
"""Whose days are meant: those at the airports. The table has times in UTC."""
DAYS: Final = tuple(date(2013, 12, number) for number in (1, 2, 3))
BROKEN_A_DAY: Final = 5
"""Rows of each of these days that no model takes: see `with_broken_rows`."""

_AT_ONCE: Final = 10_000

metadata: Final = sa.MetaData()

flights_table: Final = sa.Table(
    TABLE,
    metadata,
    sa.Column("id", sa.Text),  # no key: a few rows are without one, as in real tables
    sa.Column("flight", sa.Text),
    *(sa.Column(name, sa.Text) for name in ("carrier", "origin", "dest")),
    sa.Column("dep_delay", sa.Double),
    *(sa.Column(name, sa.Integer) for name in ("distance", "sched_dep_time")),
    *(sa.Column(name, sa.Double) for name in ("temp", "visib", "wind_speed", "precip")),
    sa.Column(TIME_COLUMN, sa.DateTime(timezone=True), index=True),
    sa.Column(TARGET, sa.Double),  # the truth, for the report: it is no feature
)


@dataclass(frozen=True, slots=True)
class Truth:
    """What became of a flight, in minutes; `dep_delay` is None in a broken row."""

    dep_delay: float | None
    arr_delay: float


@dataclass(frozen=True, slots=True)
class SourceDay:
    """A day of the table: how many rows it has, and the truth by the id of those that have one."""

    rows: int
    truths: dict[str, Truth]


def fill(address: str, load: Callable[[], pd.DataFrame]) -> int:
    """Write the year into the table unless it is there; how many rows were written.

    `load` gives the frame of `load_flights`. All rows are written in one transaction. Raises
    DatabaseError, also where another table has this name.
    """
    with opened(address) as connection:
        if sa.inspect(connection).has_table(TABLE):
            _require_ours(connection, address)
            if _rows(connection):
                return 0
        rows = with_broken_rows(load())
        metadata.create_all(connection)
        for start in range(0, len(rows), _AT_ONCE):
            some = rows.iloc[start : start + _AT_ONCE]
            connection.execute(sa.insert(flights_table), _records(some))
        return len(rows)


def read_day(address: str, day: date) -> SourceDay:
    """Read a day's rows. Raises DatabaseError."""
    table = flights_table.c
    at = table[TIME_COLUMN]
    start, end = (_midnight(each) for each in (day, day + timedelta(days=1)))
    columns = (table.id, table.dep_delay, table[TARGET])
    with opened(address) as connection:
        rows = connection.execute(sa.select(*columns).where(at >= start, at < end)).all()
    truths = {row_id: Truth(left, arrived) for row_id, left, arrived in rows if row_id is not None}
    return SourceDay(len(rows), truths)


def with_broken_rows(flights: pd.DataFrame) -> pd.DataFrame:
    """Break five rows of each of the days: no id, no delay, no carrier, and twice the same id."""
    rows = flights[[*EVENT_FIELDS, TARGET]].astype({"id": object, "carrier": object})
    local = rows[TIME_COLUMN].dt.tz_convert(TIME_ZONE).dt.date
    for day in DAYS:
        no_id, no_delay, no_carrier, first, second = rows.index[local == day][100::100][:5]
        rows.loc[no_id, "id"] = None
        rows.loc[no_delay, "dep_delay"] = None
        rows.loc[no_carrier, "carrier"] = None
        rows.loc[second, "id"] = rows.loc[first, "id"]
    return rows


@contextmanager
def opened(address: str) -> Iterator[sa.Connection]:
    """A transaction for the block, written at its end. Raises WrongUsage, DatabaseError."""
    engine = _engine(address)
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        hint = "check that it is there, and the rights to it"
        raise DatabaseError(f"{mask_address(address)}: {said}", hint=hint) from error
    finally:
        engine.dispose()


def _engine(address: str) -> sa.Engine:
    try:
        url = sa.make_url(address)
        if url.drivername in {"postgres", "postgresql"}:
            url = url.set(drivername="postgresql+psycopg")
        if url.get_backend_name() == "sqlite" and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        return sa.create_engine(url, poolclass=sa.NullPool)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        hint = "write it as sqlite:///file.db or postgresql://user@host:5432/database"
        raise WrongUsage("the address of a database cannot be used", hint=hint) from error


def _require_ours(connection: sa.Connection, address: str) -> None:
    there = {column["name"] for column in sa.inspect(connection).get_columns(TABLE)}
    if there != {column.name for column in flights_table.columns}:
        msg = f"{mask_address(address)} has another table {TABLE!r}"
        raise DatabaseError(msg, hint="name a database, or a schema, for the demo alone")


def _rows(connection: sa.Connection) -> int:
    return int(
        connection.execute(sa.select(sa.func.count()).select_from(flights_table)).scalar_one()
    )


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    names = [str(name) for name in rows.columns]
    columns = (rows[name].astype(object).where(rows[name].notna(), None).tolist() for name in names)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(TIME_ZONE)).astimezone(UTC)
