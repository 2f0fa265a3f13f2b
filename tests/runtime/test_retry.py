"""Waiting between attempts: it doubles, it is capped, it ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.retry import Backoff


def test_without_jitter_the_wait_doubles_up_to_the_cap() -> None:
    """0.1, 0.2, 0.4 … and never more than the cap."""
    backoff = Backoff(base_s=0.1, cap_s=0.5, attempts=6, jitter=0.0)
    waits = [backoff.delay_s(attempt, 0.5) for attempt in range(1, 7)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5, 0.5])


def test_jitter_spreads_the_wait_both_ways() -> None:
    """Half of the draws wait less, half of them more."""
    backoff = Backoff(base_s=1.0, cap_s=10.0, attempts=5, jitter=0.2)
    assert backoff.delay_s(1, 0.0) == pytest.approx(0.8)
    assert backoff.delay_s(1, 0.5) == pytest.approx(1.0)
    assert backoff.delay_s(1, 0.999999) == pytest.approx(1.2, abs=1e-4)


def test_the_last_attempt_exhausts_it() -> None:
    """`attempts` counts the first try too; with none allowed it is exhausted at once."""
    backoff = Backoff(base_s=1.0, cap_s=1.0, attempts=3)
    assert [backoff.exhausted(attempt) for attempt in (1, 2, 3, 4)] == [False, False, True, True]
    assert Backoff(base_s=1.0, cap_s=1.0, attempts=0).exhausted(1)


@given(
    attempt=st.integers(min_value=0, max_value=10**9),
    random=st.floats(min_value=0, max_value=1, exclude_max=True),
    jitter=st.floats(min_value=0, max_value=1),
)
def test_every_wait_is_between_zero_and_the_cap(attempt: int, random: float, jitter: float) -> None:
    """However often it failed and whatever was drawn."""
    backoff = Backoff(base_s=0.05, cap_s=5.0, attempts=3, jitter=jitter)
    assert 0 <= backoff.delay_s(attempt, random) <= 5.0


@given(attempt=st.integers(min_value=1, max_value=100))
def test_a_later_attempt_never_waits_less(attempt: int) -> None:
    """For the same draw."""
    backoff = Backoff(base_s=0.05, cap_s=5.0, attempts=3)
    assert backoff.delay_s(attempt + 1, 0.3) >= backoff.delay_s(attempt, 0.3)


@pytest.mark.parametrize(
    ("base_s", "cap_s", "jitter"), [(0.0, 1.0, 0.2), (2.0, 1.0, 0.2), (1.0, 1.0, 1.5)]
)
def test_a_policy_that_makes_no_sense_is_refused(
    base_s: float, cap_s: float, jitter: float
) -> None:
    """A wait of nothing would spin, a jitter above 1 would wait less than nothing."""
    with pytest.raises(ValueError, match=r"does not hold|between 0 and 1"):
        Backoff(base_s=base_s, cap_s=cap_s, attempts=1, jitter=jitter)
