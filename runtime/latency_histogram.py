"""A histogram of durations for Prometheus. It must not know what is measured."""

import threading
from bisect import bisect_left
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_LATENCY_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
)


class LatencyHistogram(Collector):
    """A histogram that is fed a batch at a time: one pass of numpy, not a call per event."""

    def __init__(
        self, name: str, documentation: str, buckets: Iterable[float] = _LATENCY_BUCKETS
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = np.array(sorted(buckets), dtype=np.float64)
        self._edges = self._bounds.tolist()
        self._counts = np.zeros(self._bounds.size + 1, dtype=np.int64)  # the last one is +Inf
        self._sum = 0.0
        self._lock = threading.Lock()  # a scrape comes from the thread of the health server

    def observe(self, seconds: float) -> None:
        """Count one duration, at least 0."""
        bucket = bisect_left(self._edges, seconds)
        with self._lock:
            self._counts[bucket] += 1
            self._sum += seconds

    def observe_many(self, seconds: npt.NDArray[np.float64]) -> None:
        """Count each of `seconds` (1-D float64); below 0, by clocks that differ, counts as 0.

        Values that are not finite are left out: they would make the sum useless for good.
        """
        finite = np.maximum(seconds[np.isfinite(seconds)], 0.0)
        buckets = np.searchsorted(self._bounds, finite, side="left")  # le: the bound is inside
        counts = np.bincount(buckets, minlength=self._counts.size)
        with self._lock:
            self._counts += counts
            self._sum += float(finite.sum())

    def describe(self) -> Iterable[Metric]:
        """The name and help alone, which the registry asks for when this is registered."""
        return [HistogramMetricFamily(self._name, self._documentation)]

    def collect(self) -> Iterable[Metric]:
        """The cumulated buckets, the count and the sum, in seconds."""
        with self._lock:
            cumulated, total = np.cumsum(self._counts), self._sum
        bounds = [*(repr(float(bound)) for bound in self._bounds), "+Inf"]
        pairs = [(bound, float(count)) for bound, count in zip(bounds, cumulated, strict=True)]
        return [HistogramMetricFamily(self._name, self._documentation, pairs, sum_value=total)]
