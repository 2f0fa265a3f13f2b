"""Requests in flight are scored together, whatever waits at once: no timer, so a lone one is quick.

Runs in one event loop. A quick batch is scored in it; one that would hold up other requests, in a
thread, one at a time, while the next batch gathers.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from model.errors import StreamscoreError
from serving.pace import Pace
from serving.scoring import Batch, Origin, Scoring

_INLINE_S: Final = 0.005  # what other requests may be held up by
_LOOK_S: Final = 0.1  # how exact deadlines are, while something waits
Answer = tuple[Batch, int, int]  # the batch, and where in it the request's events stand


class Overloaded(StreamscoreError):
    """More events wait than may."""


class TooLate(StreamscoreError):
    """A request was not answered by its deadline."""


@dataclass(slots=True)
class Request:
    """Events that are answered together, by one version."""

    name: str
    events: Sequence[bytes]
    answer: "asyncio.Future[Answer]"
    deadline: float


@dataclass(frozen=True, slots=True)
class Room:
    """How many events a batch takes, how many may wait, and for how long, in seconds."""

    batch_events: int
    queued_events: int
    timeout_s: float


class Batcher:
    """Scores what waits; `scoring` gives the version for the next batch.

    `seen` is told of each batch, once it is scored.
    """

    def __init__(
        self, scoring: Callable[[], Scoring], room: Room, seen: Callable[[Batch], None]
    ) -> None:
        self._scoring = scoring
        self._room = room
        self._seen = seen
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Request] = deque()
        self._scored: list[Request] = []  # in a thread, now
        self._pace = Pace()
        self._scheduled = False
        self._watched = False
        self.queued_events = 0

    def submit(self, name: str, events: Sequence[bytes]) -> "asyncio.Future[Answer]":
        """The answers to come to the events of a request called `name`.

        The future raises TooLate, or what scoring raised. Raises Overloaded.
        """
        if self.queued_events + len(events) > self._room.queued_events:
            raise Overloaded(f"{self.queued_events} events wait already")
        answer: asyncio.Future[Answer] = self._loop.create_future()
        deadline = self._loop.time() + self._room.timeout_s
        self._waiting.append(Request(name, events, answer, deadline))
        self.queued_events += len(events)
        self._schedule()
        return answer

    def _schedule(self) -> None:
        """Score soon: after every request that has been read by now has come in."""
        if self._waiting and not self._scheduled and not self._scored:
            self._scheduled = True
            self._loop.call_soon(self._score)

    def _score(self) -> None:
        self._scheduled = False
        requests = self._taken()
        if not requests:
            return
        events = sum(len(request.events) for request in requests)
        if self._pace.expected_s(events) <= _INLINE_S:
            self._finish(requests, *_score(self._scoring, requests))
            self._schedule()
            return
        self._scored = requests
        self._watch()
        # A daemon: the end of the service does not wait for a model that does not come back.
        threading.Thread(target=self._score_aside, name="scoring", daemon=True).start()

    def _taken(self) -> list[Request]:
        """The next requests, as many as a batch takes; at least one."""
        requests: list[Request] = []
        room = self._room.batch_events
        while self._waiting and (not requests or len(self._waiting[0].events) <= room):
            request = self._waiting.popleft()
            self.queued_events -= len(request.events)
            if not request.answer.done():
                requests.append(request)
                room -= len(request.events)
        return requests

    def _score_aside(self) -> None:
        batch, seconds = _score(self._scoring, self._scored)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._finish_aside, batch, seconds)

    def _finish_aside(self, batch: Batch | Exception, seconds: float) -> None:
        requests, self._scored = self._scored, []
        self._finish(requests, batch, seconds)
        self._schedule()

    def _finish(self, requests: list[Request], batch: Batch | Exception, seconds: float) -> None:
        self._pace.took(sum(len(request.events) for request in requests), seconds)
        if isinstance(batch, Exception):
            for request in requests:
                if not request.answer.done():
                    request.answer.set_exception(batch)
            return
        self._seen(batch)
        start = 0
        for request in requests:
            end = start + len(request.events)
            if not request.answer.done():
                request.answer.set_result((batch, start, end))
            start = end

    def _watch(self) -> None:
        """Look for requests whose deadline has come, for as long as a thread is at work."""
        if not self._watched and self._scored:
            self._watched = True
            self._loop.call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        self._watched = False
        now = self._loop.time()
        for request in (*self._scored, *self._waiting):
            if request.deadline <= now and not request.answer.done():
                request.answer.set_exception(TooLate("the deadline has come"))
        while self._waiting and self._waiting[0].answer.done():  # in the order of their deadlines
            self.queued_events -= len(self._waiting.popleft().events)
        self._watch()


def _score(
    scoring: Callable[[], Scoring], requests: list[Request]
) -> tuple[Batch | Exception, float]:
    """The batch and how long it took; or what went wrong, which is every request's."""
    began = time.perf_counter()
    events = [event for request in requests for event in request.events]
    origins = [
        Origin(request.name, index) for request in requests for index in range(len(request.events))
    ]
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    try:
        batch = scoring().answer(events, origins, now)
    except Exception as error:  # noqa: BLE001 - a model may raise anything; it must be answered
        return error, time.perf_counter() - began
    return batch, time.perf_counter() - began
