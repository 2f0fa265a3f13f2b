"""When an open loop sends, and what latencies mean: pure.

The time of an event is that of the schedule, not of the call that sent it: a sender that is held
up makes the events behind it late, and that is counted (no coordinated omission).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Schedule:
    """`rate` events a second for `seconds`, after a warm-up that is sent alike and not counted."""

    rate: int
    warm_up_s: float
    seconds: float

    @property
    def count(self) -> int:
        """How many events are sent in all."""
        return self.skipped + round(self.rate * self.seconds)

    @property
    def skipped(self) -> int:
        """How many of them are the warm-up."""
        return round(self.rate * self.warm_up_s)

    def due(self, number: int) -> float:
        """When event `number` is to be sent, in seconds after the begin."""
        return number / self.rate

    def due_by(self, elapsed_s: float) -> int:
        """How many events are due after so long."""
        return min(self.count, int(elapsed_s * self.rate) + 1) if elapsed_s >= 0 else 0


def latencies_ms(
    schedule: Schedule, begin: float, arrived: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """From schedule to arrival, event by event without the warm-up; times are seconds."""
    numbers = np.arange(schedule.count, dtype=np.float64)
    return np.asarray((arrived - begin - numbers / schedule.rate)[schedule.skipped :] * 1000)


def percentiles(values: Sequence[float] | npt.NDArray[np.float64]) -> dict[str, float]:
    """p50, p99 and p99.9, each a value that occurred, and the largest."""
    p50, p99, p999 = np.percentile(values, [50, 99, 99.9], method="higher").tolist()
    return {"p50_ms": p50, "p99_ms": p99, "p999_ms": p999, "max_ms": float(np.max(values))}
