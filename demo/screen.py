"""The demo's pictures: the live screen, the plain progress line, the summary.

From figures to rich's renderables and text; nothing here reads, writes or waits.
"""

import io
import re
from collections.abc import Iterable
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.terminal_theme import MONOKAI
from rich.text import Text

from demo.figures import ALERT_MIN, Prediction, Rejected, Snapshot
from demo.summary import Summary

_WIDTH: Final = 96
_BAR: Final = 40
_NONE: Final = "-"


def live_screen(snapshot: Snapshot, *, title: str) -> RenderableType:
    """Draw the screen of one moment."""
    return Panel(
        Group(
            _bars(snapshot),
            "",
            _key_figures(snapshot),
            "",
            _predictions(snapshot.latest),
            "",
            _dead_letters(snapshot.rejected),
        ),
        title=f"[bold]streamscore demo[/] · {title}",
        border_style="cyan",
        padding=(0, 2),
        width=_WIDTH,
    )


def progress_line(snapshot: Snapshot) -> str:
    """Say the same in one line, for a log."""
    last = f"; {prediction_line(snapshot.latest[-1])}" if snapshot.latest else ""
    return (
        f"{snapshot.published:,} of {snapshot.planned:,} published, "
        f"{snapshot.answered:,} answered, lag {snapshot.lag:,}, "
        f"{snapshot.events_per_second:,.0f} events/s, "
        f"latency p50 {_milliseconds(snapshot.latency_p50_ms)} "
        f"p99 {_milliseconds(snapshot.latency_p99_ms)}{last}"
    )


def prediction_line(prediction: Prediction) -> str:
    """Say what was predicted: "UA-1545 EWR→IAH left 2 min late, predicted +12.4"."""
    flight = prediction.flight
    return (
        f"{flight.flight} {flight.origin}→{flight.dest} {_departure(flight.dep_delay)}, "
        f"predicted {_delay(prediction.minutes)}"
    )


def summary_table(summary: Summary) -> Table:
    """Draw the summary of the whole run."""
    table = Table(
        title="What came of it",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        show_header=False,
    )
    table.add_column()
    table.add_column(justify="right", style="bold")
    table.add_column(style="dim")
    for name, value, remark in _summary_rows(summary):
        table.add_row(name, value, remark)
    return table


def sparkline(values: Iterable[float]) -> str:
    """Draw numbers as small bars, the largest as a full one."""
    numbers = list(values)
    top = max(numbers, default=0.0)
    if top <= 0:
        return ""
    bars = "▁▂▃▄▅▆▇█"
    return "".join(bars[min(len(bars) - 1, int(number / top * len(bars)))] for number in numbers)


def export_svg(screen: RenderableType, *, title: str) -> str:
    """Give the screen as an SVG picture."""
    console = Console(record=True, width=_WIDTH, force_terminal=True, file=io.StringIO())
    console.print(screen)
    drawn = console.export_svg(title=title, theme=MONOKAI)
    # A picture in a document loads nothing from elsewhere: the reader's own font will do.
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)


def _bars(snapshot: Snapshot) -> Table:
    bars = Table.grid(padding=(0, 2))
    for name, done, style in (
        ("published", snapshot.published, "yellow"),
        ("answered", snapshot.answered, "green"),
    ):
        bar = ProgressBar(total=max(1, snapshot.planned), completed=done, width=_BAR)
        bar.complete_style = bar.finished_style = style
        bars.add_row(name, bar, f"{done:,} of {snapshot.planned:,}")
    return bars


def _key_figures(snapshot: Snapshot) -> Table:
    grid = Table.grid(padding=(0, 2))
    for _ in range(3):
        grid.add_column(style="dim")
        grid.add_column(justify="right", style="bold", min_width=12)
    grid.add_row(
        *("events/s", f"{snapshot.events_per_second:,.0f}"),
        *("latency p50", _milliseconds(snapshot.latency_p50_ms)),
        *("off by (MAE)", _minutes(snapshot.mae)),
    )
    grid.add_row(
        *("lag", f"{snapshot.lag:,}"),
        *("latency p99", _milliseconds(snapshot.latency_p99_ms)),
        *("naive guess", _minutes(snapshot.naive_mae)),
    )
    grid.add_row(
        *("dead letters", f"{snapshot.dead_letters:,}"),
        *(f"alerts > {ALERT_MIN}", f"{snapshot.alerts:,}"),
        *("last seconds", Text(sparkline(snapshot.history), style="cyan")),
    )
    return grid


def _predictions(latest: Iterable[Prediction]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    for column in ("last predictions", "route", "left"):
        table.add_column(column)
    for column in ("predicted", "in truth"):
        table.add_column(column, justify="right")
    for prediction in latest:
        flight = prediction.flight
        table.add_row(
            flight.flight,
            f"{flight.origin}→{flight.dest}",
            _departure(flight.dep_delay),
            Text(_delay(prediction.minutes), style=_colour(prediction.minutes)),
            f"{flight.arr_delay:+.0f}",
        )
    return table


def _dead_letters(rejected: Iterable[Rejected]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    table.add_column("last dead letters", style="red", no_wrap=True)
    table.add_column("because", overflow="ellipsis", no_wrap=True)
    for each in rejected:
        table.add_row(each.code, Text(each.message))
    return table


def _summary_rows(summary: Summary) -> list[tuple[str, str, str]]:
    return [
        ("events", f"{summary.events:,}", f"in {summary.seconds:.1f} s"),
        ("predictions", f"{summary.predictions:,}", f"by {summary.model}"),
        ("dead letters", f"{summary.dead_letters:,}", "broken on purpose"),
        ("lost", f"{summary.lost:,}", ""),
        ("doubled", f"{summary.doubled:,}", ""),
        ("events/s", f"{summary.events_per_second:,.0f}", f"{summary.workers} workers"),
        ("latency p50", _milliseconds(summary.latency_p50_ms), "from the event's timestamp"),
        ("latency p99", _milliseconds(summary.latency_p99_ms), "to the prediction in hand"),
        ("alerts", f"{summary.alerts:,}", f"above {ALERT_MIN} minutes, seen by the subscriber"),
        ("MAE of the model", _minutes(summary.mae), "against the real arrival delays"),
        ("MAE of the naive guess", _minutes(summary.naive_mae), "it arrives as late as it left"),
    ]


def _departure(minutes: float) -> str:
    if minutes == 0:
        return "left on time"
    return f"left {abs(minutes):.0f} min {'late' if minutes > 0 else 'early'}"


def _delay(minutes: float) -> str:
    return f"{round(minutes, 1) + 0.0:+.1f}"  # the sum makes a plain zero of -0.0


def _colour(minutes: float) -> str:
    late, very_late = 15, 60
    if minutes > very_late:
        return "bold red"
    return "yellow" if minutes > late else "green"


def _milliseconds(value: float | None) -> str:
    return _NONE if value is None else f"{value:,.0f} ms"


def _minutes(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f} min"
