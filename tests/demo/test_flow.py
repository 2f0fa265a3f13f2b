"""The demo's loop: holds the rate, waits for every answer, and never waits for ever."""

from collections import deque
from collections.abc import Iterator

import pytest

from demo.departures import Departure, Flight
from demo.figures import Figures, Rejected, Snapshot
from demo.flow import Flow, due
from demo.show import PlainShow
from model.errors import StreamscoreError


def departing(count: int) -> Iterator[Departure]:
    for number in range(count):
        flight = Flight(f"F-{number}", f"F-{number}", "EWR", "IAH", 0.0, 0.0)
        yield Departure(f"F-{number}", b"{}", flight if number % 10 else None)


class Answering:
    """Answers each event at the next look; has room for `room` events between two looks."""

    def __init__(self, figures: Figures, *, room: int = 100, mute: bool = False) -> None:
        self._figures = figures
        self._room = room
        self._mute = mute
        self._queue: deque[Departure] = deque()
        self.published: list[str] = []

    def publish(self, departure: Departure) -> bool:
        if len(self._queue) >= self._room:
            return False
        self._queue.append(departure)
        self.published.append(departure.key)
        self._figures.publish(departure.flight, 1.0)
        return True

    def exchange(self, wait_s: float) -> None:
        while self._queue:
            departure = self._queue.popleft()
            if self._mute:
                continue
            if departure.flight is None:
                self._figures.reject(Rejected("not_json", ""), 2.0)
            else:
                self._figures.predict(departure.flight.id, 61.0, 2.0)


class Silent(PlainShow):
    def __init__(self) -> None:
        self.shown: list[Snapshot] = []

    def step(self, text: str) -> None:
        """Nobody listens."""

    def figures(self, snapshot: Snapshot) -> None:
        self.shown.append(snapshot)


def watch_nothing() -> None:
    """All is well."""


def flow_of(figures: Figures, exchange: Answering, *, stalled_s: float = 5.0) -> Flow:
    return Flow(exchange, figures, Silent(), watch_nothing, stalled_s=stalled_s)


def test_every_event_is_published_once_and_in_order_although_the_queue_is_small() -> None:
    """Where the client has no room the same event comes again."""
    figures = Figures(1000)
    exchange = Answering(figures, room=7)
    flow = flow_of(figures, exchange)
    flow.run(departing(1000), 0)
    assert exchange.published == [f"F-{number}" for number in range(1000)]
    assert (figures.open, figures.answered) == (0, 1000)


def test_the_last_drawing_shows_the_end() -> None:
    """The screen that stays says that all is answered."""
    figures = Figures(300)
    show = Silent()
    Flow(Answering(figures), figures, show, watch_nothing, stalled_s=5.0).run(departing(300), 0)
    assert show.shown[-1].answered == 300


def test_without_answers_the_run_ends_when_nothing_moves() -> None:
    """A dead scoring group does not hold the demo for ever: the audit tells what is missing."""
    figures = Figures(50)
    flow = flow_of(figures, Answering(figures, mute=True), stalled_s=0.1)
    flow.run(departing(50), 0)
    assert figures.open == 50


def test_a_slow_rate_is_no_stall() -> None:
    """Waiting for the next event to be due is not waiting for an answer."""
    figures = Figures(4)
    flow = flow_of(figures, Answering(figures), stalled_s=0.05)
    flow.run(departing(4), 10)
    assert figures.answered == 4


def test_a_dead_child_ends_the_run() -> None:
    """What looks after the processes may raise."""
    figures = Figures(50)

    def watch() -> None:
        raise StreamscoreError("the scoring group ended")

    flow = Flow(Answering(figures, mute=True), figures, Silent(), watch, stalled_s=5.0)
    with pytest.raises(StreamscoreError, match="the scoring group ended"):
        flow.run(departing(50), 0)


def test_the_picture_is_of_the_run_in_full_swing() -> None:
    """The screenshot's figures are from a moment when most events were answered, not all."""
    figures = Figures(300)
    flow = flow_of(figures, Answering(figures))
    flow.run(departing(300), 500)
    assert flow.picture is not None
    assert 0 < flow.picture.answered < 240


def test_alerts_are_waited_for_no_longer_than_given() -> None:
    """A subscriber that says nothing costs its time-out; one that said all, nothing."""
    figures = Figures(20)
    flow = flow_of(figures, Answering(figures))
    flow.run(departing(20), 0)
    assert figures.expected_alerts == 18
    flow.await_alerts(0.05)
    figures.alerts = 18
    flow.await_alerts(3600)


@pytest.mark.parametrize(
    ("rate", "elapsed_s", "published", "expected"),
    [
        (2000, 0.0, 0, 1),
        (2000, 0.01, 1, 20),
        (2000, 0.01, 40, 0),
        (2000, 10.0, 0, 500),
        (0.5, 1.9, 1, 0),
        (0.5, 2.0, 1, 1),
        (0, 0.0, 10**6, 500),
    ],
)
def test_the_rate_is_held(rate: float, elapsed_s: float, published: int, expected: int) -> None:
    """What is due follows the clock, catches up after a pause, and never blocks the rest."""
    assert due(rate, elapsed_s, published) == expected
