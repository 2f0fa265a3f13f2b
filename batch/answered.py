"""What a day's predictions hold: which columns are filled, and which labels a model knows.

Asked of the predictions database alone, in few rows; the report and the alert both go by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, func, select
from sqlalchemy.sql.elements import ColumnElement

from batch.found import Ran
from batch.tables import predictions

_MOST_LABELS: Final = 1_000  # that are looked at


@dataclass(frozen=True, slots=True)
class Answered:
    """The `fields` that are not NULL everywhere, in the table's order; none without predictions.

    `labels` are those that probabilities are given of; without probabilities those of the day,
    and then the model may know more (`knows_all` is False).
    """

    fields: tuple[str, ...]
    labels: tuple[str, ...]
    knows_all: bool

    @property
    def task(self) -> str | None:
        """What the model does, as far as its answers tell; None without any."""
        if not self.fields:
            return None
        if "score" in self.fields:
            return "outlier"
        return "classification" if "label" in self.fields else "regression"


def of_runs(ran: Sequence[Ran]) -> tuple[ColumnElement[bool], ...]:
    """The predictions of a day's runs, as conditions: there is at least one run."""
    return (
        predictions.c.scored_for == ran[0].day,
        predictions.c.model == ran[0].model,
        predictions.c.run_id.in_([each.run_id for each in ran]),
    )


def answered(connection: Connection, ran: Sequence[Ran]) -> Answered:
    """What the predictions of a day's runs hold."""
    table, of_day = predictions.c, of_runs(ran)
    asked = ("prediction", "label", "score")
    filled = select(*(func.count(table[name]) for name in asked)).where(*of_day)
    counts = connection.execute(filled).one()
    fields = [name for name, count in zip(asked, counts, strict=True) if count]
    if "label" not in fields:
        return Answered(tuple(fields), (), knows_all=False)
    some = select(table.probabilities).where(*of_day, table.label.is_not(None)).limit(1)
    probabilities: Any = connection.execute(some).scalar_one_or_none()
    if probabilities:
        return Answered((*fields, "probabilities"), tuple(sorted(probabilities)), knows_all=True)
    distinct = select(table.label).where(*of_day, table.label.is_not(None)).distinct()
    labels = connection.execute(distinct.order_by(table.label).limit(_MOST_LABELS)).scalars()
    return Answered(tuple(fields), tuple(labels), knows_all=False)
