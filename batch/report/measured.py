"""A day's predictions as the database itself counts them: exact quantiles, bins, labels, the mean.

Every statement gives a bounded number of rows, however many predictions there are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
from sqlalchemy import Connection, case, func, select
from sqlalchemy.sql.elements import ColumnElement

from batch.answered import Answered, answered, of_runs
from batch.found import Ran
from batch.selection import probability
from batch.tables import predictions
from model.profile import NumberCounts, Profile, TextCounts

MEDIAN: Final = 0.5
SHOWN: Final = (0.0, 0.05, 0.25, MEDIAN, 0.75, 0.95, 1.0)  # the quantiles that a page tells
_OUTERMOST: Final = (0.005, 0.995)  # between them are bins of equal width
_BINS: Final = 40
_MOST_LABELS: Final = 20
_LABELS_OF_TWO: Final = 2


@dataclass(frozen=True, slots=True)
class Measured:
    """The answers of a day: `quantiles` of the number (linear between two values), by their share.

    `number` and `labels` have the bins of the profile where it has bins, with what is expected;
    else bins of the day itself, and nothing is expected.
    """

    task: str | None = None
    number: NumberCounts | None = None
    labels: TextCounts | None = None
    quantiles: Mapping[float, float] = field(default_factory=dict)


def measure(connection: Connection, ran: Sequence[Ran], profile: Profile | None) -> Measured:
    """Measure the predictions of a day's runs, of which there is at least one.

    What their profile has counted is not counted again, if it has counted all of them.
    """
    known, day = _known(connection, ran, profile)
    if day is None or known.number is None:
        return known
    number = known.number if known.number.edges else day.bins(known.number)
    return replace(known, number=number, quantiles=day.quantiles(sum(number.counts), SHOWN))


def measure_level(connection: Connection, ran: Sequence[Ran], profile: Profile | None) -> Measured:
    """The same for a day of which no picture is wanted: of the quantiles the median alone."""
    known, day = _known(connection, ran, profile)
    if day is None or known.number is None:
        return known
    return replace(known, quantiles=day.quantiles(sum(known.number.counts), (MEDIAN,)))


def _known(
    connection: Connection, ran: Sequence[Ran], profile: Profile | None
) -> tuple[Measured, "_Day | None"]:
    """What need not be sorted, and what can be asked for more; None where there is no number."""
    scored = sum(each.rows_scored for each in ran)
    counted = profile if profile is not None and profile.scored == scored else None
    there = answered(connection, ran)
    task = profile.task if profile is not None else there.task
    number = counted.number if counted else None
    labels = counted.labels if counted else None
    if labels is None and "label" in there.fields:
        labels = _labels(connection, ran)
    name = number.name if number else _number_name(there)
    if name is None or not there.fields:
        return Measured(task, number, labels), None
    day = _Day(connection, _figure(name), of_runs(ran))
    return Measured(task, number or day.whole(name), labels), day


@dataclass(frozen=True, slots=True)
class _Day:
    connection: Connection
    figure: ColumnElement[Any]
    where: Sequence[ColumnElement[bool]]

    def quantiles(self, count: int, shares: Sequence[float]) -> dict[float, float]:
        """The quantiles of `count` values, as numpy has them by default; sorted by the database."""
        if not count:
            return {}
        places = {share: share * (count - 1) for share in shares}
        wanted = {end(place) + 1 for place in places.values() for end in (math.floor, math.ceil)}
        place = func.row_number().over(order_by=self.figure).label("place")
        there = select(self.figure.label("value"), place)
        ordered = there.where(*self.where, self.figure.is_not(None)).subquery()
        asked = select(ordered.c.place, ordered.c.value).where(ordered.c.place.in_(sorted(wanted)))
        values = {int(place): float(value) for place, value in self.connection.execute(asked)}
        found = {}
        for share, place_of in places.items():
            low, high = values.get(math.floor(place_of) + 1), values.get(math.ceil(place_of) + 1)
            if low is not None and high is not None:  # else the day was written meanwhile
                found[share] = low + (high - low) * (place_of - math.floor(place_of))
        return found

    def whole(self, name: str) -> NumberCounts:
        """The number in one bin."""
        figure = self.figure
        asked = (func.count(figure), func.sum(figure), func.min(figure), func.max(figure))
        count, total, least, most = self.connection.execute(select(*asked).where(*self.where)).one()
        return NumberCounts(name, [], [], None, [count], 0, total, None, least, most)

    def bins(self, number: NumberCounts) -> NumberCounts:
        """The number in bins of equal width of the day's own."""
        figure, count = self.figure, sum(number.counts)
        ends = self.quantiles(count, _OUTERMOST)
        if len(ends) < len(_OUTERMOST):
            return number
        low, high = ends.values()
        edges = np.unique(np.linspace(low, high, _BINS - 1)).tolist()
        upto = [func.sum(case((figure <= edge, 1), else_=0)) for edge in edges]
        sums = self.connection.execute(select(*upto).where(*self.where)).one()
        ordered = [0, *(int(each or 0) for each in sums), count]
        counts = [max(high - low, 0) for low, high in pairwise(ordered)]
        return msgspec.structs.replace(number, edges=edges, counts=counts)


def _labels(connection: Connection, ran: Sequence[Ran]) -> TextCounts:
    rows = func.count().label("rows_of_it")
    label = predictions.c.label
    by_label = select(label, rows).where(*of_runs(ran), label.is_not(None)).group_by(label)
    first = by_label.order_by(rows.desc(), label).limit(_MOST_LABELS)
    found = [(str(name), int(count)) for name, count in connection.execute(first)]
    whole = select(func.count(label)).where(*of_runs(ran))
    others = connection.execute(whole).scalar_one() - sum(count for _, count in found)
    counts = [*(count for _, count in found), max(others, 0), 0]
    return TextCounts("label", [name for name, _ in found], [], counts)


def _number_name(there: Answered) -> str | None:
    """As model/baseline.py names it."""
    if there.task == "outlier":
        return "score"
    if there.task == "regression":
        return "prediction"
    if there.knows_all and len(there.labels) == _LABELS_OF_TWO:
        return f"{_PROBABILITY}{there.labels[1]}"
    return None


_PROBABILITY: Final = "probability of "


def _figure(name: str) -> ColumnElement[Any]:
    if name.startswith(_PROBABILITY):
        return probability(name.removeprefix(_PROBABILITY))
    figure: ColumnElement[Any] = predictions.c[name]
    return figure
