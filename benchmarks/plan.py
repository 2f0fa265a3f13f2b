"""How much is measured: sizes that make a run last some seconds, in full and for the smoke test."""

from dataclasses import dataclass
from typing import Final

from benchmarks.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes are numbers of events. Slow peers answer only the first `…_share` of the backlog."""

    rounds: int
    quick: bool
    events: int
    slow_share: int
    forest_events: int
    quix_share: int
    poison_events: int
    growth_events: tuple[int, ...]
    growth_partitions: tuple[int, ...]
    growth_workers: tuple[int, ...]
    growth_bytes: tuple[int, ...]
    side_events: int
    schedules: tuple[Schedule, ...]
    latency_rounds: int
    starts: int
    single_events: int


FULL: Final = Plan(
    rounds=3,
    quick=False,
    events=400_000,
    slow_share=2_000,
    forest_events=60_000,
    quix_share=100_000,
    poison_events=200_000,
    growth_events=(100_000, 1_000_000, 5_000_000),
    growth_partitions=(4, 16, 64),
    growth_workers=(1, 2, 4),
    growth_bytes=(200, 2_000, 20_000),
    side_events=200_000,
    schedules=tuple(Schedule(rate, 3.0, 10.0) for rate in (200, 2_000, 10_000)),
    latency_rounds=2,
    starts=5,
    single_events=2_000,
)
QUICK: Final = Plan(
    rounds=1,
    quick=True,
    events=5_000,
    slow_share=20,
    forest_events=2_000,
    quix_share=5_000,
    poison_events=3_000,
    growth_events=(2_000, 4_000),
    growth_partitions=(4, 16),
    growth_workers=(1, 2),
    growth_bytes=(200, 2_000),
    side_events=2_000,
    schedules=tuple(Schedule(rate, 0.2, 0.5) for rate in (200, 2_000)),
    latency_rounds=1,
    starts=1,
    single_events=50,
)
