"""The report as one page of HTML: figures into words and cells, and those into the template.

Whatever comes from a database is text: the template escapes it. Nothing is read here.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from batch.found import Ran
from batch.report import pictures
from batch.report.drift_page import drift_of
from batch.report.figures import DayFigures, Report, SegmentFigures, label_share
from batch.report.quality import QualityRow
from batch.report.text import figure, number, percent, seconds
from batch.report.verdict import Tone, worst
from model.profile import NumberCounts, TextCounts

_SIGNS: Final = {Tone.FINE: "✓", Tone.LOOK: "!", Tone.ACT: "✕"}
_HEADLINES: Final = {
    Tone.FINE: "As usual",
    Tone.LOOK: "Worth a look",
    Tone.ACT: "Needs attention",
}
_MOST_GROUPS: Final = 10
_QUANTILES: Final = {
    0.0: "least",
    0.05: "5% are below",
    0.25: "a quarter is below",
    0.5: "half is below (the median)",
    0.75: "three quarters are below",
    0.95: "95% are below",
    1.0: "most",
}


def render(report: Report, made_at: datetime, version: str) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("batch.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        **_head(report),
        **_predictions(report),
        **_days(report),
        **_segments(report),
        **_rows(report),
        **_quality(report),
        **drift_of(report),
        sources=[list(_run(each)) for each in report.runs],
        version=version,
        made_at=f"{made_at:%Y-%m-%d %H:%M} UTC",
    )


def _head(report: Report) -> dict[str, Any]:
    today = report.today
    tone = worst(report.findings)
    return {
        "model": report.model,
        "versions": ", ".join(today.versions),
        "day": f"{today.day:%A, %-d %B %Y}",
        "tone": tone.value,
        "headline": f"{_HEADLINES[tone]}: {today.scored:,} of {today.rows:,} rows scored",
        "findings": [
            {"tone": each.tone.value, "sign": _SIGNS[each.tone], "text": each.text}
            | {"section": each.section}
            for each in report.findings
        ],
        "tiles": list(_tiles(report)),
    }


def _tiles(report: Report) -> Iterator[dict[str, str]]:
    today = report.today
    yield {"name": "Rows scored", "value": f"{today.scored:,}", "note": f"of {today.rows:,}"}
    share = label_share(report.labels, report.label)
    if share is not None:
        count = round(share * today.scored)
        note = f"{count:,} rows"
        yield {"name": f"Share of {_called(report)}", "value": percent(share), "note": note}
    elif today.mean is not None:
        note = f"median {number(today.median)}" if today.median is not None else ""
        yield {"name": f"Mean {report.figure}", "value": number(today.mean), "note": note}
    note = percent(today.rejected_share) if today.rejected else ""
    yield {"name": "Rejected", "value": f"{today.rejected:,}", "note": note}
    took = today.seconds
    note = f"{today.scored / took:,.0f} rows a second" if took and today.scored else ""
    yield {"name": "Took", "value": seconds(took), "note": note}


def _predictions(report: Report) -> dict[str, Any]:
    drawn, quantiles = [], []
    counts, labels = report.number, report.labels
    if counts is not None and counts.edges and report.today.scored:
        edges = counts.edges
        drawn.append(pictures.histogram(edges, counts.counts, counts.expected, counts.name))
        quantiles = [
            (_QUANTILES[share], number(value)) for share, value in sorted(report.quantiles.items())
        ]
    if labels is not None and report.today.scored:
        named = len(labels.categories)
        several = slice(named + 1 if len(labels.counts) > named and labels.counts[named] else named)
        names = [*labels.categories, "all others"][several]
        expected = labels.expected[several] if labels.expected else []
        drawn.append(pictures.categories(names, labels.counts[several], expected, "labels"))
    return {
        "figure": report.figure,
        "distribution": [Markup(each) for each in drawn],  # noqa: S704 - drawn here
        "distribution_says": _beside(counts or labels),
        "quantiles": quantiles,
    }


def _beside(counts: NumberCounts | TextCounts | None) -> str:
    if counts is None or not counts.expected:
        return "This day alone: the bundle has no baseline to show beside it."
    return (
        "This day (bars) beside the model's answers to the data that it was bundled with. The "
        "outermost bars hold all that lies beyond."
    )


def _days(report: Report) -> dict[str, Any]:
    shown = [_level(report, each) for each in report.days]
    of_label = report.label is not None
    called = f"share of {_called(report)}" if of_label else f"mean {report.figure}"
    picture = pictures.days(
        [each.day for each in report.days],
        [None if each.state == "none" else each.rows for each in report.days],
        shown,
        called[:1].upper() + called[1:],
    )
    return {
        "days_picture": Markup(picture),  # noqa: S704 - drawn here
        "day_columns": [_called(report)] if of_label else ["Mean", "Median"],
        "days": [_day(report, each) for each in reversed(report.days)],
    }


def _called(report: Report) -> str:
    """The label that is acted on, as a part of a sentence."""
    return "outliers" if report.task == "outlier" else f"“{report.label}”"


def _level(report: Report, day: DayFigures) -> float | None:
    return day.mean if report.label is None else day.shares.get(report.label)


def _day(report: Report, day: DayFigures) -> dict[str, Any]:
    if day.state == "none":
        values = [""] if report.label is not None else ["", ""]
        cells = {"rows": "—", "rejected": "", "values": values, "note": "no run", "class": "gap"}
        return {"day": f"{day.day:%a %-d %b}"} | cells
    share = day.shares.get(report.label) if report.label is not None else None
    values = [number(day.mean), number(day.median)]
    if report.label is not None:
        values = ["—" if share is None else percent(share)]
    state = "" if day.state == "complete" else f" · {day.state}"
    return {
        "day": f"{day.day:%a %-d %b}",
        "rows": f"{day.rows:,}",
        "rejected": percent(day.rejected_share),
        "values": values,
        "note": f"version {', '.join(day.versions)} · {seconds(day.seconds)}{state}",
        "class": "today" if day is report.today else "",
    }


def _segments(report: Report) -> dict[str, Any]:
    of_label = report.label is not None
    called = f"share of {_called(report)}" if of_label else f"mean {report.figure}"
    level = _level(report, report.today)
    form = percent if of_label else number
    all_rows = "" if level is None else f"; of all rows it is {form(level)}"
    return {
        "segments": [_segment(each, level, of_label=of_label) for each in report.segments],
        "no_segments": report.no_segments,
        "segment_figure": _called(report) if of_label else "Mean",
        "segments_say": f"Rows and {called} by the values of a feature{all_rows}.",
    }


def _segment(segment: SegmentFigures, level: float | None, *, of_label: bool) -> dict[str, Any]:
    groups, rest = segment.groups[:_MOST_GROUPS], segment.groups[_MOST_GROUPS:]
    most = max(each.rows for each in groups)
    left = sum(each.rows for each in rest)
    shown = []
    for each in groups:
        against = ""
        if each.figure is not None and level is not None:
            away = each.figure - level
            against = f"{away * 100:+.1f} points" if of_label else f"{away:+,.3g}"
        figure = "—" if each.figure is None else (percent if of_label else number)(each.figure)
        shown.append(
            {"value": each.value, "rows": f"{each.rows:,}", "width": round(100 * each.rows / most)}
            | {"figure": figure, "against": against}
        )
    more = f"{left:,} rows of other values" if rest else ""
    return {"feature": segment.feature, "groups": shown, "more": more}


def _rows(report: Report) -> dict[str, Any]:
    of_label = report.label is not None and report.task == "classification"
    told = sum(each.rows for each in report.causes)
    left = report.today.rejected - told
    return {
        "top": [
            {"event_id": each.event_id, "label": each.label}
            | {"figure": f"{each.figure or 0:.1%}" if of_label else number(each.figure)}
            for each in report.top
        ],
        "top_is": f"The {len(report.top)} {report.top_is} of the day."
        if "“" not in report.top_is
        else f"The {len(report.top)} rows {report.top_is}.",
        "top_figure": "probability" if of_label else report.figure,
        "top_label": any(each.label is not None for each in report.top),
        "causes": [
            {"message": each.message, "stage": each.stage, "code": each.code}
            | {"rows": f"{each.rows:,}", "example": each.example}
            for each in report.causes
        ],
        "more_causes": f"{left:,} rows of other causes" if report.causes and left > 0 else "",
    }


def _quality(report: Report) -> dict[str, Any]:
    quality = report.quality
    names = list(dict.fromkeys(name for row in quality.rows for name in row.figures))
    names = [name for name in _ORDER if name in names]
    promised = ", ".join(f"{name} {value:.4g}" for name, value in quality.promised.items())
    drawn = None
    if quality.calibration and report.label is not None:
        drawn = Markup(pictures.calibration(quality.calibration, report.label))  # noqa: S704 - drawn here
    return {
        "quality": [
            {"day": f"{row.day:%a %-d %b}", "version": row.version}
            | {"known": _known(row)}
            | {"values": [figure(row.figures.get(name)) for name in names]}
            for row in reversed(quality.rows)
        ],
        "quality_columns": names,
        "quality_says": quality.summary or "",
        "naive_is": quality.naive.in_words(names),
        "promised": f"On its card the bundle has: {promised}." if promised else "",
        "calibration": drawn,
        "no_quality": quality.why_not,
    }


def _known(row: QualityRow) -> str:
    return "all known" if row.known == row.scored else f"{row.known:,} of {row.scored:,} known"


_ORDER: Final = (
    *("MAE", "naive MAE", "RMSE", "bias"),
    *("accuracy", "AUC", "log-loss", "naive log-loss"),
)


def _run(run: Ran) -> Iterator[tuple[str, str]]:
    yield "Source", run.source
    yield "State", run.state + (f": {run.error}" if run.error else "")
    yield "Version", run.version
    yield (
        "Rows",
        f"{run.rows_read:,} read, {run.rows_scored:,} scored, {run.rows_rejected:,} rejected"
        + f"; {run.rows_taken:,} more are counted with later runs" * bool(run.rows_taken),
    )
    ended = "" if run.finished_at is None else f" to {run.finished_at:%Y-%m-%d %H:%M:%S}"
    yield "Ran", f"{run.started_at:%Y-%m-%d %H:%M:%S}{ended} UTC, {seconds(run.seconds)} at work"
    yield "Run", run.run_id
