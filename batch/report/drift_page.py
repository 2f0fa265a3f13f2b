"""The report's section on drift: how far each feature has moved, in words, cells and pictures."""

from collections.abc import Sequence
from typing import Any, Final

from markupsafe import Markup

from batch.report import pictures
from batch.report.figures import Drift, Report
from batch.report.text import compact, number, percent
from batch.report.verdict import Tone
from model.profile import NumberCounts

_TONES: Final = {"none": Tone.FINE, "some": Tone.LOOK, "strong": Tone.ACT}
_MOST_PICTURES: Final = 4
_MOST_BARS: Final = 12
_WORTH_TELLING: Final = 0.005  # of a share that is missing


def drift_of(report: Report) -> dict[str, Any]:
    """What the template is given."""
    features = [each for each in report.drifts if each.counts not in (report.number, report.labels)]
    worst_few = [each for each in features if each.word != "none"][:_MOST_PICTURES] or features[:2]
    return {
        "drifts": [
            {"name": each.name, "index": f"{each.index:.3f}", "word": each.word}
            | {"tone": _TONES[each.word].value, "note": _moved(each)}
            for each in report.drifts
        ],
        "no_drift": report.no_drift,
        "drift_pictures": [
            {"name": each.name, "svg": Markup(_drift_picture(each))}  # noqa: S704 - drawn here
            for each in worst_few
        ],
    }


def _moved(drift: Drift) -> str:
    counts = drift.counts
    if not isinstance(counts, NumberCounts):
        missing, total = counts.counts[-1], sum(counts.counts)
        return f"missing {percent(missing / total)}" if missing and total else ""
    there = sum(counts.counts)
    mean = counts.total / there if there and counts.total is not None else None
    parts = [f"{number(counts.expected_mean)} → {number(mean)}"] if mean is not None else []
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
    kept = [place for place, count in enumerate(tallies) if count or counts.expected[place] > 0][
        :12
    ]
    return pictures.categories(
        [names[place] for place in kept],
        [tallies[place] for place in kept],
        [counts.expected[place] for place in kept],
        drift.name,
    )


def _bins(edges: Sequence[float]) -> list[str]:
    shown = [compact(float(f"{edge:.4g}")) for edge in edges]
    if not shown:
        return ["all"]
    between = [f"to {edge}" for edge in shown]
    return [*between, f"above {shown[-1]}"]
