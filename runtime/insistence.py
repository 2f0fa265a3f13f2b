"""How something that may fail is tried until it succeeded or its deadline passed.

It must not know what is tried: a webhook, a command, for a prediction or for an alert.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from runtime.retry import Backoff

_SLICE_S: Final = 0.1  # how soon a stop is noticed
_GRACE_S: Final = 5.0  # what an attempt in hand may still take once the program is to stop
_LAST_SHARE: Final = 1 / 6  # of the deadline, kept for a last attempt

_BACKOFF: Final = Backoff(base_s=0.2, cap_s=5.0, attempts=1_000_000)  # the deadline ends it

Stopped = Callable[[], bool]
Told = Callable[["Refusal", int, float], None]  # of an attempt that failed: which, and the pause


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an attempt failed, in words without secrets; `wait_s` is how long the other side asks."""

    reason: str
    final: bool = False  # trying again is of no use
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Patience:
    """The policy: one deadline for all attempts at a prediction, a third of it for each.

    Pure: `elapsed_s` is what has passed since the first attempt began.
    """

    deadline_s: float = 30.0
    backoff: Backoff = _BACKOFF

    def attempt_s(self, elapsed_s: float) -> float:
        """Tell how long the next attempt may take."""
        return max(0.0, min(self.deadline_s / 3, self.deadline_s - elapsed_s))

    def pause_s(self, attempt: int, elapsed_s: float, asked_s: float, drawn: float) -> float | None:
        """Tell how long to wait after the `attempt`-th failed; None: give up.

        As long as the other side asks, but never so long that no last attempt fits the deadline.
        """
        left_s = self.deadline_s * (1 - _LAST_SHARE) - elapsed_s
        wanted_s = max(asked_s, self.backoff.delay_s(attempt, drawn))
        return min(wanted_s, left_s) if left_s > 0 else None


@dataclass(frozen=True, slots=True)
class Allowance:
    """How long an attempt may take: `seconds`, and `grace_s` from when the program is to stop."""

    seconds: float
    stopped: Stopped
    grace_s: float = _GRACE_S

    def wait_for(self, finished: Callable[[float], bool]) -> bool:
        """Call `finished(slice_s)`, which waits, until it is true or the time is up."""
        end = time.monotonic() + self.seconds
        stopping = False
        while (left_s := end - time.monotonic()) > 0:
            if finished(min(left_s, _SLICE_S)):
                return True
            if not stopping and self.stopped():
                stopping = True
                end = min(end, time.monotonic() + self.grace_s)
        return False


class GaveUp(Exception):
    """It was refused for good, or the deadline passed; the message says how often and why."""


def insist(
    attempt: Callable[[Allowance], Refusal | None],
    patience: Patience,
    told: Told,
    stopped: Stopped = lambda: False,
) -> bool:
    """Try again, with growing pauses, while the patience lasts: True when it succeeded.

    False only after a stop. Raises GaveUp. `told` hears of each attempt that is made again.
    """
    began = time.monotonic()
    attempts, earlier = 0, ""
    while not stopped():
        attempts += 1
        left_s = patience.attempt_s(time.monotonic() - began)
        refusal = attempt(Allowance(left_s, stopped))
        if refusal is None:
            return True
        if stopped() and not refusal.final:
            break
        elapsed_s = time.monotonic() - began
        pause_s = _pause_s(patience, refusal, attempts, elapsed_s)
        if pause_s is None:
            raise GaveUp(_in_words(attempts, elapsed_s, refusal.reason, earlier))
        earlier = refusal.reason
        told(refusal, attempts, pause_s)
        _rest(pause_s, stopped)
    return False


def _pause_s(patience: Patience, refusal: Refusal, attempts: int, elapsed_s: float) -> float | None:
    if refusal.final:
        return None
    drawn = random.random()  # noqa: S311 - spreads retries, guards nothing
    return patience.pause_s(attempts, elapsed_s, refusal.wait_s, drawn)


def _rest(pause_s: float, stopped: Stopped) -> None:
    end = time.monotonic() + pause_s
    while not stopped() and (left_s := end - time.monotonic()) > 0:
        time.sleep(min(left_s, _SLICE_S))


def _in_words(attempts: int, elapsed_s: float, reason: str, earlier: str) -> str:
    tried = "once" if attempts == 1 else f"{attempts} times in {elapsed_s:.1f} s"
    if earlier not in {"", reason}:  # the last attempt may have been cut short by the deadline
        reason = f"{reason}; before that: {earlier}"
    return f"(tried {tried}): {reason}"
