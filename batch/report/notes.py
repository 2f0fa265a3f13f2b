"""What a report adds about the rows themselves: those of later runs, and those that came since."""

from collections.abc import Iterator
from dataclasses import replace

import structlog

from batch.assembly import day_window, open_source
from batch.report.figures import Report
from batch.report.verdict import Finding, Tone
from batch.work import since
from model.errors import StreamscoreError
from runtime.settings import Settings

_log = structlog.get_logger("streamscore.batch")


def noted(report: Report, settings: Settings) -> Report:
    """The report with its notes among the findings."""
    return replace(report, findings=(*report.findings, *_taken(report), *_late(report, settings)))


def _taken(report: Report) -> Iterator[Finding]:
    for run in report.runs:
        if run.rows_taken:
            text = (
                f"{run.rows_taken:,} rows of {run.source} have ids that a later run has answered "
                "too: they are counted once, with that run."
            )
            yield Finding(Tone.LOOK, text, "runs")


def _late(report: Report, settings: Settings) -> Iterator[Finding]:
    if settings.batch.source is None:
        return
    day = report.today.day
    try:
        source = open_source(settings)
        same = (source.name, source.digest)
        ran = [each for each in report.runs if (each.source, each.source_digest) == same]
        found = [each for each in ran if each.is_complete]
        rows = source.count(day_window(settings, day)) if found else 0
    except StreamscoreError as error:
        _log.warning("late_rows_unknown", day=str(day), reason=str(error), hint=error.hint)
        return
    for run in found:
        if more := rows - run.rows_read - run.rows_taken:
            yield Finding(Tone.LOOK, f"{since(more)}.", "runs")
