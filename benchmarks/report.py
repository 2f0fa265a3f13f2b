"""Results as tables, for a terminal and for Markdown, and as JSON. Pure."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Final

from benchmarks.results import Results, Row, ratios
from benchmarks.verdicts import Verdict
from runtime.telemetry import STAGES

BEGIN: Final = "<!-- bench:begin -->"
END: Final = "<!-- bench:end -->"
PARTS: Final = {"online": ("<!-- bench online:begin -->", "<!-- bench online:end -->")}
_TITLES: Final = {
    "throughput": "Draining a backlog",
    "profile": "Where the time goes: µs of the worker's loop per event",
    "poison": "1 % of broken events",
    "growth": "The cost of growth",
    "latency": "Latency",
    "single": "One event alone",
    "startup": "Start to ready",
    "batch": "A day of a database",
    "online": "Online: one model behind HTTP",
    "strain": "Online: overload, and broken events",
}
_RATE: Final = "events_per_second"
_LARGE: Final = 100  # from here on no digits behind the point
_WIDTH: Final = 120


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of a table: its title and how many digits it has behind the point."""

    figure: str
    title: str
    digits: int


_DRAIN: Final = (
    Column(_RATE, "events/s", 0),
    Column("cpu_us_per_event", "CPU µs/event", 1),
    Column("broker_cpu_us_per_event", "broker CPU µs/event", 1),
    Column("peak_rss_mib", "peak RSS MiB", 0),
)
_COLUMNS: Final[Mapping[str, Sequence[Column]]] = {
    "throughput": _DRAIN,
    "profile": tuple(Column(f"{stage}_us", stage, 2) for stage in (*STAGES, "rest", "whole")),
    "poison": _DRAIN,
    "growth": (
        *_DRAIN,
        Column("rss_mib_after_a_fifth", "RSS after a fifth", 0),
        Column("rss_mib_later", "and at most later", 0),
    ),
    "latency": (
        *(
            Column(f"{name}_ms", title, 1)
            for name, title in (("p50", "p50 ms"), ("p99", "p99 ms"), ("p999", "p99.9 ms"))
        ),
        Column("max_ms", "max ms", 1),
        Column("sender_late_p99_ms", "sender late p99 ms", 2),
    ),
    "single": (Column("median_ms", "median ms", 3), Column("p99_ms", "p99 ms", 3)),
    "startup": (Column("seconds", "seconds", 2),),
    "batch": (
        Column("rows_per_second", "rows/s", 0),
        Column("cpu_us_per_row", "CPU µs/row", 2),
        Column("peak_rss_mib", "peak RSS MiB", 0),
        Column("seconds", "seconds", 2),
    ),
    "online": (
        Column("requests_per_second", "requests/s", 0),
        Column("events_per_second", "events/s", 0),
        Column("p50_ms", "p50 ms", 2),
        Column("p99_ms", "p99 ms", 2),
        Column("server_cpu_us", "CPU µs/request", 0),
        Column("client_cpu_us", "client's CPU µs/request", 0),
        Column("rss_mib", "RSS MiB", 0),
    ),
    "strain": (
        Column("requests_per_second", "served requests/s", 0),
        Column("p50_ms", "p50 ms", 1),
        Column("p99_ms", "p99 ms", 1),
        Column("refused", "answered 503", 4),
        Column("answered", "answered as they must be", 4),
        Column("bad_refused", "broken ones refused", 4),
        Column("rss_mib_before", "RSS MiB before", 0),
        Column("rss_mib_begin", "after its warm-up", 0),
        Column("rss_mib_end", "at its end", 0),
    ),
}


