"""Pass events on to a publisher, at a rate if one is asked for, until told to stop.

The clock, the publisher and the stop are given; where the events come from is not known here.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Protocol

from model.errors import BrokerError
from producer.files import Event

_SHORTEST_WAIT_S = 0.001  # below it, sleeping costs more than it waits: events go in small groups
_SLICE_S = 0.1


class Sink(Protocol):
    """What is fed: a `producer.Publisher`."""

    @property
    def failed(self) -> int: ...  # noqa: D102 - as Publisher
    def send(self, event: bytes, key: bytes | None) -> None: ...  # noqa: D102 - as Publisher
    def poll(self) -> None: ...  # noqa: D102 - as Publisher


@dataclass(frozen=True, slots=True)
class Schedule:
    """When each event is due: counted from the start, so that no delay adds up."""

    rate_per_s: float
    started_s: float

    def delay_s(self, number: int, now_s: float) -> float:
        """Tell how long event `number` (from 0) still has to wait; 0 when it is due."""
        return max(0.0, self.started_s + number / self.rate_per_s - now_s)


def feed(
    events: Iterable[Event],
    sink: Sink,
    *,
    stop: threading.Event,
    rate_per_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Send every event; tell whether all were sent.

    Ends early when `stop` is set, and when a delivery failed: the sink knows the reason. The
    error of an event that is refused at once names its line.
    """
    schedule = None if rate_per_s is None else Schedule(rate_per_s, clock())
    for number, event in enumerate(events):
        if schedule is not None:
            _await(schedule, number, sink, stop, clock)
        if stop.is_set() or sink.failed:
            return False
        try:
            sink.send(event.value, event.key)
        except BrokerError as error:
            raise type(error)(f"line or row {event.place}: {error}", hint=error.hint) from error
    return not stop.is_set()


def _await(
    schedule: Schedule, number: int, sink: Sink, stop: threading.Event, clock: Callable[[], float]
) -> None:
    while (delay_s := schedule.delay_s(number, clock())) >= _SHORTEST_WAIT_S:
        if stop.wait(min(delay_s, _SLICE_S)):
            return
        sink.poll()


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Give an event that SIGINT or SIGTERM sets; the second of them ends the process as ever."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def request(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in numbers:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        restore()
