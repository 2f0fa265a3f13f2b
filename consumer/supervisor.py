"""Runs several workers as processes of their own: more cores, one Python each.

A worker that dies is started again, after a wait that grows; one that keeps dying ends them all.
"""

import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

import structlog

from consumer.worker import PERMANENT, Job
from model.errors import StreamscoreError
from runtime.retry import Backoff

_log = structlog.get_logger("streamscore.supervisor")

_LOOK_S: Final = 0.1
_WINDOW_S: Final = 300.0
_RESTARTS: Final = Backoff(base_s=0.1, cap_s=10.0, attempts=10)
_GRACE_S: Final = 2.0  # beyond the workers' own deadline


class CrashLoop(StreamscoreError):
    """A worker dies again and again."""


@dataclass(slots=True)
class _Worker:
    number: int
    process: subprocess.Popen[bytes] | None = None
    deaths: deque[float] = field(default_factory=deque)
    start_at: float = 0.0


def restart_delay_s(deaths: int) -> float | None:
    """How long to wait after the latest of `deaths` within the window; None to give up."""
    return None if _RESTARTS.exhausted(deaths) else _RESTARTS.delay_s(deaths, 0.5)


class Supervisor:
    """Keeps `count` workers running until SIGTERM or SIGINT."""

    def __init__(self, job: Job, count: int) -> None:
        self._job = job
        self._workers = [_Worker(number) for number in range(count)]
        self._stopping = False

    def run(self) -> None:
        """Start the workers and watch them.

        Raises:
            CrashLoop: a worker died too often; all were stopped.

        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)
        try:
            while not self._stopping:
                for worker in self._workers:
                    self._tend(worker)
                time.sleep(_LOOK_S)
        finally:
            self._stop()

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        # No log line: it may interrupt one that holds the logger's lock.
        self._stopping = True

    def _tend(self, worker: _Worker) -> None:
        now = time.monotonic()
        if worker.process is None:
            if now >= worker.start_at:
                self._start(worker)
            return
        status = worker.process.poll()
        if status is None:
            return
        worker.process = None
        worker.deaths.append(now)
        while worker.deaths[0] < now - _WINDOW_S:
            worker.deaths.popleft()
        delay_s = restart_delay_s(len(worker.deaths))
        _log.warning("worker_died", worker=worker.number, status=status, deaths=len(worker.deaths))
        if status == PERMANENT:
            raise CrashLoop(f"worker {worker.number} cannot start", hint="the log above says why")
        if delay_s is None:
            msg = f"worker {worker.number} died {len(worker.deaths)} times within "
            msg += f"{_WINDOW_S:g} s, the last time with exit status {status}"
            raise CrashLoop(msg, hint="the log above says why")
        worker.start_at = now + delay_s

    def _start(self, worker: _Worker) -> None:
        worker.process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "consumer", str(worker.number)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches it through us, once
        )
        if worker.process.stdin is not None:
            try:
                with worker.process.stdin as pipe:
                    pipe.write(_for_worker(self._job, worker.number).to_json())
            except BrokenPipeError:
                return  # it died already: the next look finds it
        _log.info("worker_spawned", worker=worker.number, pid=worker.process.pid)

    def _stop(self) -> None:
        running = [w.process for w in self._workers if w.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + self._job.settings.consumer.shutdown_timeout_s + _GRACE_S
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.error("worker_killed", pid=process.pid)
                process.kill()
                process.wait(_GRACE_S)


def _for_worker(job: Job, number: int) -> Job:
    """The job with this worker's own health port, where ports are set."""
    port = job.settings.health.port
    if not port:
        return job
    health = job.settings.health.model_copy(update={"port": port + number})
    settings = job.settings.model_copy(update={"health": health})
    return Job(settings, job.input, job.output, job.model, job.group)
