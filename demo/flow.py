"""The demo's one loop: publish what is due, take what was answered, show it; until all is answered.

Knows the exchange, the figures and the show by what they do; times are monotonic seconds.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from demo.departures import Departure
from demo.figures import Figures, Snapshot
from demo.show import Show

_DRAW_EVERY_S: Final = 0.25
_FULL_SWING: Final = 0.8  # of the events are answered: the moment for the picture
_WAIT_S: Final = 0.01
_AT_ONCE: Final = 500  # events handed over between two looks at what came back


class Exchanging(Protocol):
    """What the flow needs of the exchange with Kafka."""

    def publish(self, departure: Departure) -> bool:
        """Take an event; False when there is no room for it now."""

    def exchange(self, wait_s: float) -> None:
        """Send and receive; wait for an answer at most that long."""


class Flow:
    """Drives one run. `watch` is called before each drawing: it looks after the processes.

    `stalled_s` is how long nothing may move before the run counts as over.
    """

    def __init__(
        self,
        exchange: Exchanging,
        figures: Figures,
        show: Show,
        watch: Callable[[], None],
        *,
        stalled_s: float,
    ) -> None:
        self._exchange = exchange
        self._figures = figures
        self._show = show
        self._watch = watch
        self._stalled_s = stalled_s
        self._draw_at = 0.0
        self.picture: Snapshot | None = None

    def run(self, coming: Iterator[Departure], rate: float) -> None:
        """Publish `rate` events a second (0: as fast as it goes) and wait for every answer.

        Returns as well when nothing moves any more: the audit will say what is missing.
        """
        self._run(coming, rate)
        self._draw_at = 0.0  # what is left to see is the end
        self._draw(time.monotonic())

    def await_alerts(self, timeout_s: float) -> None:
        """Give the subscriber time to react to the last predictions too."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self._watch()
            if self._figures.alerts >= self._figures.expected_alerts:
                return
            time.sleep(_WAIT_S)

    def _run(self, coming: Iterator[Departure], rate: float) -> None:
        waiting = next(coming, None)
        started = moved = time.monotonic()
        progress = 0
        while waiting is not None or self._figures.open:
            now = time.monotonic()
            room = due(rate, now - started, self._figures.published)
            while waiting is not None and room > 0 and self._exchange.publish(waiting):
                waiting = next(coming, None)
                room -= 1
            self._exchange.exchange(_WAIT_S)
            self._draw(now)
            done = self._figures.published + self._figures.answered
            if done > progress or not self._figures.open:  # then only the next event is waited for
                progress, moved = done, now
            elif now - moved > self._stalled_s:
                return

    def _draw(self, now: float) -> None:
        if now < self._draw_at:
            return
        self._draw_at = now + _DRAW_EVERY_S
        self._watch()
        snapshot = self._figures.now(time.time())
        if self.picture is None or snapshot.answered < _FULL_SWING * snapshot.planned:
            self.picture = snapshot
        self._show.figures(snapshot)


def due(rate: float, elapsed_s: float, published: int) -> int:
    """Say how many events are to be published now, to hold the rate but not to hold up the rest."""
    if rate <= 0:
        return _AT_ONCE
    return max(0, min(_AT_ONCE, int(elapsed_s * rate) + 1 - published))
