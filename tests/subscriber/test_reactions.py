"""How long and how often a reaction is tried: the policy, and the loop around an attempt."""

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import ReactionFailed
from runtime.insistence import Allowance, Patience, Refusal
from runtime.retry import Backoff
from subscriber.prediction import Prediction, decode
from subscriber.reactions import Insistent

PREDICTION = decode(
    json.dumps(
        {
            "id": "a",
            "prediction": 1,
            "model": "m",
            "version": "1",
            "source": {"topic": "flights", "partition": 2, "offset": 8812},
            "scored_at": "2013-12-01T10:15:00Z",
        }
    ).encode()
)
QUICK = Backoff(base_s=0.01, cap_s=0.02, attempts=1000)


class Fake:
    """An attempt that answers from a list; the last answer again and again."""

    name = "the fake"

    def __init__(self, *answers: Refusal | None, before: Callable[[], None] = lambda: None) -> None:
        self.answers = list(answers)
        self.allowances: list[float] = []
        self._before = before

    def __call__(self, prediction: Prediction, allowance: Allowance) -> Refusal | None:
        assert prediction is PREDICTION
        self._before()
        self.allowances.append(allowance.seconds)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def test_a_refusal_that_passes_is_tried_again() -> None:
    """Two failures and a success: accepted, after three attempts."""
    attempt = Fake(Refusal("it answered 503"), Refusal("no connection"), None)

    assert Insistent(attempt, Patience(10.0, QUICK))(PREDICTION)
    assert len(attempt.allowances) == 3


def test_a_final_refusal_fails_at_once() -> None:
    """What no repetition can mend is not repeated; the error names the event and the way on."""
    attempt = Fake(Refusal("it answered 404", final=True))

    with pytest.raises(ReactionFailed, match=r"flights/2/8812.*tried once.*answered 404") as caught:
        Insistent(attempt, Patience(10.0, QUICK))(PREDICTION)

    assert len(attempt.allowances) == 1
    assert "delivered again" in caught.value.hint


def test_the_deadline_ends_the_attempts() -> None:
    """A side that never accepts fails the reaction when the deadline has passed, not later."""
    attempt = Fake(Refusal("no connection"))
    began = time.monotonic()

    with pytest.raises(ReactionFailed, match=r"tried \d+ times"):
        Insistent(attempt, Patience(0.5, QUICK))(PREDICTION)

    assert 0.4 <= time.monotonic() - began < 2.0
    assert len(attempt.allowances) > 5
    assert all(0 <= seconds <= 0.5 / 3 + 0.001 for seconds in attempt.allowances)


def test_the_error_names_what_came_before_the_last_attempt() -> None:
    """An attempt that the deadline cut short does not hide why the ones before it failed."""
    attempt = Fake(Refusal("it exited with 7"), Refusal("cut short", final=True))

    with pytest.raises(ReactionFailed, match="cut short; before that: it exited with 7"):
        Insistent(attempt, Patience(10.0, QUICK))(PREDICTION)


def test_the_wait_that_the_other_side_asks_for_is_kept() -> None:
    """`Retry-After` is longer than the backoff: it counts."""
    attempt = Fake(Refusal("it answered 429", wait_s=0.3), None)
    began = time.monotonic()

    assert Insistent(attempt, Patience(10.0, QUICK))(PREDICTION)
    assert time.monotonic() - began >= 0.3


def test_a_stop_ends_the_waiting_and_leaves_the_prediction_undone() -> None:
    """A program that is to stop neither waits out a pause nor claims success."""
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True

    attempt = Fake(Refusal("it answered 503", wait_s=60.0), before=stop)
    began = time.monotonic()

    assert not Insistent(attempt, Patience(90.0), stopped=lambda: stopped)(PREDICTION)
    assert not Insistent(attempt, Patience(90.0), stopped=lambda: stopped)(PREDICTION)
    assert len(attempt.allowances) == 1
    assert time.monotonic() - began < 5.0


@given(
    deadline_s=st.floats(0.1, 1000),
    attempt=st.integers(1, 10_000),
    share=st.floats(0, 1.5),
    asked_s=st.floats(0, 1e6),
    drawn=st.floats(0, 1, exclude_max=True),
)
def test_no_pause_leaves_the_deadline(
    deadline_s: float, attempt: int, share: float, asked_s: float, drawn: float
) -> None:
    """Whatever is asked for: a pause ends before the deadline, with time for one more attempt."""
    patience = Patience(deadline_s)
    elapsed_s = deadline_s * share

    pause_s = patience.pause_s(attempt, elapsed_s, asked_s, drawn)

    if pause_s is None:
        assert elapsed_s >= deadline_s * 0.8
    else:
        assert pause_s > 0
        assert elapsed_s + pause_s < deadline_s
        assert patience.attempt_s(elapsed_s + pause_s) > 0
    assert 0 <= patience.attempt_s(elapsed_s) <= deadline_s / 3


def test_an_attempt_in_hand_is_given_a_short_time_after_a_stop() -> None:
    """A stop neither waits for an attempt that may take minutes, nor cuts it off at once."""
    began = time.monotonic()
    allowance = Allowance(60.0, stopped=lambda: True, grace_s=0.5)

    def never(seconds: float) -> bool:
        time.sleep(seconds)
        return False

    assert not allowance.wait_for(never)
    assert 0.5 <= time.monotonic() - began < 5.0