@dataclass(frozen=True, slots=True)
class Report:
    """A whole benchmark."""

    machine: Mapping[str, str]
    versions: Mapping[str, str]
    command: str
    results: Results
    verdicts: Sequence[Verdict]

    def to_json(self) -> dict[str, object]:
        """Everything, for programs."""
        return {
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "command": self.command,
            "rows": [row.to_json() for row in self.results.rows.values()],
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
        }

    def to_markdown(self) -> str:
        """The generated part of docs/performance.md."""
        facts = "; ".join(f"{k} {v}" for k, v in {**self.machine, **self.versions}.items())
        parts = [textwrap.fill(f"Measured by `{self.command}` on: {facts}.", _WIDTH)]
        parts += ["![Events per second and latency](performance.svg)"]
        parts += ["### To reach", _markdown(verdict_table(self.verdicts))]
        for section, title in _TITLES.items():
            if rows := self.results.of(section):
                parts += [f"### {title}", _markdown(section_table(section, rows))]
        return "\n\n".join(parts)

    def part_to_markdown(self) -> str:
        """A generated part of its own, of what was measured alone: no picture, fewer verdicts."""
        facts = "; ".join(f"{k} {v}" for k, v in {**self.machine, **self.versions}.items())
        parts = [textwrap.fill(f"Measured by `{self.command}` on: {facts}.", _WIDTH)]
        for section, title in _TITLES.items():
            if rows := self.results.of(section):
                parts += [f"### {title}", _markdown(section_table(section, rows))]
        measured = [verdict for verdict in self.verdicts if verdict.measured is not None]
        return "\n\n".join([*parts, "### To reach online", _markdown(verdict_table(measured))])

    def to_text(self) -> str:
        """For the terminal; the verdicts come last."""
        facts = [f"{k}: {v}" for k, v in {**self.machine, **self.versions}.items()]
        parts = ["\n".join(facts)]
        for section, title in _TITLES.items():
            if rows := self.results.of(section):
                parts.append(f"{title}\n{_aligned(section_table(section, rows))}")
        parts.append(f"To reach\n{_aligned(verdict_table(self.verdicts))}")
        return "\n\n".join(parts)


def section_table(section: str, rows: Sequence[Row]) -> list[list[str]]:
    """Head and lines: medians, and ranges where there were several rounds."""
    columns = _COLUMNS[section]
    head = ["", "contestant", *(column.title for column in columns)]
    lines = [[row.subject, row.name, *(cell(row, column) for column in columns)] for row in rows]
    if section == "throughput":
        head.insert(3, "of the limit")
        for row, line in zip(rows, lines, strict=True):
            line.insert(3, _of_the_limit(row, rows))
    return [head, *lines]


def _of_the_limit(row: Row, rows: Sequence[Row]) -> str:
    """Its rate over that of the pass-through of the same events and guarantee."""
    guarantee = row.name.rpartition(", ")[2]
    for other in rows:
        if other.subject == row.subject and other.name == f"pass-through, {guarantee}":
            return f"{median(ratios(row, other, _RATE)):.3f}"
    return ""


def cell(row: Row, column: Column) -> str:
    """A median, with its range."""
    values = row.figures.get(column.figure)
    if not values:
        return ""
    low, middle, high = min(values), row.middle(column.figure), max(values)
    text = f"{middle:,.{column.digits}f}"
    if len(values) == 1:
        return text
    return f"{text} ({low:,.{column.digits}f} to {high:,.{column.digits}f})"


def verdict_table(verdicts: Sequence[Verdict]) -> list[list[str]]:
    """What, target, measured, measured over target, reached."""
    head = ["what", "target", "measured", "of the target", "reached"]
    return [head, *(_verdict_line(verdict) for verdict in verdicts)]


def _verdict_line(verdict: Verdict) -> list[str]:
    if verdict.measured is None or verdict.ratio is None:
        return [verdict.what, verdict.target, "", "", verdict.word]
    number = verdict.measured
    text = f"{number:,.0f}" if abs(number) >= _LARGE else f"{number:.3g}"
    measured = f"{text} {verdict.unit}".strip()
    return [verdict.what, verdict.target, measured, f"{verdict.ratio:.2f}", verdict.word]


def replaced(document: str, generated: str, begin: str = BEGIN, end: str = END) -> str:
    """The document with what stands between the markers replaced; ValueError without them."""
    before, found, rest = document.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        msg = f"the markers {begin} and {end} are not there"
        raise ValueError(msg)
    return f"{before}{begin}\n\n{generated}\n\n{end}{after}"


def _aligned(table: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  "
        + "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    )


def _markdown(table: Sequence[Sequence[str]]) -> str:
    head, *lines = table
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))
