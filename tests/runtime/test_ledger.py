"""The ledger's promise: it finds each event's answers, and what is wrong with them."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.ledger import EXAMPLES, Answers, Audit, Ledger

Source = tuple[int, int]


def ints(values: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def answers(
    partition: int, sources: Sequence[Source], *, topic: str = "predictions", first: int = 0
) -> Answers:
    columns = np.array(sources, np.int64).reshape(-1, 2)
    offsets = np.arange(first, first + len(sources), dtype=np.int64)
    return Answers(topic, partition, offsets, columns[:, 0], columns[:, 1])


def ledger_of(events: dict[int, Sequence[int]], *, copartitioned: bool = True) -> Ledger:
    ledger = Ledger("events", copartitioned=copartitioned)
    for partition, offsets in events.items():
        ledger.add_events(partition, ints(offsets), np.zeros(len(offsets), np.bool_))
    return ledger


def test_each_event_answered_once_in_order_is_fine() -> None:
    """Predictions and dead letters together answer every event: the audit is ok."""
    # given two partitions with the holes that transactions leave
    ledger = ledger_of({0: [0, 1, 2, 4], 1: [7, 9]})
    # when each event is answered
    ledger.add_predictions(answers(0, [(0, 0), (0, 2), (0, 4)]))
    ledger.add_predictions(answers(1, [(1, 7), (1, 9)]))
    ledger.add_dead_letters(answers(0, [(0, 1)], topic="events.dlq"))
    # then nothing is wrong
    audit = ledger.audit()
    assert audit.ok
    assert (audit.events, audit.predictions, audit.dead_letters) == (6, 5, 1)
    assert audit.examples == {}


def test_an_unanswered_event_is_lost() -> None:
    """An event without an answer is counted and named."""
    ledger = ledger_of({0: [0, 1, 3]})
    ledger.add_predictions(answers(0, [(0, 0), (0, 3)]))
    audit = ledger.audit()
    assert (audit.lost, audit.ok) == (1, False)
    assert audit.examples == {"lost": ("events/0/1",)}


@pytest.mark.parametrize("second", ["predictions", "dead letters"])
def test_a_second_answer_doubles_the_event_only(second: str) -> None:
    """An event with two answers, of whichever kind, is doubled; it is not out of order as well."""
    ledger = ledger_of({0: [0, 1]})
    ledger.add_predictions(answers(0, [(0, 0), (0, 1)]))
    if second == "predictions":
        ledger.add_predictions(answers(0, [(0, 0)], first=2))
    else:
        ledger.add_dead_letters(answers(0, [(0, 0)], topic="events.dlq"))
    audit = ledger.audit()
    assert (audit.doubled, audit.out_of_order, audit.lost) == (1, 0, 0)
    assert audit.examples == {"doubled": ("events/0/0",)}


def test_an_event_answered_a_thousand_times_is_one_doubled_event() -> None:
    """The byte that counts an event's answers does not run over."""
    ledger = ledger_of({0: [0]})
    ledger.add_predictions(answers(0, [(0, 0)] * 512))
    ledger.add_predictions(answers(0, [(0, 0)] * 512, first=512))
    audit = ledger.audit()
    assert (audit.doubled, audit.lost, audit.predictions) == (1, 0, 1024)


@pytest.mark.parametrize("source", [(0, 1), (0, 99), (0, 2), (5, 0), (-1, -1), (0, -7)])
def test_an_answer_without_an_event_is_unknown(source: Source) -> None:
    """An answer to a hole, to what lies outside, to no partition or to nothing is unknown."""
    ledger = ledger_of({0: [3, 5]}, copartitioned=False)
    ledger.add_predictions(answers(0, [(0, 3), source, (0, 5)]))
    audit = ledger.audit()
    assert (audit.unknown, audit.lost) == (1, 0)
    assert audit.examples == {"unknown": ("predictions/0/1",)}


def test_an_overtaken_answer_is_out_of_order() -> None:
    """Order is judged by source partition within one answers' partition, also across batches."""
    ledger = ledger_of({0: [0, 1, 2, 3], 1: [0]})
    ledger.add_predictions(answers(0, [(0, 0), (1, 0), (0, 2)]))
    ledger.add_predictions(answers(0, [(0, 1), (0, 3)], first=3))
    audit = ledger.audit()
    assert audit.out_of_order == 1
    assert audit.examples["out_of_order"] == ("predictions/0/3",)


def test_predictions_and_dead_letters_have_an_order_each() -> None:
    """A dead letter does not overtake a prediction: they are in different topics."""
    ledger = ledger_of({0: [0, 1]})
    ledger.add_predictions(answers(0, [(0, 1)]))
    ledger.add_dead_letters(answers(0, [(0, 0)], topic="events.dlq"))
    assert ledger.audit().ok


