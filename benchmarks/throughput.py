"""Sections that drain backlogs: contestants beside each other, poison, and the cost of growth."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.cases import Case, padded, poisoned
from benchmarks.contestants import (
    BEST_ENGINE,
    FIRST_SCRIPT,
    PASS_THROUGH,
    QUIX_APPLY,
    QUIX_BATCH,
    Contestant,
)
from benchmarks.drain import drain
from benchmarks.lab import PARTITIONS, Backlog, Lab
from benchmarks.peers import QUIX, Peer
from benchmarks.plan import Plan
from benchmarks.results import Results

Say = Callable[[str], None]
_LARGEST_BACKLOG: Final = 400_000_000  # bytes that a backlog of large events may take


@dataclass(frozen=True, slots=True)
class Entry:
    """A contestant on a backlog, and the row that its figures go to."""

    section: str
    subject: str
    name: str
    contestant: Contestant
    backlog: Backlog
    share: int | None = None
    rounds: int | None = None  # fewer than the others


@dataclass(frozen=True, slots=True)
class Bench:
    """What every section needs."""

    lab: Lab
    plan: Plan
    cases: Mapping[str, Case]
    results: Results
    say: Say
    peers: Sequence[Peer]


def measure_throughput(bench: Bench) -> None:
    """Every contestant on every model's events, round by round."""
    plan = bench.plan
    with ExitStack() as stack:
        entries: list[Entry] = []
        backlog = stack.enter_context(bench.lab.backlog(bench.cases["flight"], plan.events))
        entries += [_entry(each, backlog) for each in plan.own]
        entries += _peers(bench, backlog)
        for name in plan.other_models:
            count = plan.forest_events if name == "forest" else plan.events
            backlog = stack.enter_context(bench.lab.backlog(bench.cases[name], count))
            fewer = max(1, plan.rounds - 1)
            entries += [replace(_entry(each, backlog), rounds=fewer) for each in plan.others]
            entries += [replace(_entry(each, backlog), rounds=1) for each in plan.aside]
        _interleave(bench, entries, bench.plan.rounds)


def _peers(bench: Bench, backlog: Backlog) -> list[Entry]:
    slow = bench.plan.slow_share
    peers = [_entry(FIRST_SCRIPT, backlog, slow)]
    if QUIX in bench.peers:
        peers += [_entry(QUIX_APPLY, backlog, slow), _entry(QUIX_BATCH, backlog)]
    return peers


def _entry(contestant: Contestant, backlog: Backlog, share: int | None = None) -> Entry:
    return Entry("throughput", backlog.case.name, contestant.name, contestant, backlog, share)


def measure_poison(bench: Bench) -> None:
    """A backlog with 1 % of broken events beside the same without them."""
    case = bench.cases["flight"]
    count = bench.plan.poison_events
    with bench.lab.backlog(case, count) as clean, bench.lab.backlog(poisoned(case), count) as bad:
        entries = [
            Entry("poison", what, contestant.name, contestant, backlog)
            for contestant in bench.plan.engines
            for what, backlog in (("clean", clean), ("1 % poisoned", bad))
        ]
        _interleave(bench, entries, bench.plan.rounds)


def measure_growth(bench: Bench) -> None:
    """More events, more partitions, more workers, larger events."""
    for grow in (_grow_backlog, _grow_partitions, _grow_workers, _grow_events):
        grow(bench)


def _grow_backlog(bench: Bench) -> None:
    case, sizes = bench.cases["flight"], bench.plan.growth_events
    *smaller, largest = sizes
    with ExitStack() as stack:
        backlogs = [stack.enter_context(bench.lab.backlog(case, size)) for size in smaller]
        entries = [_growth("backlog", f"{b.count:,} events", b) for b in backlogs]
        _interleave(bench, entries, bench.plan.rounds)
    with bench.lab.backlog(case, largest) as backlog:  # once: it lasts
        _interleave(bench, [_growth("backlog", f"{largest:,} events", backlog)], 1)


def _grow_partitions(bench: Bench) -> None:
    case, count = bench.cases["flight"], bench.plan.side_events
    with ExitStack() as stack:
        entries = [
            _growth(
                "partitions",
                f"{number} partitions",
                stack.enter_context(bench.lab.backlog(case, count, number)),
            )
            for number in bench.plan.growth_partitions
        ]
        _interleave(bench, entries, bench.plan.rounds)


def _grow_workers(bench: Bench) -> None:
    """On a backlog that lasts: the first worker has it alone until the others have started."""
    case, count = bench.cases["flight"], bench.plan.worker_events
    with bench.lab.backlog(case, count, 2 * PARTITIONS) as backlog:
        entries = [
            _growth("workers", f"{number} worker{'s' * (number > 1)}", backlog, number)
            for number in bench.plan.growth_workers
        ]
        _interleave(bench, entries, max(1, bench.plan.rounds - 1))


def _grow_events(bench: Bench) -> None:
    with ExitStack() as stack:
        entries = []
        for size in bench.plan.growth_bytes:
            count = min(bench.plan.side_events, _LARGEST_BACKLOG // size)
            case = padded(bench.cases["flight"], size)
            backlog = stack.enter_context(bench.lab.backlog(case, count))
            for who in (PASS_THROUGH, BEST_ENGINE):
                what = f"{size / 1000:g} KB, {who.kind}"
                entries.append(Entry("growth", "event size", what, who, backlog))
        _interleave(bench, entries, max(1, bench.plan.rounds - 1))


def _growth(subject: str, what: str, backlog: Backlog, workers: int = 1) -> Entry:
    return Entry("growth", subject, what, replace(BEST_ENGINE, workers=workers), backlog)


def _interleave(bench: Bench, entries: list[Entry], rounds: int) -> None:
    """Round 1 of every entry, then round 2: what drifts meets them all."""
    for number, entry in _rounds(entries, rounds):
        drained = drain(bench.lab, entry.contestant, entry.backlog, entry.share)
        figures = drained.figures
        bench.results.add(entry.section, entry.subject, entry.name, figures)
        if entry.section == "throughput" and drained.stages:
            bench.results.add("profile", entry.subject, entry.name, drained.stages)
        bench.say(
            f"{entry.section}, round {number}: {entry.subject}, {entry.name}: "
            f"{figures['events_per_second']:,.0f} events/s, "
            f"{figures['cpu_us_per_event']:.1f} CPU µs per event, "
            f"{figures['peak_rss_mib']:.0f} MiB"
        )


def _rounds(entries: list[Entry], rounds: int) -> Iterator[tuple[int, Entry]]:
    for number in range(1, rounds + 1):
        for entry in entries:
            if number <= (entry.rounds or rounds):
                yield number, entry
