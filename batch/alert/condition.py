"""The condition of an alert: an expression over a day's figures, asked of the database.

    share(prediction > 60) > 0.15 or rejected > 100

Around it is the language of runtime/expressions.py, inside of `share(…)`, `count(…)` and
`average(…)` that of batch/selection.py. One statement gives all of it: nothing but figures is read.
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, case, func, select

from batch.alert.sense import require_known, require_sense
from batch.answered import answered, of_runs
from batch.found import Ran, find_runs
from batch.selection import Selection
from batch.tables import predictions
from runtime.expression_text import Written
from runtime.expressions import Condition, compile_condition

if TYPE_CHECKING:
    from sqlalchemy.sql.elements import ColumnElement

USUAL_DAYS: Final = 7
_NAMES: Final = (
    *("rows", "scored", "rejected", "mean", "minimum", "maximum"),
    *("seconds", "complete", "usual_rows"),
)
_MEASURES: Final = frozenset({"share", "count", "average"})
_ALLOWED: Final = (
    f"allowed are: {', '.join(_NAMES)}; share(…), count(…) of a condition on prediction, label, "
    'score, probabilities["late"], event_id, version; average(…) of one of these; numbers; '
    "== != < <= > >=, and, or, not, + - * /, abs(), min(), max(), round()"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a condition came to: `holds` is None where it is unknown, as by a division by zero.

    `values` are the figures that it looked at, by how they are written.
    """

    holds: bool | None
    values: dict[str, Any]

    @property
    def unknown(self) -> list[str]:
        """The figures that there are none of."""
        return [name for name, value in self.values.items() if value is None]


class Alert:
    """A condition, compiled: `text` is how it was written. Raises WrongUsage at a column."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._written = Written(text, "condition", _ALLOWED)
        self._selection = Selection(self._written)
        self._counts: dict[str, ColumnElement[Any]] = {}
        self._shares: set[str] = set()
        measures = {"share": self._share, "count": self._count, "average": self._average}
        shape = dict.fromkeys(_NAMES)
        self._condition: Condition = compile_condition(self._written, text, shape, measures)
        self._tree = self._written.parsed()
        require_sense(self._written, self._tree, _MEASURES)

    @property
    def asks_whether_complete(self) -> bool:
        """Whether it reckons with a day that is not complete."""
        return "complete" in self._condition.names

    def find(
        self, connection: Connection, ran: Sequence[Ran], labels: Sequence[str] = ()
    ) -> Finding:
        """Ask the database about a day's runs, of which there is at least one.

        `labels` are all that the model may answer, empty where that is not known but from its
        probabilities.
        Raises WrongUsage where the condition could never hold of this model's predictions.
        """
        has = answered(connection, ran)
        if labels and not has.knows_all:
            has = replace(has, labels=tuple(labels), knows_all=True)
        require_known(self._written, self._tree, _MEASURES, self._selection.looked_at, has)
        figures = _figures(ran) | self._measured(connection, ran)
        if "usual_rows" in self._condition.names:
            figures["usual_rows"] = _usual_rows(connection, ran[0])
        names = [*(name for name in _NAMES if name in self._condition.names), *self._counts]
        values = {name: figures[name] for name in names}
        return Finding(self._condition.verdict(values), values)

    def _share(self, node: ast.expr) -> str:
        name = f"share({self._written.part(node)})"
        self._counts[name] = func.sum(case((self._selection.condition(node), 1), else_=0))
        self._shares.add(name)
        return name

    def _count(self, node: ast.expr) -> str:
        name = f"count({self._written.part(node)})"
        self._counts[name] = func.sum(case((self._selection.condition(node), 1), else_=0))
        return name

    def _average(self, node: ast.expr) -> str:
        name = f"average({self._written.part(node)})"
        self._counts[name] = func.avg(self._selection.number(node))
        return name

    def _measured(self, connection: Connection, ran: Sequence[Ran]) -> dict[str, Any]:
        number = predictions.c.prediction
        asked = [func.count(), func.avg(number), func.min(number), func.max(number)]
        rows, mean, least, most, *found = connection.execute(
            select(*asked, *self._counts.values()).where(*of_runs(ran))
        ).one()
        measured: dict[str, Any] = {"mean": mean, "minimum": least, "maximum": most}
        for name, value in zip(self._counts, found, strict=True):
            if name in self._shares:
                measured[name] = int(value) / rows if rows else None
            elif name.startswith("count("):
                measured[name] = int(value or 0)
            else:
                measured[name] = None if value is None else float(value)
        return measured


def _figures(ran: Sequence[Ran]) -> dict[str, Any]:
    return {
        "rows": sum(each.rows_read for each in ran),
        "scored": sum(each.rows_scored for each in ran),
        "rejected": sum(each.rows_rejected for each in ran),
        "seconds": sum(each.seconds for each in ran),
        "complete": all(each.is_complete for each in ran),
    }


def _usual_rows(connection: Connection, ran: Ran) -> float | None:
    """The median of the complete days before, of those that there are."""
    first, last = ran.day - timedelta(days=USUAL_DAYS), ran.day - timedelta(days=1)
    by_day: dict[object, int] = {}
    for each in find_runs(connection, ran.model, first, last):
        if each.is_complete:
            by_day[each.day] = by_day.get(each.day, 0) + each.rows_read
    return float(median(by_day.values())) if by_day else None
