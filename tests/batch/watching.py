"""How tests of the batch watch a job: its progress counted, a condition polled until it holds."""

import time
from collections.abc import Callable

import pytest

DEADLINE_S = 60.0


class Nobody:
    """Is told of progress, and counts it."""

    def __init__(self) -> None:
        self.total = self.done = 0.0

    def expect(self, total: float) -> None:
        self.total = total

    def advance(self, count: float = 1) -> None:
        self.done += count


def wait_until(holds: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll until a condition holds; fail with its name when it does not in time."""
    deadline = time.monotonic() + deadline_s
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {deadline_s:g} s: {what}")
        time.sleep(0.02)
