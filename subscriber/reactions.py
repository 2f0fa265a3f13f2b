"""How a reaction is tried until it succeeded, its deadline passed, or the program is to stop.

It must not know what a reaction does: webhooks are in subscriber/webhook.py, commands in
subscriber/program.py. Both may see a prediction again; its place names it (`reference`).
"""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from model.errors import ReactionFailed
from runtime.retry import Backoff
from subscriber.log import log
from subscriber.prediction import Prediction

_SLICE_S: Final = 0.1  # how soon a stop is noticed
_GRACE_S: Final = 5.0  # what an attempt in hand may still take once the program is to stop
_LAST_SHARE: Final = 1 / 6  # of the deadline, kept for a last attempt

#: How far past its deadline a reaction can come: an attempt that does not end at once when told to.
LONGEST_OVERTIME_S: Final = 10.0
_BACKOFF: Final = Backoff(base_s=0.2, cap_s=5.0, attempts=1_000_000)  # the deadline ends it

Stopped = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an attempt failed, in words without secrets; `wait_s` is how long the other side asks."""

    reason: str
    final: bool = False  # trying again is of no use
    wait_s: float = 0.0


class Attempt(Protocol):
    """One try at a reaction."""

    @property
    def name(self) -> str:
        """What is tried, for messages; holds no secrets."""

    def __call__(self, prediction: Prediction, allowance: "Allowance") -> Refusal | None:
        """Try once within the allowance; None when the prediction was accepted."""


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


class Insistent:
    """A reaction that is tried again, with growing pauses, while its patience lasts."""

    def __init__(
        self, attempt: Attempt, patience: Patience, *, stopped: Stopped = lambda: False
    ) -> None:
        self._attempt = attempt
        self._patience = patience
        self._stopped = stopped

    def __call__(self, prediction: Prediction) -> bool:
        """React: True when the prediction was accepted, False when it has to wait for the next run.

        False only after a stop. Raises ReactionFailed when the other side refused for good, or the
        deadline passed.
        """
        began = time.monotonic()
        attempts, earlier = 0, ""
        while not self._stopped():
            attempts += 1
            left_s = self._patience.attempt_s(time.monotonic() - began)
            refusal = self._attempt(prediction, Allowance(left_s, self._stopped))
            if refusal is None:
                return True
            if self._stopped() and not refusal.final:
                break
            elapsed_s = time.monotonic() - began
            pause_s = self._pause_s(refusal, attempts, elapsed_s)
            if pause_s is None:
                raise self._failed(prediction, attempts, elapsed_s, refusal.reason, earlier)
            earlier = refusal.reason
            log(
                logging.WARNING,
                "reaction_retried",
                reaction=self._attempt.name,
                reason=refusal.reason,
                attempt=attempts,
                pause_s=round(pause_s, 3),
            )
            self._rest(pause_s)
        return False

    def _pause_s(self, refusal: Refusal, attempts: int, elapsed_s: float) -> float | None:
        if refusal.final:
            return None
        drawn = random.random()  # noqa: S311 - spreads retries, guards nothing
        return self._patience.pause_s(attempts, elapsed_s, refusal.wait_s, drawn)

    def _rest(self, pause_s: float) -> None:
        end = time.monotonic() + pause_s
        while not self._stopped() and (left_s := end - time.monotonic()) > 0:
            time.sleep(min(left_s, _SLICE_S))

    def _failed(
        self, prediction: Prediction, attempts: int, elapsed_s: float, reason: str, earlier: str
    ) -> ReactionFailed:
        tried = "once" if attempts == 1 else f"{attempts} times in {elapsed_s:.1f} s"
        if earlier not in {"", reason}:  # the last attempt may have been cut short by the deadline
            reason = f"{reason}; before that: {earlier}"
        return ReactionFailed(
            f"{self._attempt.name} did not accept the prediction of the event "
            f"{prediction.reference} (tried {tried}): {reason}",
            hint="it is not committed: mend the other side and start again with the same group, "
            "and it is delivered again",
        )
