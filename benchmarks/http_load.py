"""Asks an HTTP server over and over, and says how it answered: the client of the section `online`.

    python -m benchmarks.http_load LONGEST_S < job.json

A closed loop: each connection is kept, and asks again as soon as it has its answer. Requests are
encoded before the clock starts, and answers are read by their content-length alone: on two cores
a client that works as hard as the server would measure itself. It prints a line when it begins
to count, and what it counted as a line of JSON; after LONGEST_S it gives up.
"""

import asyncio
import faulthandler
import gc
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvloop

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_OK: Final = 200
_CLOSE: Final = 1e-9
_EVERY: Final = 16  # an answer in so many is compared with the model's own
_AGAIN_S: Final = 0.01
_LOOK_S: Final = 0.05
_PATIENCE_S: Final = 10.0  # beyond the time in which it asks; what waits longer is unanswered
Answer = list[float]


@dataclass(slots=True)
class Group:
    """Connections that ask alike, and what they were answered while it was counted.

    `wire` are the requests, `expected` the predictions of each (None: not looked at), which
    `where` leads to in an answer.
    """

    wire: Sequence[bytes]
    expected: Sequence[Answer | None]
    where: Sequence[str | int]
    connections: int
    statuses: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    asked_at: dict[object, float] = field(default_factory=dict)  # by connection

    def to_json(self) -> dict[str, Any]:
        """Counts, and latencies of the requests that were answered with 200."""
        ordered = sorted(self.latencies_s)
        figures = {"statuses": dict(self.statuses)}
        if not ordered:
            return figures
        return figures | {
            name: ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000
            for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99))
        }


@dataclass(slots=True)
class Window:
    """When answers count, by `perf_counter`; `wrong` is the last wrong answer."""

    begin: float
    wrong: str = ""


class Connection(asyncio.Protocol):
    """Asks one request after the other of its group."""

    def __init__(
        self, group: Group, window: Window, start: int, closed: Callable[[int], None]
    ) -> None:
        self._group = group
        self._window = window
        self._at = start % len(group.wire)
        self._closed = closed
        self._parts = bytearray()
        self._needed = 0
        self._asked_at = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first time."""
        self._transport = transport  # type: ignore[assignment] # a stream's is a Transport
        self._ask()

    def _ask(self) -> None:
        self._asked_at = self._group.asked_at[self] = time.perf_counter()
        self._transport.write(self._group.wire[self._at])

    def data_received(self, data: bytes) -> None:
        """Take an answer once it is whole, and ask again."""
        if self._parts:
            self._parts += data
            if len(self._parts) < self._needed:
                return
            data = bytes(self._parts)
        head, end = _LENGTH.search(data), data.find(b"\r\n\r\n")
        whole = end + 4 + int(head[1]) if head and end > 0 else 0
        if not whole or len(data) < whole:
            self._parts[:], self._needed = data, whole
            return
        self._parts.clear()
        now = time.perf_counter()
        self._note(data[9:12], data[end + 4 :], now)
        self._at = (self._at + 1) % len(self._group.wire)
        self._ask()

    def _note(self, status: bytes, body: bytes, now: float) -> None:
        if now < self._window.begin:
            return
        group = self._group
        group.statuses[status.decode()] += 1
        if int(status) != _OK:
            return
        group.latencies_s.append(now - self._asked_at)
        expected = group.expected[self._at]
        if expected is None or len(group.latencies_s) % _EVERY != 1:
            return
        found = predictions(json.loads(body), group.where)
        pairs = zip(found, expected, strict=len(found) == len(expected))
        if len(found) != len(expected) or any(abs(a - b) > _CLOSE * (1 + abs(b)) for a, b in pairs):
            self._window.wrong = f"{found[:3]} instead of {expected[:3]}"

    def connection_lost(self, _: Exception | None) -> None:
        """Come again: the server has closed the connection."""
        self._group.asked_at.pop(self, None)
        if time.perf_counter() >= self._window.begin:
            self._group.statuses["closed"] += 1
        self._closed(self._at + 1)


def predictions(answer: Any, where: Sequence[str | int]) -> Answer:  # noqa: ANN401 - JSON
    """What stands there in an answer, or in each answer of a list."""
    each = answer if isinstance(answer, list) else [answer]
    found = []
    for value in each:
        for step in where:
            value = value[step]  # noqa: PLW2901 - a step further in
        found.append(float(value))
    return found


async def ask(port: int, groups: Sequence[Group], warm_up_s: float, seconds: float) -> Any:  # noqa: ANN401 - JSON
    """Keep all connections asking for that long, and until there was an answer for each."""
    loop = asyncio.get_running_loop()
    window = Window(time.perf_counter() + warm_up_s)
    tasks: set[asyncio.Task[None]] = set()

    def connect(group: Group, start: int, wait_s: float = 0.0) -> None:
        def again(at: int) -> None:
            connect(group, at, _AGAIN_S)

        async def come() -> None:
            await asyncio.sleep(wait_s)
            protocol = Connection(group, window, start, again)
            try:
                await loop.create_connection(lambda: protocol, "127.0.0.1", port)
            except OSError:
                protocol.connection_lost(None)

        task = loop.create_task(come())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    for group in groups:
        for number in range(group.connections):
            connect(group, number * len(group.wire) // group.connections)
    await asyncio.sleep(max(0.0, window.begin - time.perf_counter()))
    print("begin", flush=True)
    used = time.process_time()
    await asyncio.sleep(seconds)
    await _each_answered(groups)
    asked_s = time.perf_counter() - window.begin
    used = time.process_time() - used
    _count_unanswered(groups)
    if window.wrong:
        sys.exit(f"a prediction is not the model's: {window.wrong}")
    return {"seconds": asked_s, "cpu_s": used, "groups": [group.to_json() for group in groups]}


async def _each_answered(groups: Sequence[Group]) -> None:
    """Wait, within reason, until there are as many answers as connections."""
    longest = time.perf_counter() + _PATIENCE_S
    while time.perf_counter() < longest:
        if all(group.statuses.total() >= group.connections for group in groups):
            return
        await asyncio.sleep(_LOOK_S)


def _count_unanswered(groups: Sequence[Group]) -> None:
    longest = time.perf_counter() - _PATIENCE_S
    for group in groups:
        late = sum(asked < longest for asked in group.asked_at.values())
        if late:
            group.statuses["unanswered"] = late


def main() -> None:
    """Do what the job on standard input says."""
    faulthandler.dump_traceback_later(float(sys.argv[1]), exit=True)
    job = json.load(sys.stdin)
    groups = [_group(given) for given in job["groups"]]
    asking = ask(job["port"], groups, job["warm_up_s"], job["seconds"])
    gc.freeze()  # no collection walks the requests
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(asking)), flush=True)


def _group(given: dict[str, Any]) -> Group:
    asked = json.loads(Path(given["file"]).read_text(encoding="utf-8"))
    wire = [_request(given["path"], body.encode()) for body in asked["bodies"]]
    return Group(wire, asked["expected"], given["where"], given["connections"])


def _request(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    main()
