"""The section `online`: one model behind HTTP, ours and others', asked by the same client.

Every server runs for the whole section, and is idle while another one is asked; the client is a
process of its own. Overload and broken events are for ours and for those that batch as well.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Final

from benchmarks.cases import Case, broken
from benchmarks.lab import BenchmarkError
from benchmarks.names import (
    ONLINE_BEST,
    ONLINE_BROKEN,
    ONLINE_LISTS,
    ONLINE_MANY,
    ONLINE_ONE,
)
from benchmarks.online_client import OK, Asked, Group, Heard
from benchmarks.online_servers import Place, Server, common_server, own_servers, peer_servers
from benchmarks.process import Running, free_port
from benchmarks.throughput import Bench

_START_S: Final = 120.0
_LOOK_S: Final = 0.05
_BULK: Final = 1_000
_BULK_CONNECTIONS: Final = 4
_BULK_BODIES: Final = 8
_CONNECTIONS: Final = {ONLINE_MANY: 64, ONLINE_ONE: 1}
_GOOD, _BAD = 640, 20
_ROOM: Final = 64
_REFUSED: Final = "503"
_OVERLOAD: Final[Mapping[str, dict[str, str]]] = {
    "single": {
        "STREAMSCORE_SERVING__QUEUE_EVENTS": str(_ROOM),
        "STREAMSCORE_SERVING__MAX_ROWS": str(_ROOM),
    },
    "lists": {},
}


@dataclass(frozen=True, slots=True)
class Events:
    """The events that all are asked: those without a missing feature, which not all can be sent."""

    values: Sequence[bytes]
    expected: Sequence[float]

    def single(self, server: Server, connections: int) -> Group:
        """An event a request."""
        expected = [[self._right(server, value)] for value in self.expected]
        return Group(connections, [server.body(value) for value in self.values], expected)

    def lists(self, server: Server, connections: int) -> Group:
        """Requests with many events each."""
        bodies, expected = [], []
        for number in range(_BULK_BODIES):
            at = [(number * _BULK + each) % len(self.values) for each in range(_BULK)]
            bodies.append(b"[%b]" % b",".join(self.values[each] for each in at))
            expected.append([self._right(server, self.expected[each]) for each in at])
        return Group(connections, bodies, expected)

    def broken(self, server: Server, connections: int) -> Group:
        """Events that must be refused: a text where the model takes a number."""
        bodies = [server.body(broken(value)) for value in self.values[:connections]]
        return Group(connections, bodies, [None] * len(bodies))

    def _right(self, server: Server, prediction: float) -> float:
        return prediction if server.constant is None else server.constant


def measure_online(bench: Bench) -> None:
    """Every server by itself, round by round; then what is hard on ours."""
    case = bench.cases["flight"]
    events = _events(case, bench.plan.online_events)
    servers = [*own_servers(), common_server()]
    peers = [each for each in peer_servers(case.features) if each.peer in bench.peers]
    servers += peers
    with ExitStack() as stack:
        asked = [stack.enter_context(_up(bench, server, events)) for server in servers]
        for number in range(1, bench.plan.rounds + 1):
            bench.say(f"online, round {number}")
            for each in asked:
                _measure(bench, each, events)
        for each in asked:
            if each.server.name == ONLINE_BEST or each.server.peer is not None:
                _broken_events(bench, each, events)
    for kind, environ in _OVERLOAD.items():
        best = own_servers()[0]
        with _up(bench, best, events, environ) as each:
            _overload(bench, each, events, kind)


def _events(case: Case, count: int) -> Events:
    kept = [at for at, value in enumerate(case.values) if b"null" not in value][:count]
    return Events([case.values[at] for at in kept], [float(case.expected[at]) for at in kept])


def _measure(bench: Bench, asked: Asked, events: Events) -> None:
    plan, server = bench.plan, asked.server
    for subject, connections in _CONNECTIONS.items():
        group = events.single(server, connections)
        heard = asked.ask([group], plan.online_warm_up_s, plan.online_s)
        _enter(bench, subject, server.name, heard, 1)
    if server.takes_lists:
        group = events.lists(server, _BULK_CONNECTIONS)
        heard = asked.ask([group], plan.online_warm_up_s, plan.online_s)
        _enter(bench, ONLINE_LISTS, server.name, heard, _BULK)


def _enter(bench: Bench, subject: str, name: str, heard: Heard, events: int) -> None:
    if heard.count() != heard.count(OK):
        raise BenchmarkError(f"{name} did not answer every request with 200: {heard.groups}")
    figures = heard.figures(events)
    bench.results.add("online", subject, name, figures)
    bench.say(
        f"online: {subject}, {name}: {figures['requests_per_second']:,.0f} requests/s, "
        f"p99 {figures['p99_ms']:.1f} ms, CPU of a request: {figures['server_cpu_us']:,.0f} µs, "
        f"of the client {figures['client_cpu_us']:.0f} µs"
    )


def _broken_events(bench: Bench, asked: Asked, events: Events) -> None:
    """A few connections send nothing but broken events among many that send good ones."""
    good, bad = events.single(asked.server, _GOOD), events.broken(asked.server, _BAD)
    plan = bench.plan
    heard = asked.ask([good, bad], plan.online_warm_up_s, plan.online_s)
    refused = heard.count("4", group=1)
    figures = {
        **_under_strain(heard),
        "answered": heard.count(OK) / heard.count(),
        "bad_refused": refused / max(1, heard.count(group=1)),
    }
    _enter_strain(bench, ONLINE_BROKEN, asked.server.name, figures)


def _overload(bench: Bench, asked: Asked, events: Events, kind: str) -> None:
    """Ten times as many clients as the queue has room for."""
    plan = bench.plan
    many = 10 * _ROOM
    if kind == "single":
        group, subject = events.single(asked.server, many), f"{many} clients, room for {_ROOM}"
    else:
        many = plan.online_lists
        group = events.lists(asked.server, many)
        subject = f"{many} clients of {_BULK:,} events, room for 20"
    heard = asked.ask([group], plan.online_warm_up_s, plan.overload_s)
    figures = {
        **_under_strain(heard),
        "answered": (heard.count(OK) + heard.count(_REFUSED)) / heard.count(),
        "refused": heard.count(_REFUSED) / heard.count(),
    }
    _enter_strain(bench, subject, asked.server.name, figures)


def _under_strain(heard: Heard) -> dict[str, float]:
    before, begun, after = heard.rss_mib
    whole = heard.figures(1)
    kept = {name: whole[name] for name in ("requests_per_second", "p50_ms", "p99_ms")}
    return {
        **kept,
        "rss_mib_before": before,
        "rss_mib_begin": begun,
        "rss_mib_end": after,
        "rss_growth": (after / begun - 1) * 100,
    }


def _enter_strain(bench: Bench, subject: str, name: str, figures: dict[str, float]) -> None:
    bench.results.add("strain", subject, name, figures)
    bench.say(
        f"online: {subject}, {name}: {figures['requests_per_second']:,.0f} requests/s served, "
        f"p99 {figures['p99_ms']:.1f} ms, answered as they must be {figures['answered']:.4f}"
    )


@contextmanager
def _up(
    bench: Bench, server: Server, events: Events, environ: Mapping[str, str] | None = None
) -> Iterator[Asked]:
    """A server that answers, until the end of the block."""
    port = free_port()
    place = Place(bench.lab, bench.cases["flight"], port, environ or {})
    with Running(server.command(place)) as running:
        body = server.body(events.values[0])
        while not _answers(port, server.path, body):
            running.require_life(running.began + _START_S)
            time.sleep(_LOOK_S)
        bench.say(f"online: {server.name} is up")
        yield Asked(server, running, port, bench.lab.folder)


def _answers(port: int, path: str, body: bytes) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5.0)
    try:
        connection.request("POST", path, body, {"content-type": "application/json"})
        return connection.getresponse().status == int(OK)
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
