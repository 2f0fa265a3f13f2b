"""What is to be reached, and whether it was: pure.

Each target reads rows of the results. A rate is compared round by round, and the median of the
ratios counts. Where a row was not measured there is no verdict.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

from benchmarks.names import (
    BATCH_AGAIN,
    BATCH_BEST,
    BATCH_PANDAS,
    BATCH_SPARK,
    BATCH_UNSCORED,
    BEST,
    BEST_NAME,
    ONLINE_BENTOML,
    ONLINE_BEST,
    ONLINE_BROKEN,
    ONLINE_CONSTANT,
    ONLINE_FASTAPI,
    ONLINE_LISTS,
    ONLINE_MANY,
    ONLINE_MLSERVER,
    ONLINE_ONE,
    ONLINE_PLAIN,
    PASS_NAME,
    PLAIN_NAME,
    QUIX_BATCH_NAME,
    SCRIPT_NAME,
)
from benchmarks.results import Results, Row, ratios

Sense = Literal["≥", "≤"]
_RATE: Final = "events_per_second"
_CPU: Final = "cpu_us_per_event"
_HOLDS: Final = {"≥": operator.ge, "≤": operator.le}


@dataclass(frozen=True, slots=True)
class Target:
    """A row of the table: what is measured, in which unit, and the bound."""

    what: str
    unit: str
    sense: Sense
    bound: float
    measure: Callable[[Results], float]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How far it came: `ratio` is measured over bound; both are None where it was not measured."""

    what: str
    target: str
    measured: float | None
    unit: str
    ratio: float | None
    reached: bool | None

    @property
    def word(self) -> str:
        """For the table."""
        return {True: "yes", False: "NO", None: "not measured"}[self.reached]


def judge(results: Results) -> list[Verdict]:
    """A verdict on every target."""
    targets = (*_RATES, *_COSTS, *_LATENCIES, *_GROWTH, *_BATCH, *_ONLINE, *_STRAIN)
    return [_verdict(target, results) for target in targets]


def _verdict(target: Target, results: Results) -> Verdict:
    wanted = f"{target.sense} {target.bound:g} {target.unit}".strip()
    try:
        measured = target.measure(results)
    except KeyError:
        return Verdict(target.what, wanted, None, target.unit, None, None)
    reached = bool(_HOLDS[target.sense](measured, target.bound))
    ratio = measured / target.bound
    return Verdict(target.what, wanted, measured, target.unit, ratio, reached)


def _rate(model: str, name: str, other: str) -> Callable[[Results], float]:
    def measure(results: Results) -> float:
        row, base = (results.find("throughput", model, each) for each in (name, other))
        return median(ratios(row, base, _RATE))

    return measure


def _figure(section: str, subject: str, name: str, figure: str) -> Callable[[Results], float]:
    return lambda results: results.find(section, subject, name).middle(figure)


def _two_workers(results: Results) -> float:
    two, one = (results.find("growth", "workers", name) for name in ("2 workers", "1 worker"))
    return median(ratios(two, one, _RATE))


def _poison(results: Results) -> float:
    bad, clean = (results.find("poison", what, BEST_NAME) for what in ("1 % poisoned", "clean"))
    return median(ratios(bad, clean, _RATE))


def _latency(rate: int, figure: str, of: Callable[[float, float], float]) -> Callable[..., float]:
    def measure(results: Results) -> float:
        subject = f"{rate:,} events/s"
        ours, limit = (results.find("latency", subject, name) for name in (BEST_NAME, PASS_NAME))
        return _paired(ours, limit, figure, of)

    return measure


def _paired(row: Row, other: Row, figure: str, of: Callable[[float, float], float]) -> float:
    pairs = zip(row.figures[figure], other.figures[figure], strict=False)
    return median(of(mine, theirs) for mine, theirs in pairs)


def _of(results: Results, subject: str) -> list[Row]:
    rows = [row for row in results.of("growth") if row.subject == subject]
    if not rows:
        raise KeyError(subject)
    return rows


def spread(values: Sequence[float]) -> float:
    """By how many percent the largest is above the smallest."""
    return (max(values) / min(values) - 1) * 100


def _cpu_spread(subject: str) -> Callable[[Results], float]:
    return lambda results: spread([row.middle(_CPU) for row in _of(results, subject)])


