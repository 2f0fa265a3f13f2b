"""When what is done is committed, and when a silent broker is given up."""

from hypothesis import given
from hypothesis import strategies as st

from subscriber.progress import Progress, Watch


def test_nothing_done_is_never_due() -> None:
    """An idle reader does not commit."""
    progress = Progress(most=1, interval_s=0.0)

    assert not progress.due(1e9)
    assert progress.pending() == {}


def test_a_commit_is_due_after_the_interval_or_the_count() -> None:
    """Whichever comes first; the interval counts from the first that waits."""
    progress = Progress(most=3, interval_s=1.0)
    progress.done(0, 1, now=10.0)
    progress.done(0, 2, now=10.9)

    assert not progress.due(10.9)
    assert progress.due(11.0)

    progress.done(1, 7, now=10.9)
    assert progress.due(10.9)
    assert progress.pending() == {0: 2, 1: 7}


def test_what_was_done_while_a_commit_was_made_stays_pending() -> None:
    """Only what was sent counts as committed."""
    progress = Progress()
    progress.done(0, 5, now=0.0)
    progress.done(1, 5, now=0.0)
    sent = progress.pending()
    progress.done(1, 6, now=0.0)

    progress.committed(sent)

    assert progress.pending() == {1: 6}


def test_a_commit_that_failed_in_passing_is_tried_after_the_interval() -> None:
    """A coordinator that moves is not asked in a loop, and nothing is forgotten."""
    progress = Progress(most=1, interval_s=1.0)
    progress.done(0, 5, now=0.0)

    progress.postpone(now=2.0)

    assert not progress.due(2.9)
    assert progress.due(3.0)
    assert progress.pending() == {0: 5}


def test_partitions_that_moved_away_are_forgotten() -> None:
    """Another member commits them now: ours would set it back or push it ahead."""
    progress = Progress()
    progress.done(0, 5, now=0.0)
    progress.done(1, 6, now=0.0)

    progress.forget([1, 2])

    assert progress.pending() == {0: 5}


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 50), st.sampled_from(["done", "commit"])),
        max_size=40,
    )
)
def test_committed_offsets_never_go_back_and_never_ahead(
    steps: list[tuple[int, int, str]],
) -> None:
    """In any order of events: a commit is at most the highest done, and at least the last one."""
    progress = Progress()
    highest: dict[int, int] = {}
    committed: dict[int, int] = {}
    for partition, offset, step in steps:
        if step == "done":
            progress.done(partition, offset, now=0.0)
            highest[partition] = max(offset, highest.get(partition, 0))
        else:
            pending = progress.pending()
            assert all(pending[each] <= highest[each] for each in pending)
            committed |= pending
            progress.committed(pending)
            assert progress.pending() == {}


def test_a_silent_broker_is_asked_and_after_the_patience_given_up() -> None:
    """Quiet is no reason to stop; no answer for a minute is."""
    watch = Watch(now=0.0, quiet_s=10.0, patience_s=60.0)
    assert not watch.due(9.9)
    assert watch.due(10.0)

    watch.heard(12.0)
    assert not watch.due(21.0)

    watch.asked(22.0)
    assert not watch.due(31.0)
    assert watch.due(32.0)
    assert not watch.gone(71.9)
    assert watch.gone(72.0)
