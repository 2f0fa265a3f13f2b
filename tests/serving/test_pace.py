"""Whether a batch is scored at once or in a thread, from what those before it took."""

from hypothesis import given
from hypothesis import strategies as st

from serving.pace import Pace

SIZES = st.integers(1, 100_000)
SECONDS = st.floats(1e-6, 100)


@given(SIZES)
def test_nothing_is_expected_before_anything_is_known(events: int) -> None:
    """The first batch is scored at once."""
    assert Pace().expected_s(events) == 0


@given(st.lists(st.tuples(SIZES, SECONDS), min_size=1), SIZES)
def test_a_slow_batch_counts_at_once(before: list[tuple[int, float]], events: int) -> None:
    """Whatever was before: after a batch that took longest, its size is expected to take that."""
    pace = Pace()
    for each, seconds in before:
        pace.took(each, seconds)
    longest = max(seconds for _, seconds in before) + 1
    pace.took(events, longest)
    assert pace.expected_s(events) == longest


@given(SIZES, SECONDS, SIZES)
def test_a_larger_batch_is_expected_to_take_as_long_at_least(
    events: int, seconds: float, other: int
) -> None:
    """A size that is not known takes what a smaller one did, or more; never less."""
    pace = Pace()
    pace.took(events, seconds)
    if other >= events:
        assert pace.expected_s(other) >= seconds
    assert pace.expected_s(other) >= 0


@given(SIZES, SECONDS)
def test_a_model_that_became_quick_is_believed_in_time(events: int, seconds: float) -> None:
    """One slow batch does not send all later ones to the thread for ever; but it does the next."""
    pace = Pace()
    pace.took(events, seconds)
    pace.took(events, 0.0)
    assert 0 < pace.expected_s(events) < seconds
    for _ in range(60):
        pace.took(events, 0.0)
    assert pace.expected_s(events) < seconds / 1_000
