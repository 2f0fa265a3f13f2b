"""Meters of what goes by: rates, latency, batch sizes, and the last minutes as lists.

Pure: they take the time (Unix seconds) and hold a bounded past. For one thread.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Sequence
from typing import Final, TypeVar

import numpy as np

from monitor.snapshot import Batches, History, Latency

_RATE_S: Final = 5  # what a rate is the mean of
_LAST_S: Final = 60.0  # what latency and batch sizes are of
_MOST: Final = 50_000  # places that wait for their other half, and values of a minute

Place = tuple[int, int]  # partition, offset
_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class Meter:
    """Counts by the second in which things happened, so that catching up makes no peak."""

    def __init__(self) -> None:
        self._seconds: dict[int, int] = {}

    def add(self, at: float, count: int = 1) -> None:
        """Count things that happened at that time."""
        second = math.floor(at)
        self._seconds[second] = self._seconds.get(second, 0) + count
        if len(self._seconds) > 4 * _LAST_S:
            for old in sorted(self._seconds)[: -int(2 * _LAST_S)]:
                del self._seconds[old]

    def rate(self, now: float) -> float:
        """How many a second, over the last whole seconds."""
        return self._sum(now, _RATE_S) / _RATE_S

    def last_minute(self, now: float) -> int:
        """How many in the last minute."""
        return self._sum(now, int(_LAST_S))

    def _sum(self, now: float, seconds: int) -> int:
        this = math.floor(now)
        return sum(self._seconds.get(each, 0) for each in range(this - seconds, this))


class Growth:
    """The rate at which a number grows that is looked at now and then."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=64)

    def see(self, at: float, value: float) -> None:
        """Note the number; one that shrank (a topic made anew) begins again."""
        if self._seen and value < self._seen[-1][1]:
            self._seen.clear()
        if not self._seen or at > self._seen[-1][0]:
            self._seen.append((at, value))

    def rate(self, now: float) -> float | None:
        """How much a second over the last seconds; None before there are two looks."""
        while len(self._seen) > 2 and self._seen[1][0] <= now - _RATE_S:  # noqa: PLR2004 - a rate takes two
            self._seen.popleft()
        if len(self._seen) < 2 or self._seen[-1][0] < now - 2 * _RATE_S:  # noqa: PLR2004 - as above
            return None
        (began, first), (ended, last) = self._seen[0], self._seen[-1]
        return (last - first) / (ended - began)


class LatencyJoin:
    """Event and prediction timestamps, joined by the event's place; whichever is seen first waits.

    Events are a sample, so most predictions find none.
    """

    def __init__(self) -> None:
        self._events: OrderedDict[Place, float] = OrderedDict()
        self._predictions: OrderedDict[Place, float] = OrderedDict()
        self._seconds: deque[tuple[float, float]] = deque(maxlen=_MOST)

    def see_event(self, place: Place, at: float) -> None:
        """A sampled event with its timestamp."""
        answered = self._predictions.pop(place, None)
        if answered is None:
            _wait(self._events, place, at)
        else:
            self._seconds.append((answered, max(0.0, answered - at)))

    def see_prediction(self, place: Place, at: float) -> None:
        """A prediction with its record's timestamp."""
        began = self._events.pop(place, None)
        if began is None:
            _wait(self._predictions, place, at)
        else:
            self._seconds.append((at, max(0.0, at - began)))

    def latency(self, now: float) -> Latency:
        """The quantiles over the predictions of the last minute."""
        values = [seconds for at, seconds in self._seconds if at >= now - _LAST_S]
        if not values:
            return Latency()
        p50, p99 = np.quantile(values, [0.5, 0.99]).tolist()
        return Latency(n=len(values), p50_s=p50, p99_s=p99)


class BatchSizes:
    """How many predictions have one `scored_at`: those of one batch share it."""

    def __init__(self) -> None:
        self._sizes: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def see(self, scored_at: Iterable[str], at: Sequence[float]) -> None:
        """Predictions, with their records' timestamps."""
        for text, when in zip(scored_at, at, strict=True):
            _, size = self._sizes.get(text, (when, 0))
            _wait(self._sizes, text, (when, size + 1))

    def batches(self, now: float) -> Batches:
        """The sizes over the last minute."""
        sizes = [size for at, size in self._sizes.values() if at >= now - _LAST_S]
        if not sizes:
            return Batches()
        return Batches(n=len(sizes), p50=float(np.median(sizes)), max=max(sizes))


class Arrivals:
    """When the end of a partition was seen to pass an offset: how long what waits has waited."""

    def __init__(self) -> None:
        self._ends: deque[tuple[float, int]] = deque(maxlen=7200)  # two hours of seconds

    def see(self, at: float, end: int) -> None:
        """The partition's end at that time; standing still is one entry."""
        if self._ends and end < self._ends[-1][1]:
            self._ends.clear()  # the topic was made anew
        if not self._ends or end > self._ends[-1][1]:
            self._ends.append((at, end))

    def lag_s(self, now: float, committed: int, end: int) -> float | None:
        """How long the event at `committed` has been there: at least, if it was there before us."""
        if committed >= end:
            return 0.0
        for at, seen in self._ends:
            if seen > committed:
                return max(0.0, now - at)
        return None


class Past:
    """The last seconds of some figures, for charts."""

    def __init__(self, seconds: int) -> None:
        self._rows: deque[tuple[float, tuple[float | None, ...]]] = deque(maxlen=seconds)

    def see(self, at: float, *figures: float | None) -> None:
        """Events/s, predictions/s, lag, p50 and p99 at that time."""
        self._rows.append((round(at, 3), figures))

    def history(self) -> History:
        """All of it, oldest first."""
        columns = list(zip(*(figures for _, figures in self._rows), strict=True)) or [()] * 5
        events, predictions, lag, p50, p99 = columns
        return History(
            t=[at for at, _ in self._rows],
            events_per_s=list(events),
            predictions_per_s=list(predictions),
            lag_events=[None if each is None else int(each) for each in lag],
            p50_s=list(p50),
            p99_s=list(p99),
        )


def _wait(waiting: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    waiting[key] = value
    if len(waiting) > _MOST:
        waiting.popitem(last=False)
