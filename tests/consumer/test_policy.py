"""consumer/policy.py: what happens after a batch could not be written."""

import pytest

from consumer.policy import GiveUp, TryAgain, after_failure
from model.errors import BatchUndone, BrokerError, Fenced, OutcomeUnknown
from runtime.retry import Backoff

BACKOFF = Backoff(base_s=0.1, cap_s=5.0, attempts=3)


def test_an_undone_batch_is_tried_again_with_the_same_producer() -> None:
    """Nothing of an aborted batch was seen: no new producer is needed."""
    decision = after_failure(BatchUndone("aborted"), 1, BACKOFF, random=0.5)
    assert decision == TryAgain(delay_s=0.1, reopen=False)


@pytest.mark.parametrize("error", [OutcomeUnknown("lost"), Fenced("fenced"), BrokerError("away")])
def test_an_unknown_outcome_is_settled_by_a_new_producer(error: BrokerError) -> None:
    """Only the group's committed offsets tell what became of the batch."""
    decision = after_failure(error, 2, BACKOFF, random=0.5)
    assert isinstance(decision, TryAgain)
    assert decision.reopen
    assert decision.delay_s > 0.1


def test_failures_in_a_row_end_the_service_and_say_why() -> None:
    """Infrastructure that stays broken is the operator's: no endless silent retry."""
    decision = after_failure(BatchUndone("disk full"), 3, BACKOFF, random=0.5)
    assert decision == GiveUp("gave up after 3 failures in a row: disk full")
