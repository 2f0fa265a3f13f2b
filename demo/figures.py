"""What the demo shows and sums up, counted from what it published and what it read back.

Pure: times come in as arguments (seconds since the epoch). Knows neither Kafka nor the terminal.
"""

from array import array
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from demo.departures import Flight

ALERT_MIN: Final = 60
"""The subscriber is alerted of flights that are predicted to arrive later than this, in minutes."""

_SHOWN_PREDICTIONS: Final = 6
_SHOWN_DEAD_LETTERS: Final = 3
_RATE_WINDOW_S: Final = 2.0
_LATENCY_WINDOW: Final = 5_000
_HISTORY_S: Final = 20


@dataclass(frozen=True, slots=True)
class Prediction:
    """A flight and the delay predicted for it, in minutes."""

    flight: Flight
    minutes: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why an event became a dead letter."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The figures of one moment. Latency is from the event's timestamp to its answer in hand."""

    planned: int
    published: int
    predictions: int
    dead_letters: int
    alerts: int
    seconds: float
    """Since the first event; up to the last answer once all are answered."""
    events_per_second: float
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    mae: float | None
    naive_mae: float | None
    latest: tuple[Prediction, ...]
    """The newest last."""
    rejected: tuple[Rejected, ...]
    """The newest last."""
    history: tuple[float, ...]
    """Events per second of the last seconds, one by one."""

    @property
    def answered(self) -> int:
        """Predictions and dead letters."""
        return self.predictions + self.dead_letters

    @property
    def lag(self) -> int:
        """Events that are published and not yet answered."""
        return max(0, self.published - self.answered)


class Figures:
    """Counts events as they are published and answered; `planned` is how many are to come."""

    def __init__(self, planned: int) -> None:
        self.alerts = 0
        self.expected_alerts = 0
        self.model: str | None = None
        self._planned = planned
        self._open: dict[str, tuple[Flight, float]] = {}
        self._published = self._flights = self._predictions = self._dead_letters = 0
        self._first_s: float | None = None
        self._last_s = 0.0
        self._latency_s = array("d")
        self._missed_min = self._naively_missed_min = 0.0
        self._latest: deque[Prediction] = deque(maxlen=_SHOWN_PREDICTIONS)
        self._rejected: deque[Rejected] = deque(maxlen=_SHOWN_DEAD_LETTERS)
        self._progress: deque[tuple[float, int]] = deque()
        self._history: deque[float] = deque(maxlen=_HISTORY_S)
        self._history_due_s = 0.0

    @property
    def answered(self) -> int:
        """Predictions and dead letters held so far."""
        return self._predictions + self._dead_letters

    @property
    def published(self) -> int:
        """Events published so far."""
        return self._published

    @property
    def open(self) -> int:
        """Events published and not yet answered: a second answer to another does not count."""
        broken = self._published - self._flights
        return len(self._open) + max(0, broken - self._dead_letters)

    def publish(self, flight: Flight | None, at_s: float) -> None:
        """Enter an event with its timestamp; None for a broken one."""
        self._published += 1
        if self._first_s is None:
            self._first_s = self._last_s = at_s
            self._progress = deque([(at_s, 0)])
        if flight is not None:
            self._flights += 1
            self._open[flight.id] = (flight, at_s)

    def predict(self, event_id: str, minutes: float, at_s: float) -> None:
        """Enter a prediction that is in hand; whether it is the only one, the audit will say."""
        self._predictions += 1
        self._last_s = at_s
        self.expected_alerts += minutes > ALERT_MIN
        flight, published_s = self._open.pop(event_id, (None, 0.0))
        if flight is None:
            return
        self._latency_s.append(at_s - published_s)
        self._missed_min += abs(minutes - flight.arr_delay)
        self._naively_missed_min += abs(flight.dep_delay - flight.arr_delay)
        self._latest.append(Prediction(flight, minutes))

    def reject(self, why: Rejected, at_s: float) -> None:
        """Enter a dead letter that is in hand."""
        self._dead_letters += 1
        self._last_s = at_s
        self._rejected.append(why)

    def now(self, now_s: float) -> Snapshot:
        """Give the figures of this moment: the rate and the latency are those of late."""
        self._progress.append((now_s, self.answered))
        while len(self._progress) > 1 and self._progress[0][0] < now_s - _RATE_WINDOW_S:
            self._progress.popleft()
        since_s, before = self._progress[0]
        rate = (self.answered - before) / (now_s - since_s) if now_s > since_s else 0.0
        if now_s >= self._history_due_s:
            self._history.append(rate)
            self._history_due_s = now_s + 1.0
        seconds = 0.0 if self._first_s is None else now_s - self._first_s
        return self._snapshot(seconds, rate, self._latency_s[-_LATENCY_WINDOW:])

    def total(self) -> Snapshot:
        """Give the figures of the whole run, from the first event to the last answer."""
        seconds = 0.0 if self._first_s is None else self._last_s - self._first_s
        rate = self.answered / seconds if seconds > 0 else 0.0
        return self._snapshot(seconds, rate, self._latency_s)

    def _snapshot(self, seconds: float, rate: float, latency_s: "array[float]") -> Snapshot:
        p50, p99 = (
            np.percentile(np.asarray(latency_s), [50, 99]) * 1000 if latency_s else (None, None)
        )
        judged = len(self._latency_s)
        return Snapshot(
            planned=self._planned,
            published=self._published,
            predictions=self._predictions,
            dead_letters=self._dead_letters,
            alerts=self.alerts,
            seconds=seconds,
            events_per_second=rate,
            latency_p50_ms=None if p50 is None else float(p50),
            latency_p99_ms=None if p99 is None else float(p99),
            mae=self._missed_min / judged if judged else None,
            naive_mae=self._naively_missed_min / judged if judged else None,
            latest=tuple(self._latest),
            rejected=tuple(self._rejected),
            history=tuple(self._history),
        )
