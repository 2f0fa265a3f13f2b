"""The report's pictures as inline SVG: for a phone's width, in the page's own colours and fonts.

Colours are names of the page's style sheet, so that a picture follows dark mode and print. They
are told apart without seeing colour as well: by lightness (blue and orange of Okabe and Ito), and
what is expected is a line where what came is a bar. Text stays text, and is never read as markup
or mathematics. Knows what is drawn, not why.
"""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import pairwise
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from batch.report.text import compact

_INCHES: Final = 72  # points
_WIDTH: Final = 400  # points: a phone's width, so that its text is not made smaller there
BUNDLED: Final = "the bundle's data"
_SHORTENED: Final = 14  # characters of a category

# Stand-ins that matplotlib knows as colours; the page's variables take their places.
_INK, _SOFT, _BAR, _LINE, _WARN = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES: Final = {
    _INK: "var(--ink)",
    _SOFT: "var(--soft)",
    _BAR: "var(--bar)",
    _LINE: "var(--line)",
    _WARN: "var(--warn)",
}
_STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "axes.edgecolor": _SOFT,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": _SOFT,
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "ytick.left": False,
    "legend.frameon": False,
    "legend.fontsize": 10,
}


def histogram(
    edges: Sequence[float], counts: Sequence[int], expected: Sequence[float], axis: str
) -> str:
    """Shares of a number's bins as bars, the expected ones as a line; the outermost bins are open.

    Bars have the width of their bins, so bins of a number are to be of like widths.
    """
    with _drawing(f"hist {axis}", 210) as (figure, axes):
        total = sum(counts) or 1
        width = (edges[-1] - edges[0]) / max(len(edges) - 1, 1) or 1.0
        ends = [edges[0] - width, *edges, edges[-1] + width]
        widths = [b - a for a, b in pairwise(ends)]
        shares = [count / total for count in counts]
        axes.bar(ends[:-1], shares, widths, align="edge", color=_BAR, label="this day", linewidth=0)
        if expected:
            axes.stairs(expected[: len(counts)], ends, color=_LINE, linewidth=1.8, label=BUNDLED)
        axes.yaxis.set_major_formatter(FuncFormatter(_percent))
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(_compact))
        axes.set_xlabel(axis)
        _legend(axes)
        return _svg(figure, f"Distribution of {axis}: this day as bars, {BUNDLED} as a line")


def categories(
    names: Sequence[str],
    counts: Sequence[int],
    expected: Sequence[float],
    title: str,
    beside: str = BUNDLED,
) -> str:
    """Shares of categories, or of a number's bins as words, beside the expected ones."""
    with _drawing(f"cat {title}", 60 + 24 * len(names)) as (figure, axes):
        total = sum(counts) or 1
        places = range(len(names))
        shares = [count / total for count in counts]
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.barh(places, shares, 0.62, color=_BAR, label="this day")
        if expected:
            axes.scatter(expected, places, marker="D", s=26, color=_LINE, zorder=3, label=beside)
        axes.set_yticks(places, [_short(name) for name in names])
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(_percent))
        _legend(axes)
        return _svg(figure, f"{title}: this day as bars, {beside} as diamonds")


def days(
    dates: Sequence[date], rows: Sequence[int | None], level: Sequence[float | None], called: str
) -> str:
    """Rows of each day as bars over the level of the answers as a line; a gap says no run."""
    with _style():
        figure = Figure(figsize=(_WIDTH / _INCHES, 280 / _INCHES), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1])
        places = range(len(dates))
        colours = [_BAR] * (len(dates) - 1) + [_WARN]
        upper.bar(places, [count or 0 for count in rows], 0.7, color=colours)
        for place, count in enumerate(rows):
            if count is None:
                upper.annotate(
                    "no run",
                    (place, 0),
                    rotation=90,
                    ha="center",
                    va="bottom",
                    xytext=(0, 3),
                    textcoords="offset points",
                    fontsize=10,
                )
        upper.set_title("Rows", loc="left", fontsize=11)
        upper.yaxis.set_major_locator(MaxNLocator(3))
        upper.yaxis.set_major_formatter(FuncFormatter(_compact))
        known = [float("nan") if value is None else value for value in level]
        lower.plot(places, known, "o-", color=_BAR, linewidth=1.8, markersize=4)
        lower.plot(places[-1:], known[-1:], "o", color=_WARN, markersize=7)
        lower.set_title(called, loc="left", fontsize=11)
        lower.margins(y=0.25)
        lower.yaxis.set_major_locator(MaxNLocator(3))
        shares = all(0 <= value <= 1 for value in level if value is not None)
        lower.yaxis.set_major_formatter(FuncFormatter(_percent if shares else _compact))
        lower.set_xticks(places, [f"{each:%a}\n{each.day}" for each in dates])
        return _svg(figure, f"Rows and {called} of the last {len(dates)} days")


def calibration(points: Sequence[tuple[float, float, int]], label: str) -> str:
    """What came true by what was said: on the diagonal, probabilities mean what they say."""
    with _drawing("calibration", 260) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=_LINE, linewidth=1.4, linestyle="--", label="ideal")
        said, true, rows = zip(*points, strict=True)
        most = max(rows)
        sizes = [12 + 90 * count / most for count in rows]
        axes.plot(said, true, color=_BAR, linewidth=1.6)
        axes.scatter(said, true, s=sizes, color=_BAR, zorder=3, label="measured (size: rows)")
        axes.set_xlabel(f"probability of {_short(label)}")
        axes.set_ylabel("came true")
        for line in (axes.xaxis, axes.yaxis):
            line.set_major_formatter(FuncFormatter(_percent))
        _legend(axes)
        return _svg(figure, f"Calibration of the probability of {label}")


@contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # A glyph that matplotlib's font lacks: text stays text, and the reader's font has it.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


@contextmanager
def _drawing(name: str, height: float) -> Iterator[tuple[Figure, Axes]]:
    with _style(), mpl.rc_context({"svg.hashsalt": name}):
        figure = Figure(figsize=(_WIDTH / _INCHES, height / _INCHES), layout="constrained")
        yield figure, figure.subplots()


def _svg(figure: Figure, described: str) -> str:
    """The picture alone, as an image with a description, in the page's colours."""
    written = io.StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # it would hold for the page
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 var(--font)", text)
    head = re.match(r"<svg[^>]*>", text)
    if head is None:
        raise ValueError("matplotlib wrote no picture")
    box = re.search(r'viewBox="([^"]*)"', head[0])
    size = box[1] if box else "0 0 1 1"
    label = escaped(described)
    opening = f'<svg viewBox="{size}" role="img" aria-label="{label}">'
    return opening + text[head.end() :].replace("\n", " ")


def escaped(text: str) -> str:
    """Text for an attribute."""
    return "".join({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}.get(c, c) for c in text)


def _legend(axes: Axes) -> None:
    """Above the picture, so that it covers nothing."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2, borderpad=0)


def _percent(share: float, _place: object) -> str:
    return f"{share * 100:.3g}%"


def _compact(value: float, _place: object) -> str:
    return compact(value)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHORTENED else text[: _SHORTENED - 1] + "…"
