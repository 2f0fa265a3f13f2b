"""Rates, latency, batch sizes and lag, from what went by and when."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.meters import Arrivals, BatchSizes, Growth, LatencyJoin, Meter, Past

T0 = 1_700_000_000.0


def test_catching_up_makes_no_peak() -> None:
    """Records count in the second of their own time, not in that of their reading."""
    meter = Meter()
    for second in range(600):
        meter.add(T0 + second, 10)
    assert meter.rate(T0 + 600) == 10
    assert meter.last_minute(T0 + 600) == 600
    assert meter.rate(T0 + 700) == 0


def test_growth_is_a_rate_between_looks() -> None:
    """A topic that is made anew begins again, and a look that never came is not known."""
    growth = Growth()
    assert growth.rate(T0) is None
    for second in range(8):
        growth.see(T0 + second, second * 100.0)
    assert growth.rate(T0 + 7) == pytest.approx(100)
    assert growth.rate(T0 + 60) is None
    growth.see(T0 + 61, 5)
    assert growth.rate(T0 + 61) is None


@given(st.permutations([(kind, n) for kind in "ep" for n in range(5)]))
def test_latency_is_joined_whichever_is_seen_first(order: list[tuple[str, int]]) -> None:
    """The sample may lag behind the predictions or lead them."""
    join = LatencyJoin()
    for kind, n in order:
        if kind == "e":
            join.see_event((0, n), T0)
        else:
            join.see_prediction((0, n), T0 + n)
    found = join.latency(T0 + 5)
    assert found.n == 5
    assert found.p50_s == pytest.approx(2.0)
    assert found.p99_s == pytest.approx(float(np.quantile(range(5), 0.99)))
    assert join.latency(T0 + 1000).n == 0


def test_what_never_meets_is_bounded() -> None:
    """Most predictions find no sampled event: memory stays flat."""
    join, sizes = LatencyJoin(), BatchSizes()
    for n in range(60_000):
        join.see_prediction((0, n), T0)
        sizes.see([str(n)], [T0])
    assert len(join._predictions) == 50_000
    assert len(sizes._sizes) == 50_000


def test_a_batch_is_what_shares_its_time_of_scoring() -> None:
    """Also where it is read in two parts."""
    sizes = BatchSizes()
    sizes.see(["a"] * 7 + ["b"], [T0] * 8)
    sizes.see(["b", "c", "c"], [T0] * 3)
    found = sizes.batches(T0)
    assert (found.n, found.p50, found.max) == (3, 2.0, 7)
    assert sizes.batches(T0 + 100).n == 0


def test_lag_in_seconds_is_the_age_of_the_first_event_that_waits() -> None:
    """By when the partition's end was seen to pass it; at least, for what was there before."""
    arrivals = Arrivals()
    arrivals.see(T0, 100)
    arrivals.see(T0 + 10, 100)
    arrivals.see(T0 + 20, 150)
    assert arrivals.lag_s(T0 + 30, 150, 150) == 0
    assert arrivals.lag_s(T0 + 30, 100, 150) == 10
    assert arrivals.lag_s(T0 + 30, 99, 150) == 30
    arrivals.see(T0 + 31, 5)  # made anew
    assert arrivals.lag_s(T0 + 33, 2, 5) == 2


def test_history_is_a_ring_of_parallel_lists() -> None:
    """The oldest seconds leave first; a gap is null."""
    past = Past(60)
    assert past.history().t == []
    for second in range(100):
        past.see(T0 + second, 1.0, None, 3, 0.1, 0.2)
    history = past.history()
    assert (len(history.t), history.t[0]) == (60, T0 + 40)
    assert history.predictions_per_s == [None] * 60
    assert history.lag_events == [3] * 60
