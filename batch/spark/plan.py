"""How a day is read in parts: ranges of ids, each in the order of the ids, by one SELECT.

Floats travel as they are, other values as PostgreSQL writes them: these become Python values by
the loaders of the plain job's driver, so that a model sees the same ones. Knows nothing of Spark.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy import case, column, func, select
from sqlalchemy.dialects.postgresql import dialect as postgresql
from sqlalchemy.sql.elements import ColumnElement

from batch.snapshot import ordered
from batch.source import Selected

ROWS_A_PART: Final = 500_000  # at most: a part that fails is done again
FLOATS: Final = frozenset({700, 701})  # PostgreSQL's numbers of `real` and `double precision`

_BETWEEN_QUOTES: Final = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|(\$\w*\$).*?\1|\?""", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many rows a day has: `rows` with an id, `nulls` without."""

    rows: int
    nulls: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A SELECT of all parts, and how many there are.

    Its columns: `part` (from 0), `n` (the row's number in its part, from 1), `id`, and `c0`, `c1`,
    … for the features. `types` has the type of each from `id` on, by PostgreSQL's numbers.
    `snapshot` names the state of the database that is read.
    """

    query: str
    parts: int
    types: tuple[int, ...]
    snapshot: str

    def predicates(self) -> list[str]:
        """One for each part."""
        return [f"part = {part}" for part in range(self.parts)]

    def session_start(self) -> str:
        """What a connection has to say first, to see the snapshot."""
        return (
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; "
            f"SET TRANSACTION SNAPSHOT {_quoted(self.snapshot)}"
        )


def count(day: Selected) -> Counted:
    """Count a day's rows."""
    counts = select(func.count(), func.count(day.key)).select_from(day.rows).where(day.condition)
    everything, rows = day.connection.execute(counts).one()
    return Counted(rows, everything - rows)


def plan(day: Selected, columns: Sequence[str], rows: int, at_once: int) -> Plan:
    """Cut a day of so many `rows` into parts, of which `at_once` are read at once.

    Its snapshot ends with the transaction of the day's connection.
    """
    parts = max(1, min(rows, max(at_once, -(-rows // ROWS_A_PART))))
    bounds = _bounds(day, parts)
    names = (day.key.name, *columns)
    types = _types(day, names)
    # A server may end sessions that are idle in a transaction: this one waits for the others.
    day.connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
    snapshot = day.connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one()
    return Plan(_query(day, names, types, bounds), len(bounds) + 1, types, snapshot)


def loader(kind: int) -> Callable[[str], Any]:
    """What makes a Python value of what PostgreSQL wrote, as the driver itself does."""
    from psycopg.adapt import Transformer  # noqa: PLC0415 - a driver is there only where it is used
    from psycopg.pq import Format  # noqa: PLC0415 - as above

    load: Callable[[bytes], Any] = Transformer().get_loader(kind, Format.TEXT).load
    return lambda text: load(text.encode())


def _query(day: Selected, names: Sequence[str], types: Sequence[int], bounds: Sequence[str]) -> str:
    key = ordered(day.key, "postgresql")
    untyped: list[ColumnElement[Any]] = [column(name) for name in names]
    before = [(key < sa.literal_column(_quoted(bound)), n) for n, bound in enumerate(bounds)]
    part = case(*before, else_=len(bounds)) if before else sa.literal_column("0")
    labelled = [each.label(f"v{n}") for n, each in enumerate(untyped)]
    inner = select(part.label("part"), key.label("k"), *labelled).select_from(day.rows)
    cut = inner.where(day.condition, day.key.is_not(None)).subquery("cut")
    # Within a part, so that whoever asks for one part has only that one sorted.
    number = func.row_number().over(partition_by=cut.c.part, order_by=cut.c.k)
    values = [_travelling(cut.c[f"v{n}"], kind) for n, kind in enumerate(types)]
    called = ["id", *(f"c{n}" for n in range(len(types) - 1))]
    pairs = zip(values, called, strict=True)
    whole = select(cut.c.part, number.label("n"), *(value.label(name) for value, name in pairs))
    return _for_java(_text(whole))


def _travelling(value: ColumnElement[Any], kind: int) -> ColumnElement[Any]:
    if kind in FLOATS:
        return sa.cast(value, sa.Double)
    # concat() writes a value as it is sent to any client, which a cast to text does not: that one
    # cuts the blanks of a char(n).
    return case((value.is_(None), None), else_=func.concat(value))


def _bounds(day: Selected, parts: int) -> list[str]:
    """The ids at which parts begin, as PostgreSQL writes them; ascending, none twice."""
    if parts == 1:
        return []
    shares = ", ".join(str(n / parts) for n in range(1, parts))
    wanted: ColumnElement[Any] = sa.literal_column(f"ARRAY[{shares}]")
    quantiles = func.unnest(
        func.percentile_disc(wanted).within_group(ordered(day.key, "postgresql"))
    ).label("bound")
    found = select(quantiles).select_from(day.rows).where(day.condition).subquery("found")
    texts = day.connection.execute(select(func.concat(found.c.bound)))
    return list(dict.fromkeys(text for (text,) in texts))


def _types(day: Selected, names: Sequence[str]) -> tuple[int, ...]:
    untyped: list[ColumnElement[Any]] = [column(name) for name in names]
    none = select(*untyped).select_from(day.rows).where(sa.false())
    with day.connection.execute(none) as result:
        described: Any = result.cursor
        return tuple(int(each.type_code) for each in described.description)


def _text(query: sa.Select[Any]) -> str:
    compiled = query.compile(
        # With another style each % would be doubled.
        dialect=postgresql(paramstyle="named"),  # type: ignore[no-untyped-call] # as it is
        compile_kwargs={"literal_binds": True},
    )
    return str(compiled)


def _quoted(text: str) -> str:
    return sql.Literal(text).as_string(None).strip()


def _for_java(text: str) -> str:
    """JDBC takes a question mark for a parameter, unless there are two."""
    return _BETWEEN_QUOTES.sub(lambda found: "??" if found[0] == "?" else found[0], text)
