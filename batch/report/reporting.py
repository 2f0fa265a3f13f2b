"""Makes a day's report from the settings: which runs, which rows, which outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from batch.assembly import day_window, open_source, open_target
from batch.found import Ran, find_model, find_runs
from batch.report.figures import DAYS_BEFORE, Report, build, day_profile, label_to_act_on
from batch.report.lookup import Advance, Measuring, Outcomes, can_be_measured, look_up
from batch.report.notes import noted
from batch.report.quality import Quality
from model.bundle_files import CARD, read_json
from model.errors import ModelError
from model.store import Store
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
        profile = day_profile(of_day)
        label = label_to_act_on(profile, wanted.label)
        lists = look_up(connection, of_day, label, wanted.top, lowest=wanted.lowest)
        task = profile.task if profile else None
        quality = Quality(why_not=_why_no_quality(settings, task) or "")
        if not quality.why_not:
            quality = _quality(settings, connection, ran, label, bar)
        return noted(build(day, ran, lists, quality, label), settings)


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
    measuring = Measuring(connection, ran, Outcomes(source, column), label)
    return replace(measuring.quality(windows, bar), promised=_promised(settings, ran[-1]))


def _promised(settings: Settings, ran: Ran) -> dict[str, float]:
    """The metrics on the bundle's card; none where the store has not that version."""
    try:
        path = Store(settings.store).resolve(f"{ran.model}:{ran.version}").path
        metrics: Any = read_json(path, CARD).get("metrics")
    except ModelError:
        return {}
    given = metrics.items() if isinstance(metrics, dict) else ()
    return {str(name): value for name, value in given if isinstance(value, int | float)}
