"""When a process is to stop, and the deadline that it then has."""

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Final

import structlog

_log = structlog.get_logger("streamscore")

_LOOK_S: Final = 0.05


class Stop:
    """Tells when to stop: a signal came, or the `parent` process is gone, where one is given.

    A signal handler may interrupt any line, so it takes no lock: no logging, no Event.
    """

    def __init__(self, deadline_s: float, parent: int | None = None) -> None:
        self._deadline_s = deadline_s
        self._parent = parent
        self._reason: str | None = None
        self._told = False

    def on_signals(self) -> None:
        """Stop on SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self.request(signal.Signals(number).name)

    def request(self, reason: str = "the end") -> None:
        """Stop; if that takes longer than the deadline, the process ends all the same."""
        if self._reason is not None:
            return
        self._reason = reason
        last_resort = threading.Timer(self._deadline_s, _end_hard, [self._deadline_s])
        last_resort.daemon = True
        last_resort.start()

    def requested(self) -> bool:
        """Whether to stop."""
        if self._parent is not None and os.getppid() != self._parent:
            self.request("the supervisor is gone")
        if self._reason is not None and not self._told:
            self._told = True
            _log.info("stopping", reason=self._reason)
        return self._reason is not None

    def sleep(self, seconds: float) -> None:
        """Wait, but not beyond the stop."""
        end = time.monotonic() + seconds
        while not self.requested() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_S))


def _end_hard(deadline_s: float) -> None:
    # Nothing is lost: what was not committed is taken again by whoever comes next.
    _log.error("stopped_hard", reason=f"not done within {deadline_s:g} s")
    sys.stderr.flush()
    os._exit(1)
