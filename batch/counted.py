"""What still counts of each run: a row that a later run has answered is that run's alone.

A prediction's key is its id and model, so that a run of another source, or of another day, takes
over the rows whose ids are its own too. What the runs once counted would count those twice.
"""

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select, union_all

from batch.tables import predictions, rejections

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from batch.found import Ran


def as_they_count(connection: Connection, ran: "Sequence[Ran]") -> "list[Ran]":
    """Runs of one model, in the order of their days, with the rows that are theirs by now."""
    counted: list[Ran] = []
    for _, of_day in groupby(_scored(connection, ran), lambda each: each.day):
        runs = sorted(of_day, key=lambda each: each.started_at)
        counted += (_rejected(connection, each, runs[n + 1 :]) for n, each in enumerate(runs))
    return sorted(counted, key=lambda each: (each.day, each.source))


def _scored(connection: Connection, ran: "Sequence[Ran]") -> "list[Ran]":
    if not ran:
        return []
    table = predictions.c
    of_model = table.model == ran[0].model
    expected: dict[date, int] = {}
    for each in ran:
        expected[each.day] = expected.get(each.day, 0) + each.rows_scored
    days = select(table.scored_for, func.count()).where(of_model)  # the index alone tells it
    days = days.where(table.scored_for.between(ran[0].day, ran[-1].day))
    grouped = connection.execute(days.group_by(table.scored_for)).all()
    there: dict[date, int] = dict(grouped)
    odd = [day for day, rows in expected.items() if there.get(day, 0) != rows]
    if not odd:
        return list(ran)
    by_run = select(table.run_id, func.count()).where(of_model, table.scored_for.in_(odd))
    runs = connection.execute(by_run.group_by(table.run_id)).all()
    left: dict[str, int] = dict(runs)
    left |= {each.run_id: each.rows_scored for each in ran if each.day not in odd}
    return [_less(each, each.rows_scored - left.get(each.run_id, 0), 0) for each in ran]


def _rejected(connection: Connection, ran: "Ran", later: "Sequence[Ran]") -> "Ran":
    """Without the rejections of rows that later runs of the day have answered or rejected."""
    if not (later and ran.rows_rejected):
        return ran
    ids = [each.run_id for each in later]
    answered = select(predictions.c.event_id).where(
        predictions.c.model == ran.model,
        predictions.c.scored_for == ran.day,
        predictions.c.run_id.in_(ids),
    )
    refused = select(rejections.c.event_id).where(
        rejections.c.run_id.in_(ids), rejections.c.event_id.is_not(None)
    )
    theirs = rejections.c.event_id.in_(union_all(answered, refused))
    taken = select(func.count()).where(rejections.c.run_id == ran.run_id, theirs)
    return _less(ran, 0, connection.execute(taken).scalar_one())


def _less(ran: "Ran", scored: int, rejected: int) -> "Ran":
    scored = max(0, scored)  # a run that goes on meanwhile has more
    has_none = scored > 0 and scored == ran.rows_scored
    return replace(
        ran,
        rows_read=ran.rows_read - scored - rejected,
        rows_scored=ran.rows_scored - scored,
        rows_rejected=ran.rows_rejected - rejected,
        profile=None if has_none else ran.profile,  # its rows are counted in another's
        rows_taken=ran.rows_taken + scored + rejected,
    )
