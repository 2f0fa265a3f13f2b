"""Lets a client of its own process ask a server, and says what it was told and what that cost."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import orjson

from benchmarks.lab import BenchmarkError, name_for
from benchmarks.online_servers import Server
from benchmarks.process import Running, clean_environ, cpu_s, memory_mib, with_children
from runtime.child_process import bound

OK: Final = "200"
_CLIENT_S: Final = 60.0  # beyond the time in which it asks
_LIFE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Group:
    """Connections that ask alike: bodies, and the predictions that each must be answered with."""

    connections: int
    bodies: Sequence[bytes]
    expected: Sequence[list[float] | None]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a client was told within its window, and what the server used for it."""

    groups: list[dict[str, Any]]
    seconds: float
    client_cpu_s: float
    server_cpu_s: float
    rss_mib: tuple[float, float, float]  # before the first request, and over the window

    def count(self, status: str = "", group: int = 0) -> int:
        """How many requests were answered by a status that begins so."""
        counted: dict[str, int] = self.groups[group]["statuses"]
        return sum(number for each, number in counted.items() if each.startswith(status))

    def figures(self, events: int) -> dict[str, float]:
        """Of requests with so many events each."""
        asked = sum(self.count(group=number) for number in range(len(self.groups)))
        if not self.count(OK):
            raise BenchmarkError(f"no request was answered with 200: {self.groups}")
        rate = self.count(OK) / self.seconds
        return {
            "requests_per_second": rate,
            **({"events_per_second": rate * events} if events > 1 else {}),
            "p50_ms": self.groups[0]["p50_ms"],
            "p99_ms": self.groups[0]["p99_ms"],
            "server_cpu_us": self.server_cpu_s / asked * 1e6,
            "client_cpu_us": self.client_cpu_s / asked * 1e6,
            "rss_mib": self.rss_mib[-1],
        }


@dataclass(slots=True)
class Asked:
    """A server that is up."""

    server: Server
    running: Running
    port: int
    folder: Path

    def ask(self, groups: Sequence[Group], warm_up_s: float, seconds: float) -> Heard:
        """Let a client ask for so long; every sampled prediction must be the model's."""
        job = {
            "port": self.port,
            "warm_up_s": warm_up_s,
            "seconds": seconds,
            "groups": [self._given(group) for group in groups],
        }
        idle = self._rss_mib()
        with _client(job, warm_up_s + seconds + _CLIENT_S) as said:
            _line(said)
            used, begun = self._cpu_s(), self._rss_mib()
            found = json.loads(_line(said))
            used, after = self._cpu_s() - used, self._rss_mib()
        self.running.require_life(time.monotonic() + _LIFE_S)
        rss_mib = (idle, begun, after)
        return Heard(found["groups"], found["seconds"], found["cpu_s"], used, rss_mib)

    def _given(self, group: Group) -> dict[str, Any]:
        file = self.folder / name_for("requests")
        bodies = [body.decode() for body in group.bodies]
        file.write_bytes(orjson.dumps({"bodies": bodies, "expected": list(group.expected)}))
        return {
            "connections": group.connections,
            "file": str(file),
            "path": self.server.path,
            "where": list(self.server.where),
        }

    def _cpu_s(self) -> float:
        return sum(map(cpu_s, with_children(self.running.pid)))

    def _rss_mib(self) -> float:
        return sum(memory_mib(pid, "VmRSS") for pid in with_children(self.running.pid))


@contextmanager
def _client(job: dict[str, Any], longest_s: float) -> Iterator[IO[bytes]]:
    """The lines that a client prints: that its window begins, and what it heard."""
    process = subprocess.Popen(
        bound([sys.executable, "-m", "benchmarks.http_load", str(longest_s)]),
        env=clean_environ({}),
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        try:
            if process.stdin is None or process.stdout is None:
                raise BenchmarkError("the client has no pipes")
            process.stdin.write(json.dumps(job).encode())
            process.stdin.close()
            yield process.stdout
        finally:
            process.kill()


def _line(said: IO[bytes]) -> bytes:
    line = said.readline()
    if not line:
        raise BenchmarkError("the client of the online section failed: see above")
    return line
