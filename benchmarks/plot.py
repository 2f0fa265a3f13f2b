"""Results as a picture: events per second by contestant, and latency by rate."""

from pathlib import Path
from typing import Any, Final

from benchmarks.names import BEST_NAME, PASS_NAME, PLAIN_NAME
from benchmarks.results import Results, Row

_RATE: Final = "events_per_second"
_CPU: Final = "cpu_us_per_event"
_COLOURS: Final = {"pass-through": "#9aa5b1", "streamscore": "#2f6f9f"}
_OTHERS: Final = "#c46a3b"
_LATENCY_COLOURS: Final = {PASS_NAME: "#9aa5b1", PLAIN_NAME: "#7fb0d3", BEST_NAME: "#2f6f9f"}


def draw(results: Results, path: Path) -> None:
    """Write an SVG with a panel for each model, and one for latency."""
    import matplotlib as mpl  # noqa: PLC0415 - only where a picture is wanted

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "streamscore", "font.size": 8, "svg.fonttype": "none"})
    from matplotlib import pyplot as plt  # noqa: PLC0415 - as above

    rows = results.of("throughput")
    subjects = list(dict.fromkeys(row.subject for row in rows))
    latency, growth = results.of("latency"), results.of("growth")
    panels = len(subjects) + bool(growth) + bool(latency)
    if not panels:
        return
    counts = [sum(row.subject == subject for row in rows) for subject in subjects]
    heights = [max(2, count) for count in counts]
    heights += ([len(growth)] if growth else []) + ([5] if latency else [])
    figure, axes = plt.subplots(
        panels,
        1,
        figsize=(8, 0.32 * sum(heights) + 0.8 * panels),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for subject, axis in zip(subjects, axes[:, 0], strict=False):
        of_model = [row for row in rows if row.subject == subject]
        _bars(axis, of_model, _RATE, f"{subject}: events per second (median, range)")
    if growth:
        title = "growth, best engine unless told: CPU µs per event (median, range)"
        _bars(axes[len(subjects), 0], growth, _CPU, title)
    if latency:
        _latencies(axes[-1, 0], latency)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def _bars(axis: Any, rows: list[Row], figure: str, title: str) -> None:  # noqa: ANN401 - matplotlib's axes
    names = [row.name for row in rows]
    middles = [row.middle(figure) for row in rows]
    errors = [
        [row.middle(figure) - min(row.figures[figure]) for row in rows],
        [max(row.figures[figure]) - row.middle(figure) for row in rows],
    ]
    colours = [_COLOURS.get(name.split(",")[0].split()[0], _OTHERS) for name in names]
    bars = axis.barh(names, middles, xerr=errors, color=colours, ecolor="#444444")
    digits = 0 if figure == _RATE else 1
    axis.bar_label(bars, [f" {middle:,.{digits}f}" for middle in middles])
    axis.margins(x=0.15)
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.invert_yaxis()
    axis.set_title(title, loc="left")
    axis.spines[["top", "right"]].set_visible(False)


def _latencies(axis: Any, rows: list[Row]) -> None:  # noqa: ANN401 - as above
    subjects = list(dict.fromkeys(row.subject for row in rows))
    width = 0.8 / len(_LATENCY_COLOURS)
    for number, (name, colour) in enumerate(_LATENCY_COLOURS.items()):
        at = [row for row in rows if row.name == name]
        places = [subjects.index(row.subject) + (number - 1) * width for row in at]
        axis.bar(places, [row.middle("p99_ms") for row in at], width, color=colour, alpha=0.45)
        middles = [row.middle("p50_ms") for row in at]
        axis.bar(places, middles, width, color=colour, label=name)
    axis.set_xticks(range(len(subjects)), subjects)
    axis.set_yscale("log")
    axis.set_title("latency in ms: p50 (dark), p99 (light)", loc="left")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
