"""Looks up what a report needs row by row: the top, why rows were rejected, and outcomes.

Each query gives a bounded number of rows, however many predictions there are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Protocol

from sqlalchemy import Connection, func, select

from batch.day import Window
from batch.found import Ran
from batch.report.figures import Cause, Lists, Top
from batch.report.quality import Answer, Quality, QualityRow, Tally, calibration
from batch.selection import probability
from batch.source import Source
from batch.tables import predictions, rejections
from model.rows import row_ids
from model.signature import Task

MOST_CAUSES: Final = 20
_CHUNK: Final = 10_000
_AT_A_TIME: Final = 1_000  # ids in one SELECT


class Advance(Protocol):
    """What is told that some more outcomes were read: a bar, or nobody."""

    def advance(self, count: float = 1) -> None:
        """`count` more are done."""


def look_up(
    connection: Connection, ran: Sequence[Ran], label: str | None, limit: int, *, lowest: bool
) -> Lists:
    """The top rows of a day's runs and the causes of their rejections.

    The top are the highest predictions, or the lowest; of a classifier those that most probably
    have the label, of an outlier detector the lowest scores.
    """
    top, top_is = _top(connection, ran, label, limit, lowest=lowest)
    return Lists(top, top_is, _causes(connection, ran))


def _top(
    connection: Connection, ran: Sequence[Ran], label: str | None, limit: int, *, lowest: bool
) -> tuple[tuple[Top, ...], str]:
    table = predictions.c
    of_day = (
        table.scored_for == ran[0].day,
        table.model == ran[0].model,
        table.run_id.in_([each.run_id for each in ran]),
    )
    kinds = select(func.max(table.score), func.max(table.label)).where(*of_day)
    score, a_label = connection.execute(kinds).one()
    has_probabilities = a_label is not None and _has_probabilities(connection, of_day)
    where = list(of_day)
    figure: Any
    if score is not None:
        figure, lowest, top_is = table.score, True, "lowest scores"
    elif has_probabilities and label is not None:
        figure, lowest, top_is = probability(label), False, f"most probably “{label}”"
    elif a_label is not None:
        where.append(table.label == label)
        figure, top_is = table.prediction, f"with the label “{label}”"
    else:
        figure, top_is = table.prediction, f"{'lowest' if lowest else 'highest'} predictions"
    order = figure.asc() if lowest else figure.desc()
    rows = select(table.event_id, figure, table.label).where(*where)
    if score is not None or a_label is None or has_probabilities:
        rows = rows.where(figure.is_not(None)).order_by(order, table.event_id)
    else:
        rows = rows.order_by(table.event_id)
    return tuple(Top(*row) for row in connection.execute(rows.limit(limit))), top_is


def _has_probabilities(connection: Connection, of_day: Sequence[Any]) -> bool:
    one = select(predictions.c.probabilities).where(*of_day).limit(1)
    return connection.execute(one).scalar_one_or_none() is not None


def _causes(connection: Connection, ran: Sequence[Ran]) -> tuple[Cause, ...]:
    table = rejections.c
    rows = func.count().label("rows_of_it")
    why = (table.stage, table.code, table.message)
    counted = (
        select(*why, rows, func.min(table.event_id))
        .where(table.run_id.in_([each.run_id for each in ran]))
        .group_by(*why)
        .order_by(rows.desc(), *why)
        .limit(MOST_CAUSES)
    )
    return tuple(Cause(*row) for row in connection.execute(counted))


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Where outcomes are: a column of the source, by day."""

    source: Source
    column: str

    def known(self, window: Window, bar: Advance) -> Iterator[tuple[list[str], list[Any]]]:
        """The ids of a day and their outcomes, chunk by chunk; NULL is not known."""
        with self.source.day(window, [self.column]) as snapshot:
            for rows in snapshot.chunks(_CHUNK):
                ids = row_ids([row[0] for row in rows])
                pairs = [
                    (name, row[1])
                    for name, row in zip(ids, rows, strict=True)
                    if name is not None and row[1] is not None
                ]
                bar.advance(len(rows))
                yield [name for name, _ in pairs], [outcome for _, outcome in pairs]


@dataclass(frozen=True, slots=True)
class Measuring:
    """Holds the predictions of `ran` against their outcomes; calibration is that of `label`."""

    connection: Connection
    ran: Sequence[Ran]
    outcomes: Outcomes
    label: str | None

    def quality(self, windows: Sequence[Window], bar: Advance) -> Quality:
        """The quality of these days."""
        rows: list[QualityRow] = []
        tallies: list[Tally] = []
        for window in windows:
            source = self.outcomes.source.name
            of_day = [e for e in self.ran if e.day == window.day and e.source == source]
            if not of_day:
                continue
            by_version: dict[str, Tally] = {}
            for ids, values in self.outcomes.known(window, bar):
                for start in range(0, len(ids), _AT_A_TIME):
                    part = slice(start, start + _AT_A_TIME)
                    self._add(of_day[0], ids[part], values[part], by_version)
            tallies += by_version.values()
            rows += _quality_rows(window.day, of_day, by_version)
        if not any(row.known for row in rows):
            why = f"The column {self.outcomes.column!r} has no outcome of these days yet."
            return Quality(why_not=why)
        return Quality(tuple(rows), calibration(tallies))

    def _add(
        self, ran: Ran, ids: Sequence[str], outcomes: Sequence[Any], by_version: dict[str, Tally]
    ) -> None:
        table = predictions.c
        columns = (
            table.event_id,
            table.version,
            table.prediction,
            table.label,
            table.probabilities,
        )
        found = select(*columns).where(table.event_id.in_(ids), table.model == ran.model)
        answers = {
            row[0]: Answer(*row[1:])
            for row in self.connection.execute(found.where(table.scored_for == ran.day))
        }
        grouped: dict[str, tuple[list[Any], list[Answer]]] = {}
        for name, outcome in zip(ids, outcomes, strict=True):
            if (answer := answers.get(name)) is not None:
                known = grouped.setdefault(answer.version, ([], []))
                known[0].append(outcome)
                known[1].append(answer)
        for version, (values, given) in grouped.items():
            by_version.setdefault(version, Tally(self.label)).add(values, given)


def can_be_measured(task: str | None) -> bool:
    """Whether outcomes say how good the answers of such a model are."""
    return task in {None, Task.REGRESSION, Task.CLASSIFICATION}


def _quality_rows(
    day: date, ran: Sequence[Ran], by_version: dict[str, Tally]
) -> Iterator[QualityRow]:
    scored = sum(each.rows_scored for each in ran)
    for version, tally in sorted(by_version.items()):
        yield QualityRow(day, version, tally.known, scored, tally.figures())
    if not by_version:
        yield QualityRow(day, ran[0].version, 0, scored, {})