def test_a_prediction_in_another_partition_is_misplaced_only_where_the_topics_match() -> None:
    """With as many partitions on both sides a prediction stands in its event's partition."""
    for copartitioned, misplaced in ((True, 1), (False, 0)):
        ledger = ledger_of({0: [0], 1: [0]}, copartitioned=copartitioned)
        ledger.add_predictions(answers(0, [(0, 0), (1, 0)]))
        assert ledger.audit().misplaced == misplaced


def test_a_tombstone_may_be_skipped_or_dead_lettered_but_not_twice() -> None:
    """Tombstones are no events: unanswered they are not lost; answered twice they are doubled."""
    ledger = Ledger("events", copartitioned=True)
    ledger.add_events(0, ints([0, 1, 2, 3]), np.array([False, True, True, True]))
    ledger.add_predictions(answers(0, [(0, 0)]))
    ledger.add_dead_letters(answers(0, [(0, 2), (0, 3), (0, 3)], topic="events.dlq"))
    audit = ledger.audit()
    assert (audit.events, audit.tombstones, audit.lost, audit.doubled) == (1, 3, 0, 1)


def test_examples_are_few_and_the_count_is_whole() -> None:
    """However much is wrong, each defect shows its first few and counts all."""
    ledger = ledger_of({0: range(1000)})
    audit = ledger.audit()
    assert audit.lost == 1000
    assert audit.examples == {"lost": tuple(f"events/0/{n}" for n in range(EXAMPLES))}
    assert "1000 lost" in audit.describe()
    assert "events/0/4" in audit.describe()


def test_the_line_can_be_drawn_again_when_more_was_entered() -> None:
    """An audit changes nothing in the ledger: a later one counts on."""
    ledger = ledger_of({0: [0, 1]})
    assert ledger.audit().lost == 2
    ledger.add_predictions(answers(0, [(0, 0), (0, 1)]))
    assert ledger.audit().ok


def test_nothing_entered_is_fine() -> None:
    """An audit of three empty topics is ok and counts nothing."""
    ledger = Ledger("events", copartitioned=True)
    ledger.add_predictions(answers(0, []))
    assert ledger.audit() == Audit(0, 0, 0, 0, 0, 0, 0, 0, 0)


events_by_partition = st.dictionaries(
    st.integers(0, 2), st.sets(st.integers(0, 12), min_size=1), max_size=3
)
batches_of_answers = st.lists(
    st.tuples(
        st.sampled_from(["predictions", "events.dlq"]),
        st.integers(0, 2),
        st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 14)), max_size=12),
    ),
    max_size=6,
)


@given(events_by_partition, batches_of_answers)
def test_the_ledger_counts_as_a_slow_reading_does(
    events: dict[int, set[int]], batches: list[tuple[str, int, list[Source]]]
) -> None:
    """Whatever is entered and however it is cut into batches: the counts are those by the book."""
    # given a ledger and a plain list of the same answers
    ledger = ledger_of({partition: sorted(offsets) for partition, offsets in events.items()})
    ends: dict[tuple[str, int], int] = defaultdict(int)
    flat: list[tuple[str, int, Source]] = []
    for topic, partition, sources in batches:
        batch = answers(partition, sources, topic=topic, first=ends[topic, partition])
        if topic == "predictions":
            ledger.add_predictions(batch)
        else:
            ledger.add_dead_letters(batch)
        ends[topic, partition] += len(sources)
        flat += [(topic, partition, source) for source in sources]
    # when both are counted, then they agree
    audit = ledger.audit()
    assert {
        "lost": audit.lost,
        "doubled": audit.doubled,
        "unknown": audit.unknown,
        "out_of_order": audit.out_of_order,
        "misplaced": audit.misplaced,
    } == by_the_book({(p, o) for p, offsets in events.items() for o in offsets}, flat)


def by_the_book(events: set[Source], entered: list[tuple[str, int, Source]]) -> dict[str, int]:
    times: dict[Source, int] = defaultdict(int)
    latest: dict[tuple[str, int, int], int] = defaultdict(lambda: -1)
    found = dict.fromkeys(["lost", "doubled", "unknown", "out_of_order", "misplaced"], 0)
    for topic, partition, source in entered:
        found["misplaced"] += topic == "predictions" and source[0] not in {-1, partition}
        if source not in events:
            found["unknown"] += 1
            continue
        times[source] += 1
        if times[source] > 1:
            continue
        stream = (topic, partition, source[0])
        found["out_of_order"] += source[1] < latest[stream]
        latest[stream] = max(latest[stream], source[1])
    found["lost"] = sum(times[event] == 0 for event in events)
    found["doubled"] = sum(count > 1 for count in times.values())
    return found
