"""A day of flights as a table of a database, and the predictions that it must come to.

All flights of the year lie in one day. Where more rows are wanted than there are flights, they
come again under other ids.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import psycopg
import sqlalchemy as sa

from benchmarks.cases import Case
from benchmarks.lab import BenchmarkError
from demo.flights import FEATURES, load_flights

TABLE: Final = "flights"
TIME_COLUMN: Final = "sched_dep"
DAY: Final = date(2013, 6, 1)
_BEGIN: Final = datetime(2013, 6, 1)  # noqa: DTZ001 - stored without a zone
MIDDLE: Final = str(_BEGIN + timedelta(hours=12))
_SECONDS: Final = 24 * 60 * 60
_TYPES: Final = ("text", "timestamp", "text", *["text"] * 3, "double precision", "bigint", "bigint")
_COLUMNS: Final = ("id", TIME_COLUMN, "flight", *FEATURES)
_CLOSE: Final = 1e-9
_AT_A_TIME: Final = 50_000


@dataclass(frozen=True, slots=True)
class Flights:
    """`plain` has a row for each flight; `expected` is scikit-learn's own prediction of it."""

    plain: list[tuple[Any, ...]]
    expected: npt.NDArray[np.float64]

    def rows(self, count: int) -> Iterator[tuple[Any, ...]]:
        """So many rows, in the order of their times, which is not that of their ids."""
        for number in range(count):
            again, position = divmod(number, len(self.plain))
            name, *values = self.plain[position]
            at = _BEGIN + timedelta(seconds=number * _SECONDS // count)
            yield (f"{name}-{again}", at, *values)

    def require(self, address: str, count: int) -> None:
        """Raise BenchmarkError unless a target has just the right predictions of so many rows."""
        positions = {row[0]: position for position, row in enumerate(self.plain)}
        seen = 0
        engine = sa.create_engine(address, poolclass=sa.NullPool)
        with engine.connect() as connection:
            query = sa.text("SELECT event_id, prediction FROM predictions")
            found = connection.execution_options(yield_per=_AT_A_TIME).execute(query)
            for some in found.partitions():
                at = [positions[event_id.rpartition("-")[0]] for event_id, _ in some]
                given = np.array([prediction for _, prediction in some], dtype=np.float64)
                if not np.allclose(given, self.expected[at], rtol=_CLOSE, atol=_CLOSE):
                    raise BenchmarkError("a prediction is not the model's")
                seen += len(some)
        if seen != count:  # its primary key sees to it that none is there twice
            raise BenchmarkError(f"{seen} predictions were written, not {count}")


def flights_of(case: Case, *, quick: bool) -> Flights:
    """The flights that the model of the case scores."""
    frame = load_flights()
    if quick:
        frame = frame.head(1_000)
    expected = np.asarray(case.estimator.predict(frame[list(FEATURES)]), dtype=np.float64)
    kept = frame[["id", "flight", *FEATURES]].astype(object)
    kept = kept.where(pd.notna(kept), None)
    return Flights(list(kept.itertuples(index=False, name=None)), expected)


def fill_sqlite(file: Path, flights: Flights, count: int) -> None:
    """Make a database with the table in it."""
    columns = ", ".join(f"{name} {kind}" for name, kind in _described())
    marks = ", ".join("?" * len(_COLUMNS))
    connection = sqlite3.connect(file)
    try:
        connection.execute(f"CREATE TABLE {TABLE} ({columns})")
        rows = ((row[0], str(row[1]), *row[2:]) for row in flights.rows(count))
        connection.executemany(f"INSERT INTO {TABLE} VALUES ({marks})", rows)  # noqa: S608 - names of ours
        for statement in _INDEXES:
            connection.execute(statement)
        connection.commit()
    finally:
        connection.close()


def fill_postgres(address: str, flights: Flights, count: int) -> None:
    """The same in an empty database of PostgreSQL."""
    columns = ", ".join(f"{name} {kind}" for name, kind in _described())
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {TABLE} ({columns})".encode())
        with connection.cursor().copy(f"COPY {TABLE} FROM STDIN".encode()) as copy:
            for row in flights.rows(count):
                copy.write_row(row)
        for statement in (*_INDEXES, f"VACUUM ANALYZE {TABLE}"):
            connection.execute(statement.encode())


def _described() -> Iterator[tuple[str, str]]:
    kinds = (*_TYPES, *["double precision"] * (len(_COLUMNS) - len(_TYPES)))
    return zip(_COLUMNS, kinds, strict=True)


_INDEXES: Final = (
    f"CREATE UNIQUE INDEX flights_by_id ON {TABLE} (id)",
    f"CREATE INDEX flights_by_time ON {TABLE} ({TIME_COLUMN})",
)
