"""Who and how much is measured: sizes that make a run last some seconds; tiny ones to smoke."""

from dataclasses import dataclass
from typing import Final

from benchmarks.contestants import (
    BEST_ENGINE,
    PASS_THROUGH,
    PLAIN_ENGINE,
    Contestant,
    at_least_once,
)
from benchmarks.names import BATCH_BEST, BATCH_PANDAS, BATCH_PLAIN, BATCH_UNSCORED
from benchmarks.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes are numbers of events. Slow peers answer only the first `…_share` of the backlog.

    `own` answer the flights, `others` the events of `other_models`; what is `aside` runs once.
    """

    rounds: int
    quick: bool
    own: tuple[Contestant, ...]
    other_models: tuple[str, ...]
    others: tuple[Contestant, ...]
    aside: tuple[Contestant, ...]
    engines: tuple[Contestant, ...]
    latency: tuple[Contestant, ...]
    latency_at_one_rate: tuple[Contestant, ...]
    events: int
    slow_share: int
    forest_events: int
    poison_events: int
    growth_events: tuple[int, ...]
    growth_partitions: tuple[int, ...]
    growth_workers: tuple[int, ...]
    worker_events: int
    growth_bytes: tuple[int, ...]
    side_events: int
    schedules: tuple[Schedule, ...]
    latency_rounds: int
    starts: int
    single_events: int
    batch: tuple[str, ...]
    batch_rows: int
    batch_rows_many: int
    spark_rounds: int
    online_events: int
    online_warm_up_s: float
    online_s: float
    online_lists: int
    overload_s: float


_OWN: Final = (PASS_THROUGH, PLAIN_ENGINE, BEST_ENGINE)
_WEAKER: Final = tuple(map(at_least_once, _OWN))

FULL: Final = Plan(
    rounds=3,
    quick=False,
    own=(*_OWN, *_WEAKER),
    other_models=("logistic", "forest"),
    others=_OWN,
    aside=_WEAKER,
    engines=(PLAIN_ENGINE, BEST_ENGINE),
    latency=_OWN,
    latency_at_one_rate=(at_least_once(PASS_THROUGH), at_least_once(BEST_ENGINE)),
    events=500_000,
    slow_share=2_000,
    forest_events=100_000,
    poison_events=200_000,
    growth_events=(100_000, 1_000_000, 5_000_000),
    growth_partitions=(4, 16, 64),
    growth_workers=(1, 2, 4),
    worker_events=1_500_000,
    growth_bytes=(200, 2_000, 20_000),
    side_events=200_000,
    schedules=tuple(Schedule(rate, 2.0, 10.0) for rate in (200, 2_000, 10_000)),
    latency_rounds=2,
    starts=4,
    single_events=2_000,
    batch=(BATCH_BEST, BATCH_UNSCORED, BATCH_PLAIN, BATCH_PANDAS),
    batch_rows=336_776,
    batch_rows_many=3_000_000,
    spark_rounds=2,
    online_events=2_000,
    online_warm_up_s=1.0,
    online_s=4.0,
    online_lists=200,
    overload_s=60.0,
)
QUICK: Final = Plan(
    rounds=1,
    quick=True,
    own=(*_OWN, at_least_once(BEST_ENGINE)),
    other_models=("logistic",),
    others=(PASS_THROUGH, BEST_ENGINE),
    aside=(),
    engines=(BEST_ENGINE,),
    latency=(PASS_THROUGH, BEST_ENGINE),
    latency_at_one_rate=(),
    events=5_000,
    slow_share=20,
    forest_events=2_000,
    poison_events=3_000,
    growth_events=(4_000,),
    growth_partitions=(16,),
    growth_workers=(1, 2),
    worker_events=10_000,
    growth_bytes=(2_000,),
    side_events=2_000,
    schedules=tuple(Schedule(rate, 0.2, 0.5) for rate in (200, 2_000)),
    latency_rounds=1,
    starts=1,
    single_events=50,
    batch=(BATCH_BEST, BATCH_UNSCORED, BATCH_PANDAS),
    batch_rows=2_000,
    batch_rows_many=6_000,
    spark_rounds=0,
    online_events=200,
    online_warm_up_s=0.2,
    online_s=0.5,
    online_lists=50,
    overload_s=1.0,
)
