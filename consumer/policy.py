"""What to do when a batch could not be written: pure decisions, without a clock or a sleep."""

from dataclasses import dataclass

from model.errors import BatchUndone, BrokerError
from runtime.retry import Backoff


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Wait, then take the batch's events again.

    `reopen`: what became of the batch is not known, so a new producer settles it first and the
    group's committed offsets say where to go on.
    """

    delay_s: float
    reopen: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Stop the process: the failure does not pass."""

    message: str


def after_failure(
    error: BrokerError, failures: int, backoff: Backoff, random: float
) -> TryAgain | GiveUp:
    """Decide after the `failures`-th failure in a row; `random` is in [0, 1).

    A producer that was fenced is made anew as well: a transaction that timed out looks the same
    as a second owner of the transactional id, and only a repetition tells them apart.
    """
    if backoff.exhausted(failures):
        return GiveUp(f"gave up after {failures} failures in a row: {error}")
    return TryAgain(
        delay_s=backoff.delay_s(failures, random),
        reopen=not isinstance(error, BatchUndone),
    )
