"""Makes a day's report from the settings: which runs, which rows, which outcomes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from batch.assembly import day_window, open_source, open_target
from batch.bundled import card_of, signature_of
from batch.found import Ran, find_model, find_runs
from batch.report.figures import (
    DAYS_BEFORE,
    Parts,
    Report,
    SegmentFigures,
    build,
    day_profile,
    label_to_act_on,
)
from batch.report.lookup import Advance, Measuring, Outcomes, can_be_measured, look_up
from batch.report.measured import Measured, measure, measure_level
from batch.report.notes import noted
from batch.report.quality import Naive, Quality
from batch.report.segmenting import Segmenting
from runtime.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the day is to be acted on: how many rows, from which end, which label."""

    top: int
    lowest: bool
    label: str | None


def make_report(settings: Settings, day: date, wanted: Wanted, bar: Advance) -> Report:
    """The report of a day.

    Raises NoRun where the day was not scored at all, DatabaseError, WrongUsage.
    """
    with open_target(settings, create=False).reading() as connection:
        model = find_model(connection, settings.batch.model, day)
        ran = find_runs(connection, model, day - timedelta(days=DAYS_BEFORE), day)
        of_day = [each for each in ran if each.day == day]
        measured = _measured(connection, ran, day)
        task, label = measured[day].task, label_to_act_on(measured[day], wanted.label)
        lists = look_up(connection, of_day, label, wanted.top, lowest=wanted.lowest)
        segments, no_segments = _segments(settings, connection, of_day, label, bar)
        quality = Quality(why_not=_why_no_quality(settings, task) or "")
        if not quality.why_not:
            quality = _quality(settings, connection, ran, label, bar)
        parts = Parts(measured, segments, no_segments, quality)
        return noted(build(day, ran, lists, parts, label), settings)


def _measured(connection: "Connection", ran: Sequence[Ran], day: date) -> dict[date, Measured]:
    found = {}
    for each in {run.day for run in ran}:
        runs = [run for run in ran if run.day == each]
        measuring = measure if each == day else measure_level
        found[each] = measuring(connection, runs, day_profile(runs))
    return found


def _segments(
    settings: Settings,
    connection: "Connection",
    ran: Sequence[Ran],
    label: str | None,
    bar: Advance,
) -> tuple[tuple[SegmentFigures, ...], str]:
    """What the runs have not counted, from the source; and why there is nothing of it."""
    profile, (first, *others) = day_profile(ran), ran
    if profile is not None and profile.has_baseline:
        return (), ""
    if settings.batch.source is None:
        return (), f"{_NOT_COUNTED} To count them from the source, name it (--source, --table)."
    signature = signature_of(settings, first)
    if signature is None:
        return (), f"{_NOT_COUNTED} The store has not the bundle that tells the features (--store)."
    source = open_source(settings)
    if others or (source.name, source.digest) != (first.source, first.source_digest):
        return (
            (),
            f"{_NOT_COUNTED} The day was not scored from {source.label} of that source alone.",
        )
    counting = Segmenting(connection, source, signature, label)
    return counting.segments(first, day_window(settings, first.day), bar), ""


_NOT_COUNTED: Final = "The run has counted no segments: the bundle has no baseline."


def _why_no_quality(settings: Settings, task: str | None) -> str | None:
    if not can_be_measured(task):
        return "Outcomes tell the quality of regressors and classifiers alone."
    if settings.batch.outcome_column is None or settings.batch.source is None:
        return (
            "Whether the predictions came true is not known here: name the source and its column "
            "with outcomes (--source, --outcome-column)."
        )
    return None


def _quality(
    settings: Settings,
    connection: "Connection",
    ran: Sequence[Ran],
    label: str | None,
    bar: Advance,
) -> Quality:
    column = settings.batch.outcome_column or ""
    source = open_source(settings)
    source.require(column)
    if source.name not in {each.source for each in ran}:
        return Quality(why_not=f"These days were not scored from {source.label} of that source.")
    days = sorted({each.day for each in ran})
    windows = [day_window(settings, each) for each in days]
    card = card_of(settings, ran[-1])
    measuring = Measuring(connection, ran, Outcomes(source, column), label, naive_of(card))
    metrics = card.get("metrics")
    given = metrics.items() if isinstance(metrics, dict) else ()
    promised = {str(name): value for name, value in given if isinstance(value, int | float)}
    return replace(measuring.quality(windows, bar), promised=promised)


def naive_of(card: Mapping[str, Any]) -> Naive:
    """The card's, as model/train.py writes it; an empty one where it has none."""
    training = card.get("training")
    baseline = training.get("baseline") if isinstance(training, dict) else None
    try:
        return msgspec.convert(_renamed(baseline), Naive)
    except msgspec.ValidationError:
        return Naive()


def _renamed(baseline: object) -> object:
    if not isinstance(baseline, dict):
        return {}
    return {"number": baseline.get("prediction"), "shares": baseline.get("shares")}
