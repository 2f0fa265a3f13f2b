"""How a reaction is tried until it succeeded, its deadline passed, or the program is to stop.

It must not know what a reaction does: webhooks are in subscriber/webhook.py, commands in
subscriber/program.py. Both may see a prediction again; its place names it (`reference`).
"""

import logging
from typing import Final, Protocol

from model.errors import ReactionFailed
from runtime.insistence import Allowance, GaveUp, Patience, Refusal, Stopped, insist
from subscriber.log import log
from subscriber.prediction import Prediction

#: How far past its deadline a reaction can come: an attempt that does not end at once when told to.
LONGEST_OVERTIME_S: Final = 10.0


class Attempt(Protocol):
    """One try at a reaction."""

    @property
    def name(self) -> str:
        """What is tried, for messages; holds no secrets."""

    def __call__(self, prediction: Prediction, allowance: Allowance) -> Refusal | None:
        """Try once within the allowance; None when the prediction was accepted."""


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

        def attempt(allowance: Allowance) -> Refusal | None:
            return self._attempt(prediction, allowance)

        try:
            return insist(attempt, self._patience, self._told, self._stopped)
        except GaveUp as error:
            raise ReactionFailed(
                f"{self._attempt.name} did not accept the prediction of the event "
                f"{prediction.reference} {error}",
                hint="it is not committed: mend the other side and start again with the same "
                "group, and it is delivered again",
            ) from None

    def _told(self, refusal: Refusal, attempt: int, pause_s: float) -> None:
        log(
            logging.WARNING,
            "reaction_retried",
            reaction=self._attempt.name,
            reason=refusal.reason,
            attempt=attempt,
            pause_s=round(pause_s, 3),
        )
