"""Every event and its answers, entered like in a book: is there exactly one, and in order?

An *answer* is a prediction or a dead letter; both name the event that they answer. Pure:
positions in, an `Audit` out. Knows neither Kafka's client nor what an event or a score means.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Offsets = NDArray[np.int64]
Defect = Literal["lost", "doubled", "unknown", "out_of_order", "misplaced"]

EXAMPLES: Final = 5
_EVENT: Final = 1
_TOMBSTONE: Final = 2
_MANY: Final = 255  # the counters are bytes: a position answered more often stays here


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found. Positions in `examples` read `topic/partition/offset`."""

    events: int
    """Records of the input that have a value."""
    tombstones: int
    """Records without one: they may be skipped or dead-lettered, so none of them is ever lost."""
    predictions: int
    dead_letters: int
    lost: int
    """Events without any answer."""
    doubled: int
    """Records of the input with more than one answer."""
    unknown: int
    """Answers that name no record of the input."""
    out_of_order: int
    """Answers that stand behind the answer to a later event of the same source partition."""
    misplaced: int
    """Predictions outside their event's partition number where both topics have as many."""
    examples: Mapping[Defect, tuple[str, ...]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True if every event has exactly one answer, in order and in its place."""
        return not (
            self.lost or self.doubled or self.unknown or self.out_of_order or self.misplaced
        )

    def describe(self) -> str:
        """One line for people: the counts, then examples of what is wrong."""
        counts = (
            f"{self.events} events, {self.predictions} predictions, "
            f"{self.dead_letters} dead letters, {self.lost} lost, {self.doubled} doubled, "
            f"{self.unknown} unknown, {self.out_of_order} out of order, "
            f"{self.misplaced} misplaced, {self.tombstones} tombstones"
        )
        examples = (f"{defect}: {', '.join(seen)}" for defect, seen in self.examples.items())
        return "; ".join([counts, *examples])


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers in the order of the partition that holds them; three int64 arrays of one length."""

    topic: str
    partition: int
    offsets: Offsets
    source_partitions: Offsets
    """-1 where the answer names no record of the input topic."""
    source_offsets: Offsets


class _Partition:
    """Two bytes for each offset of one input partition: what stands there, how often answered."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.kinds = np.zeros(0, np.uint8)
        self.answers = np.zeros(0, np.uint8)

    def add(self, offsets: Offsets, tombstones: NDArray[np.bool_]) -> None:
        needed = int(offsets[-1]) - self.first + 1
        if needed > self.kinds.size:
            more = np.zeros(max(needed, 2 * self.kinds.size) - self.kinds.size, np.uint8)
            self.kinds = np.concatenate([self.kinds, more])
            self.answers = np.concatenate([self.answers, more])
        self.kinds[offsets - self.first] = np.where(tombstones, _TOMBSTONE, _EVENT)

    def known(self, offsets: Offsets) -> NDArray[np.bool_]:
        inside = (offsets >= self.first) & (offsets < self.first + self.kinds.size)
        known = inside.copy()
        known[inside] = self.kinds[offsets[inside] - self.first] != 0
        return known

    def answer(self, offsets: Offsets) -> NDArray[np.intp]:
        """Count known offsets; return the rows that are the first answer to their event."""
        unique, first, counts = np.unique(
            offsets - self.first, return_index=True, return_counts=True
        )
        before = self.answers[unique].astype(np.int64)
        self.answers[unique] = np.minimum(before + counts, _MANY).astype(np.uint8)
        return np.sort(first[before == 0])

    def defects(self, is_event: NDArray[np.bool_]) -> dict[Defect, Offsets]:
        return {
            "lost": np.flatnonzero(is_event & (self.answers == 0)) + self.first,
            "doubled": np.flatnonzero(self.answers > 1) + self.first,
        }


class _Findings:
    """Defects counted, the first few of each kept as examples."""

    def __init__(
        self, counts: Mapping[Defect, int], examples: Mapping[Defect, tuple[str, ...]]
    ) -> None:
        self.counts = dict(counts)
        self.examples = dict(examples)

    def copy(self) -> "_Findings":
        return _Findings(self.counts, self.examples)

    def add(self, defect: Defect, topic: str, partition: int, offsets: Offsets) -> None:
        if not offsets.size:
            return
        seen = self.examples.get(defect, ())
        more = (f"{topic}/{partition}/{offset}" for offset in offsets[: EXAMPLES - len(seen)])
        self.examples[defect] = (*seen, *more)
        self.counts[defect] = self.counts.get(defect, 0) + offsets.size


class Ledger:
    """Enters events, then their answers, a batch at a time; `audit` draws the line below them.

    Memory: two bytes for each offset between an input partition's first and last record.
    """

    def __init__(self, topic: str, *, copartitioned: bool) -> None:
        self._topic = topic
        self._copartitioned = copartitioned
        self._partitions: dict[int, _Partition] = {}
        self._latest: dict[tuple[str, int, int], int] = {}
        self._findings = _Findings({}, {})
        self._predictions = 0
        self._dead_letters = 0

    def add_events(self, partition: int, offsets: Offsets, tombstones: NDArray[np.bool_]) -> None:
        """Enter records of one input partition: ascending offsets, and which have no value."""
        if offsets.size:
            at = self._partitions.setdefault(partition, _Partition(int(offsets[0])))
            at.add(offsets, tombstones)

    def add_predictions(self, answers: Answers) -> None:
        """Enter predictions. All events have to be entered before."""
        self._predictions += answers.offsets.size
        sources = answers.source_partitions
        if self._copartitioned:
            self._note("misplaced", answers, (sources != answers.partition) & (sources >= 0))
        self._add(answers)

    def add_dead_letters(self, answers: Answers) -> None:
        """Enter dead letters. All events have to be entered before."""
        self._dead_letters += answers.offsets.size
        self._add(answers)

    def audit(self) -> Audit:
        """Draw the line below what was entered so far."""
        findings = self._findings.copy()
        events = tombstones = 0
        for partition, at in sorted(self._partitions.items()):
            is_event = at.kinds == _EVENT
            events += int(is_event.sum())
            tombstones += int((at.kinds == _TOMBSTONE).sum())
            for defect, rows in at.defects(is_event).items():
                findings.add(defect, self._topic, partition, rows)
        return Audit(
            events=events,
            tombstones=tombstones,
            predictions=self._predictions,
            dead_letters=self._dead_letters,
            lost=findings.counts.get("lost", 0),
            doubled=findings.counts.get("doubled", 0),
            unknown=findings.counts.get("unknown", 0),
            out_of_order=findings.counts.get("out_of_order", 0),
            misplaced=findings.counts.get("misplaced", 0),
            examples=findings.examples,
        )

    def _add(self, answers: Answers) -> None:
        known = np.zeros(answers.offsets.size, np.bool_)
        late = np.zeros(answers.offsets.size, np.bool_)
        for partition in np.unique(answers.source_partitions).tolist():
            at = self._partitions.get(partition)
            if at is None:
                continue
            rows = np.flatnonzero(answers.source_partitions == partition)
            rows = rows[at.known(answers.source_offsets[rows])]
            known[rows] = True
            first = rows[at.answer(answers.source_offsets[rows])]
            late[first] = self._late(answers, partition, answers.source_offsets[first])
        self._note("unknown", answers, ~known)
        self._note("out_of_order", answers, late)

    def _late(self, answers: Answers, source: int, offsets: Offsets) -> NDArray[np.bool_]:
        """Tell which of these first answers come after the answer to a later event.

        A repeated answer is doubled and nothing else: a batch that is sent again is no disorder.
        """
        stream = (answers.topic, answers.partition, source)
        before = np.array([self._latest.get(stream, -1)])
        latest = np.maximum.accumulate(np.concatenate([before, offsets]))
        self._latest[stream] = int(latest[-1])
        return np.asarray(offsets < latest[:-1])

    def _note(self, defect: Defect, answers: Answers, rows: NDArray[np.bool_]) -> None:
        self._findings.add(defect, answers.topic, answers.partition, answers.offsets[rows])
