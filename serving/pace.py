"""How long a batch takes, from those before it: whether to score it here, or in a thread.

A thread costs a third of the throughput of quick batches, for two threads share the interpreter's
lock; a slow batch without one would keep every other request waiting. Pure.
"""

from dataclasses import dataclass, field

_SIZES = 24  # powers of two: up to 16 million events
_KEPT = 0.7  # of what was known, when a batch took less


@dataclass(slots=True)
class Pace:
    """What batches of each size, by powers of two, took lately, in seconds."""

    _seconds: list[float | None] = field(default_factory=lambda: [None] * _SIZES)

    def took(self, events: int, seconds: float) -> None:
        """A batch of so many events took so long; a slower one counts at once, a quicker slowly."""
        at = _size(events)
        known = self._seconds[at]
        if known is not None and seconds < known:
            seconds = _KEPT * known + (1 - _KEPT) * seconds
        self._seconds[at] = seconds

    def expected_s(self, events: int) -> float:
        """What a batch of so many events may take, at most; 0 where nothing is known yet.

        A size that is not known takes what the next smaller one did for each event.
        """
        size = _size(events)
        for smaller in range(size, -1, -1):
            known = self._seconds[smaller]
            if known is not None:
                return known * float(1 << (size - smaller))
        return 0.0


def _size(events: int) -> int:
    return min(max(events - 1, 0).bit_length(), _SIZES - 1)
