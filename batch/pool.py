"""Days in several processes, each with a model and connections of its own.

A worker (`python -m batch`) reads what is to be done from standard input, then a day a line, and
answers each on standard output. Workers end with this process, however it ends.
"""

import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date
from typing import IO, Final

from batch.work import DayReport, Work
from model.errors import StreamscoreError
from runtime.child_process import bound
from runtime.stop import Stop

_LOOK_S: Final = 0.1
_STOP_S: Final = 15.0

Results = queue.SimpleQueue[DayReport | None]  # None: a worker is done


def in_processes(work: Work, todo: Sequence[date], workers: int, stop: Stop) -> Iterator[DayReport]:
    """What became of each day, as they are done; days that a stop left over are not told of.

    Raises StreamscoreError where no worker is left to do the rest.
    """
    waiting = list(reversed(todo))
    results: Results = queue.SimpleQueue()
    # Started here: the kernel ends them with the thread that started them.
    started = [_Worker(work) for _ in range(workers)]
    try:
        for worker in started:
            threading.Thread(target=worker.serve, args=(waiting, results), daemon=True).start()
        at_work = workers
        while at_work:
            if stop.requested():
                waiting.clear()
                for worker in started:
                    worker.stop()
            with suppress(queue.Empty):
                report = results.get(timeout=_LOOK_S)
                if report is None:
                    at_work -= 1
                else:
                    yield report
    finally:
        for worker in started:
            worker.end()
    if waiting:
        msg = f"all workers ended with {len(waiting)} days left to score"
        raise StreamscoreError(msg, hint=f"what they said stands above; {work.go_on}")


class _Worker:
    """One process, and the day that it has in hand."""

    def __init__(self, work: Work) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this program
            bound([sys.executable, "-m", "batch"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._first = work.to_json() + b"\n"

    def serve(self, waiting: list[date], results: Results) -> None:
        """Hand it day after day until none is left, or it ends."""
        day = None
        try:
            self._tell(self._first)
            while waiting:
                try:
                    day = waiting.pop()
                except IndexError:
                    break  # another one took it
                self._tell(f"{day}\n".encode())
                answer = _pipe(self._process.stdout).readline()
                if not answer:
                    text = f"{day}: the process that scored it ended (it can be started again)"
                    results.put(DayReport(str(day), text, ok=False))
                    return
                results.put(DayReport.from_json(answer))
        except OSError:
            if day is not None:
                text = f"{day}: the process that was to score it could not be reached"
                results.put(DayReport(str(day), text, ok=False))
        finally:
            results.put(None)

    def stop(self) -> None:
        """Let it finish the chunk in hand, and no more."""
        self._process.terminate()

    def end(self) -> None:
        """Wait for its end; by force where that takes too long."""
        with suppress(OSError):
            _pipe(self._process.stdin).close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_S)
        _pipe(self._process.stdout).close()

    def _tell(self, line: bytes) -> None:
        pipe = _pipe(self._process.stdin)
        pipe.write(line)
        pipe.flush()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise StreamscoreError("a worker has no pipe")
    return stream
