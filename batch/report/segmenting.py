"""The segments of a day whose runs counted none: its source again, beside its predictions.

For bundles without a baseline, which a run cannot count by. A chunk of rows is in memory, and of a
feature at most a thousand values: rows of any other are counted as others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from batch.day import Window
from batch.found import Ran
from batch.report.figures import Group, SegmentFigures, ordered_groups
from batch.report.lookup import Advance, answers_of
from batch.report.quality import Answer
from batch.source import Source
from model.baseline import MOST_VALUES, is_categorical, is_there
from model.rows import row_ids
from model.schema import label_key
from model.signature import Feature, Kind, Signature

if TYPE_CHECKING:
    from sqlalchemy import Connection

_CHUNK: Final = 10_000
_MOST_COUNTED: Final = 1_000  # values of a feature


@dataclass(slots=True)
class _Counted:
    rows: int = 0
    figures: int = 0  # rows that have a figure
    total: float = 0.0

    def add(self, figure: float | None) -> None:
        self.rows += 1
        if figure is not None:
            self.figures += 1
            self.total += figure

    @property
    def figure(self) -> float | None:
        return self.total / self.figures if self.figures else None


@dataclass(frozen=True, slots=True)
class _Feature:
    feature: Feature
    values: dict[str, _Counted] = field(default_factory=dict)
    others: _Counted = field(default_factory=_Counted)
    missing: _Counted = field(default_factory=_Counted)

    def add(self, value: Any, figure: float | None) -> None:  # noqa: ANN401 - whatever a database holds
        if not is_there(value):
            self.missing.add(figure)
            return
        key = label_key(bool(value) if self.feature.kind is Kind.BOOLEAN else str(value))
        if key in self.values or len(self.values) < _MOST_COUNTED:
            self.values.setdefault(key, _Counted()).add(figure)
        else:
            self.others.add(figure)

    def figures(self) -> SegmentFigures:
        ordered = sorted(self.values.items(), key=lambda each: (-each[1].rows, each[0]))
        for _, counted in ordered[MOST_VALUES:]:
            self.others.rows += counted.rows
            self.others.figures += counted.figures
            self.others.total += counted.total
        named = [(name, counted, False) for name, counted in ordered[:MOST_VALUES]]
        named += [("all others", self.others, True), ("missing", self.missing, True)]
        whole = sum(counted.rows for _, counted, _ in named)
        groups = [
            Group(name, counted.rows, counted.rows / whole, counted.figure, is_rest)
            for name, counted, is_rest in named
            if counted.rows
        ]
        return SegmentFigures(self.feature.name, ordered_groups(groups))


@dataclass(frozen=True, slots=True)
class Segmenting:
    """Counts the answers of one run by the features of its source."""

    connection: "Connection"
    source: Source
    signature: Signature
    label: str | None

    def segments(self, ran: Ran, window: Window, bar: Advance) -> tuple[SegmentFigures, ...]:
        """Those of all text and boolean features that a scored row had, in the model's order."""
        columns = self.source.features(self.signature)
        pairs = zip(self.signature.features, columns, strict=True)
        wanted = [(_Feature(each), name) for each, name in pairs if is_categorical(each)]
        if not wanted:
            return ()
        with self.source.day(window, [name for _, name in wanted]) as snapshot:
            for rows in snapshot.chunks(_CHUNK):
                self._add(ran, rows, [feature for feature, _ in wanted])
                bar.advance(len(rows))
        return tuple(found for each, _ in wanted if (found := each.figures()).groups)

    def _add(self, ran: Ran, rows: Sequence[Sequence[Any]], features: Sequence[_Feature]) -> None:
        ids = row_ids([row[0] for row in rows])
        answers = answers_of(self.connection, ran, [each for each in ids if each is not None])
        for name, row in zip(ids, rows, strict=True):
            answer = answers.get(name) if name is not None else None
            if answer is None:
                continue
            figure = self._figure(answer)
            for feature, value in zip(features, row[1:], strict=True):
                feature.add(value, figure)

    def _figure(self, answer: Answer) -> float | None:
        return answer.prediction if self.label is None else float(answer.label == self.label)
