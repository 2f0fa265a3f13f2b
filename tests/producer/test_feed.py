"""Feeding a publisher: at the rate that was asked for, and not beyond a stop or a failure."""

import os
import signal
import threading
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import DeliveryFailed
from producer.feed import Schedule, feed, stop_signals
from producer.files import Event

EVENTS = [Event(b"%d" % number, None, number + 1) for number in range(10)]


@dataclass
class FakeSink:
    """Takes events; one of them may stop the feed, fail, or be refused."""

    stop: threading.Event = field(default_factory=threading.Event)
    stop_at: int = -1
    fail_at: int = -1
    refuse_at: int = -1
    failed: int = 0
    sent: list[bytes] = field(default_factory=list)

    def send(self, event: bytes, key: bytes | None) -> None:
        if len(self.sent) == self.refuse_at:
            raise DeliveryFailed("too large", hint="make it smaller")
        self.sent.append(event)
        if len(self.sent) == self.stop_at:
            self.stop.set()
        if len(self.sent) == self.fail_at:
            self.failed = 1

    def poll(self) -> None:
        """Nothing to take note of."""


class FakeClock(threading.Event):
    """A clock that goes on only while it is waited on, as the stop that is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 100.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        self.now_s += timeout or 0.0
        return self.is_set()


def test_everything_is_sent_in_order() -> None:
    """Without a rate, all events go at once and in their order."""
    sink = FakeSink()

    assert feed(EVENTS, sink, stop=sink.stop)
    assert sink.sent == [event.value for event in EVENTS]


def test_a_stop_ends_the_feed() -> None:
    """After a stop no event is sent, and the feed tells that it did not finish."""
    sink = FakeSink(stop_at=3)

    assert not feed(EVENTS, sink, stop=sink.stop)
    assert len(sink.sent) == 3


def test_a_failed_delivery_ends_the_feed() -> None:
    """There is no use in sending a million events more after one was lost."""
    sink = FakeSink(fail_at=3)

    assert not feed(EVENTS, sink, stop=sink.stop)
    assert len(sink.sent) == 3


def test_an_event_that_is_refused_is_named() -> None:
    """The error of an event that is refused at once says which line it was."""
    sink = FakeSink(refuse_at=3)

    with pytest.raises(DeliveryFailed, match="line or row 4: too large") as caught:
        feed(EVENTS, sink, stop=sink.stop)
    assert caught.value.hint == "make it smaller"


def test_a_rate_is_kept() -> None:
    """Ten events at two per second take four and a half seconds: the first goes at once."""
    clock = FakeClock()

    assert feed(EVENTS, FakeSink(), stop=clock, rate_per_s=2, clock=clock)
    assert clock.now_s == pytest.approx(104.5)
    assert max(clock.waits) <= 0.1


def test_a_delay_does_not_add_up() -> None:
    """Time lost on the way is made good: each event's time is counted from the start."""
    schedule = Schedule(rate_per_s=10, started_s=100)

    assert schedule.delay_s(0, 100) == 0
    assert schedule.delay_s(5, 100) == pytest.approx(0.5)
    assert schedule.delay_s(5, 103) == 0
    assert schedule.delay_s(50, 103) == pytest.approx(2)


@given(st.floats(0.001, 1e6), st.integers(0, 10**9), st.floats(0, 1e9))
def test_no_event_is_early(rate_per_s: float, number: int, late_s: float) -> None:
    """Waiting the delay brings every event to its time or later, never to an earlier one."""
    schedule = Schedule(rate_per_s, started_s=0)
    delay_s = schedule.delay_s(number, late_s)

    assert delay_s >= 0
    assert late_s + delay_s == pytest.approx(max(late_s, number / rate_per_s))


def test_a_stop_ends_a_wait() -> None:
    """A feed of one event in a thousand seconds can be stopped between two events."""
    clock = FakeClock()
    sink = FakeSink(stop=clock, stop_at=1)

    assert not feed(EVENTS, sink, stop=clock, rate_per_s=0.001, clock=clock)
    assert len(sink.sent) == 1
    assert clock.now_s == pytest.approx(100.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_ends(number: signal.Signals) -> None:
    """The first signal sets the stop; from then on a signal does what it did before."""
    before = signal.getsignal(number)
    with stop_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.wait(5)
        assert signal.getsignal(number) is before

    assert signal.getsignal(number) is before