def _memory_growth(results: Results) -> float:
    largest = _of(results, "backlog")[-1]
    ratio = largest.middle("rss_mib_later") / largest.middle("rss_mib_after_a_fifth")
    return abs(ratio - 1) * 100


def _batch_rate(where: str, other: str) -> Callable[[Results], float]:
    def measure(results: Results) -> float:
        row, base = (results.find("batch", where, each) for each in (BATCH_BEST, other))
        return median(ratios(row, base, "rows_per_second"))

    return measure


def _batch_memory(results: Results) -> list[tuple[float, float]]:
    """The peaks of each database: of a day, and of one that is ten times as large."""
    rows = [row for row in results.of("batch") if row.name == BATCH_BEST]
    peaks = {row.subject: row.middle("peak_rss_mib") for row in rows}
    found = [
        (peaks[subject.partition(",")[0]], peak)
        for subject, peak in peaks.items()
        if "," in subject
    ]
    if not found:
        raise KeyError("batch")
    return found


def _batch_peak(results: Results) -> float:
    return max(peak for pair in _batch_memory(results) for peak in pair)


def _batch_memory_growth(results: Results) -> float:
    return max(abs(large / small - 1) * 100 for small, large in _batch_memory(results))


def _batch_again(results: Results) -> float:
    rows = [row for row in results.of("batch") if row.name == BATCH_AGAIN]
    if not rows:
        raise KeyError(BATCH_AGAIN)
    return max(row.middle("seconds") for row in rows)


def _online(
    subject: str,
    name: str,
    other: str,
    figure: str = "requests_per_second",
    of: Callable[[float, float], float] = operator.truediv,
) -> Callable[[Results], float]:
    def measure(results: Results) -> float:
        row, base = (results.find("online", subject, each) for each in (name, other))
        return _paired(row, base, figure, of)

    return measure


def _overloaded(
    figure: str, worst: Callable[[Sequence[float]], float]
) -> Callable[[Results], float]:
    def measure(results: Results) -> float:
        rows = [row for row in results.of("strain") if "refused" in row.figures]
        if not rows:
            raise KeyError("strain")
        return worst([row.middle(figure) for row in rows])

    return measure


