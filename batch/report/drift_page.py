"""The report's section on drift: how far each feature has moved, in words, cells and pictures."""

from collections.abc import Sequence
from typing import Any, Final

from markupsafe import Markup

from batch.report import pictures
from batch.report.drifting import FEW_VALUES, LEAST_DAYS, WIDER, Drift, Moved
from batch.report.figures import Report
from batch.report.text import compact, number, percent
from batch.report.verdict import Tone
from model.profile import NumberCounts

_TONES: Final = {
    Moved.NO: Tone.FINE,
    Moved.KNOWN: Tone.FINE,
    Moved.SLIGHTLY: Tone.FINE,
    Moved.SUDDENLY: Tone.LOOK,
    Moved.STRONGLY: Tone.LOOK,
}
_SAYS: Final = (
    "How far the day's rows are from those of the days before (“lately”) and from the data that "
    "the model was bundled with (“bundle”): population stability indexes, of which below 0.1 is "
    f"none and above 0.2 much ({WIDER:g} times that with fewer than {FEW_VALUES} values). "
    "“Suddenly”: much further from the days before than any of them is from the others; look at "
    "where it comes from. “Since before”: no news, but the model meets other rows than it was "
    "bundled with, as in another season; train anew if its quality falls."
)
_TOO_FEW_DAYS: Final = f"There are fewer than {LEAST_DAYS} days before to compare with."
_MOST_PICTURES: Final = 4
_MOST_BARS: Final = 12
_WORTH_TELLING: Final = 0.005  # of a share that is missing


def drift_of(report: Report) -> dict[str, Any]:
    """What the template is given."""
    answers = {each.name for each in (report.number, report.labels) if each is not None}
    features = [each for each in report.drifts if each.name not in answers]
    worst_few = [each for each in features if each.moved is not Moved.NO][
        :_MOST_PICTURES
    ] or features[:2]
    few_days = _TOO_FEW_DAYS if any(each.lately is None for each in report.drifts) else ""
    return {
        "drifts": [
            {"name": each.name, "index": _index(each.index), "lately": _index(each.lately)}
            | {"word": each.moved.value, "tone": _TONES[each.moved].value, "note": _moved(each)}
            for each in report.drifts
        ],
        "drift_says": " ".join(filter(None, (_SAYS, few_days, report.no_drift))),
        "no_drift": report.no_drift,
        "drift_pictures": [
            {"name": each.name, "svg": Markup(_drift_picture(each))}  # noqa: S704 - drawn here
            for each in worst_few
        ],
    }


def _index(value: float | None) -> str:
    return "—" if value is None else f"{value:.2f}"


def _moved(drift: Drift) -> str:
    counts = drift.counts
    if not isinstance(counts, NumberCounts):
        missing, total = counts.counts[-1], sum(counts.counts)
        return f"missing {percent(missing / total)}" if missing and total else ""
    there = sum(counts.counts)
    mean = counts.total / there if there and counts.total is not None else None
    parts = [f"mean {number(counts.expected_mean)} → {number(mean)}"] if mean is not None else []
    total = there + counts.missing
    now = counts.missing / total if total else 0.0
    if abs(now - counts.expected[-1]) >= _WORTH_TELLING:
        parts.append(f"missing {percent(counts.expected[-1])} → {percent(now)}")
    return "; ".join(parts)


def _drift_picture(drift: Drift) -> str:
    counts = drift.counts
    if isinstance(counts, NumberCounts):
        names: Sequence[str] = [*_bins(counts.edges), "missing"]
        tallies = [*counts.counts, counts.missing]
    else:
        names, tallies = [*counts.categories, "all others", "missing"], counts.counts
    expected, beside = drift.before or counts.expected, pictures.BUNDLED
    if drift.before is not None:
        beside = "the days before"
    there = [place for place, count in enumerate(tallies) if count or expected[place] > 0]
    kept = there[:_MOST_BARS]
    return pictures.categories(
        [names[place] for place in kept],
        [tallies[place] for place in kept],
        [expected[place] for place in kept],
        drift.name,
        beside,
    )


def _bins(edges: Sequence[float]) -> list[str]:
    shown = [compact(float(f"{edge:.4g}")) for edge in edges]
    if not shown:
        return ["all"]
    between = [f"to {edge}" for edge in shown]
    return [*between, f"above {shown[-1]}"]
