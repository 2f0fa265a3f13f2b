"""A process under measurement: started, watched in /proc, stopped by its own id.

A process says on standard error, as a line of JSON, when it begins to work ("worker_started"):
what it used before that, for its start, is not counted.
"""

import json
import os
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self

from benchmarks.lab import BenchmarkError
from runtime.child_process import bound

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_STOP_S: Final = 20.0
_KILL_S: Final = 5.0
_LOOK_S: Final = 0.01
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Command:
    """What is to be run; `job` goes to its standard input, `environ` on top of a clean one."""

    arguments: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    job: bytes = b""
    workers: int = 1


class Running:
    """A process and its children, from its start until the end of the block."""

    def __init__(self, command: Command) -> None:
        self._workers = command.workers
        self._said: deque[str] = deque(maxlen=15)
        self._pids: dict[int, int] = {}
        self._used: dict[int, float] = {}
        self._assigned: dict[int, float] = {}
        self.began = time.monotonic()
        self._process = subprocess.Popen(
            bound(command.arguments),
            env=clean_environ(command.environ),
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._listen, name="stderr", daemon=True)
        self._reader.start()
        with suppress(BrokenPipeError), _pipe(self._process.stdin) as pipe:
            pipe.write(command.job)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_started(self, timeout_s: float) -> None:
        """Until every worker has begun."""
        deadline = time.monotonic() + timeout_s
        while len(self._used) < self._workers:
            self.require_life(deadline)
            time.sleep(_LOOK_S)

    def require_life(self, deadline: float) -> None:
        """Raise BenchmarkError once it has ended or the deadline has passed."""
        if self._process.poll() is not None:
            raise BenchmarkError(
                f"a contestant ended with {self._process.returncode}: {self.last_words}"
            )
        if time.monotonic() > deadline:
            raise BenchmarkError(f"a contestant was not done in time: {self.last_words}")

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        return self._process.pid

    @property
    def last_words(self) -> str:
        """The end of what it said."""
        return "\n".join(self._said)

    @property
    def all_assigned(self) -> float:
        """The Unix time when the last of its workers was given partitions; 0 if they are not."""
        times = [*self._assigned.values()]
        return max(times) if len(times) == self._workers else 0.0

    def cpu_s(self) -> float:
        """What its workers have used since they began to work, user and system."""
        return sum(max(0.0, cpu_s(pid) - used) for pid, used in list(self._used.items()))

    def memory_mib(self, entry: str) -> float:
        """The workers' VmRSS (now) or VmHWM (at most so far)."""
        return sum(memory_mib(pid, entry) for pid in list(self._used))

    def stop(self) -> None:
        """End it: SIGTERM, and by force after a while."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(_KILL_S)
        self._reader.join(_KILL_S)
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _listen(self) -> None:
        for line in self._process.stderr or ():
            text = line.decode(errors="replace").rstrip()
            self._said.append(text)
            with suppress(ValueError, BenchmarkError):
                entry = json.loads(text) if text.startswith("{") else {}
                self._note(entry)

    def _note(self, entry: dict[str, Any]) -> None:
        worker = int(entry.get("worker", 0))
        match entry.get("event"):
            case "worker_spawned":
                self._pids[worker] = int(entry["pid"])
            case "worker_started":
                pid = self._pids.get(worker, self._process.pid)
                self._used[pid] = cpu_s(pid)
            case "partitions_assigned" if entry["partitions"] and worker not in self._assigned:
                self._assigned[worker] = time.time()
            case _:
                pass


def clean_environ(more: Mapping[str, str]) -> dict[str, str]:
    """Ours without settings of Streamscore and of native threads, and `more`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("STREAMSCORE_") and name not in _THREADS
    }
    return {**kept, **more}


def free_port() -> int:
    """A port that nothing listens on just now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def with_children(pid: int) -> list[int]:
    """A process and all that it has started, and they, as far as they live."""
    found = [pid]
    for each in found:
        for file in Path(f"/proc/{each}/task").glob("*/children"):
            with suppress(OSError):  # a thread that has ended
                found += map(int, file.read_text(encoding="utf-8").split())
    return found


def cpu_s(pid: int) -> float:
    """The processor time of a process, user and system; its finest unit is 10 ms."""
    fields = _proc(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def memory_mib(pid: int, entry: str) -> float:
    """VmRSS or VmHWM of a process, not from getrusage: that has the parent's after a fork."""
    for line in _proc(pid, "status").splitlines():
        if line.startswith(f"{entry}:"):
            return int(line.split()[1]) / 1024
    raise BenchmarkError(f"process {pid} has no {entry}")


def _proc(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8")
    except OSError as error:
        raise BenchmarkError(f"process {pid} has ended") from error


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise BenchmarkError("a contestant has no standard input")
    return stream