_FLIGHT: Final = "flight model, exactly once"
_RATES: Final = (
    Target(f"{_FLIGHT}, plain engine: of the pass-through", "", "≥", 0.40,
           _rate("flight", PLAIN_NAME, PASS_NAME)),
    Target(f"{_FLIGHT}, best engine: of the pass-through", "", "≥", 0.60,
           _rate("flight", BEST_NAME, PASS_NAME)),
    Target("two workers on two cores: of one worker", "×", "≥", 1.6,
           _two_workers),
    Target("logistic regression, exactly once: of its pass-through", "", "≥", 0.70,
           _rate("logistic", BEST_NAME, PASS_NAME)),
    Target("against the script that everyone writes first", "×", "≥", 200.0,
           _rate("flight", BEST_NAME, SCRIPT_NAME)),
    Target("against Quix Streams' BatchingSink, at least once", "×", "≥", 2.0,
           _rate("flight", BEST_NAME, QUIX_BATCH_NAME)),
)  # fmt: skip
_COSTS: Final = (
    Target("CPU per event, flight model, plain engine", "µs", "≤", 8.0,
           _figure("throughput", "flight", PLAIN_NAME, _CPU)),
    Target("CPU per event, flight model, best engine", "µs", "≤", 5.0,
           _figure("throughput", "flight", BEST_NAME, _CPU)),
    Target("one event alone: decode, score, encode", "ms", "≤", 0.15,
           _figure("single", "flight", f"streamscore {BEST}", "median_ms")),
    Target("peak RSS at full speed, flight model", "MiB", "≤", 300.0,
           _figure("throughput", "flight", BEST_NAME, "peak_rss_mib")),
    Target("start to ready", "s", "≤", 2.0, _figure("startup", "flight", BEST_NAME, "seconds")),
)  # fmt: skip
_LATENCIES: Final = tuple(
    target
    for rate in (200, 2_000)
    for target in (
        Target(f"p99 at {rate:,} events/s: of the pass-through's", "×", "≤", 2.0,
               _latency(rate, "p99_ms", operator.truediv)),
        Target(f"p50 at {rate:,} events/s: above the pass-through's", "ms", "≤", 3.0,
               _latency(rate, "p50_ms", operator.sub)),
    )
)  # fmt: skip
_GROWTH: Final = (
    Target("CPU per event over sizes of the backlog: spread", "%", "≤", 10.0,
           _cpu_spread("backlog")),
    Target("CPU per event over numbers of partitions: spread", "%", "≤", 10.0,
           _cpu_spread("partitions")),
    Target("memory over the largest backlog: drift after its first fifth", "%", "≤", 2.0,
           _memory_growth),
    Target("1 % poisoned events: of the clean rate", "", "≥", 0.70, _poison),
)  # fmt: skip
_BATCH: Final = (
    Target("a day from SQLite to SQLite: of the same without scoring", "", "≥", 0.50,
           _batch_rate("SQLite", BATCH_UNSCORED)),
    Target("a day from PostgreSQL to PostgreSQL: of the same without scoring", "", "≥", 0.70,
           _batch_rate("PostgreSQL", BATCH_UNSCORED)),
    Target("against pandas on SQLite", "×", "≥", 2.0, _batch_rate("SQLite", BATCH_PANDAS)),
    Target("against pandas on PostgreSQL", "×", "≥", 2.3,
           _batch_rate("PostgreSQL", BATCH_PANDAS)),
    Target("against plain PySpark on PostgreSQL", "×", "≥", 2.3,
           _batch_rate("PostgreSQL", BATCH_SPARK)),
    Target("peak RSS of a day, 0.3 and 3 million rows", "MiB", "≤", 250.0, _batch_peak),
    Target("peak RSS of 3 million rows: beside that of 0.3", "%", "≤", 5.0,
           _batch_memory_growth),
    Target("a day that is complete, again", "s", "≤", 1.0, _batch_again),
)  # fmt: skip
_ONLINE: Final = (
    Target("online, 64 connections, best engine: against plain FastAPI", "×", "≥", 40.0,
           _online(ONLINE_MANY, ONLINE_BEST, ONLINE_FASTAPI)),
    Target("online, 64 connections, plain engine: against plain FastAPI", "×", "≥", 15.0,
           _online(ONLINE_MANY, ONLINE_PLAIN, ONLINE_FASTAPI)),
    Target("its p99, best engine: of plain FastAPI's", "", "≤", 0.067,
           _online(ONLINE_MANY, ONLINE_BEST, ONLINE_FASTAPI, "p99_ms")),
    Target("its p99, best engine: of the constant answer's", "×", "≤", 3.0,
           _online(ONLINE_MANY, ONLINE_BEST, ONLINE_CONSTANT, "p99_ms")),
    Target("online, 64 connections: of the constant answer", "", "≥", 0.5,
           _online(ONLINE_MANY, ONLINE_BEST, ONLINE_CONSTANT)),
    Target("against MLServer's adaptive batching", "×", "≥", 10.0,
           _online(ONLINE_MANY, ONLINE_BEST, ONLINE_MLSERVER)),
    Target("against BentoML's batching", "×", "≥", 10.0,
           _online(ONLINE_MANY, ONLINE_BEST, ONLINE_BENTOML)),
    Target("online, p99 at 1 connection: above the constant answer's", "ms", "≤", 1.5,
           _online(ONLINE_ONE, ONLINE_BEST, ONLINE_CONSTANT, "p99_ms", operator.sub)),
    Target("online, 1,000 events a body", "events/s", "≥", 60_000.0,
           _figure("online", ONLINE_LISTS, ONLINE_BEST, "events_per_second")),
)  # fmt: skip
_STRAIN: Final = (
    Target("10 × too many clients: requests answered with 200 or 503", "", "≥", 1.0,
           _overloaded("answered", min)),
    Target("its p99, of those served (the deadline: 10 s)", "ms", "≤", 10_000.0,
           _overloaded("p99_ms", max)),
    Target("its memory at the end: above that after its warm-up", "%", "≤", 5.0,
           _overloaded("rss_growth", max)),
    Target("good requests answered among broken events", "", "≥", 1.0,
           _figure("strain", ONLINE_BROKEN, ONLINE_BEST, "answered")),
)  # fmt: skip
