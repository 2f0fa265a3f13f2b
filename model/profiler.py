"""Counts a run's rows and answers chunk by chunk, on the way that they are scored.

Vectorised: it must not be felt beside the scoring. What comes of it is model/profile.py. Pure;
knows no database.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model.baseline import (
    MOST_VALUES,
    Baseline,
    NumberBaseline,
    TextBaseline,
    counts_in_bins,
    finite,
    has_labels,
    is_there,
    number_name,
    number_of,
    present,
)
from model.engines import Answers
from model.profile import NumberCounts, Profile, Segment, TextCounts
from model.schema import label_key
from model.signature import Feature, Kind, Signature, Task
from model.table import Table

_Codes = npt.NDArray[np.int64]


class Profiler:
    """Counts chunks for one model: made once, for as many as there are.

    Without a baseline only the answers are counted.
    """

    def __init__(self, signature: Signature, baseline: Baseline | None) -> None:
        self._signature = signature
        self._has_baseline = baseline is not None
        self._features: list[_Numbers | _Texts] = []
        for feature, base in zip(
            signature.features, baseline.features if baseline else (), strict=False
        ):
            if isinstance(base, NumberBaseline):
                self._features.append(_Numbers(base))
            else:
                self._features.append(_Texts(base, _feature_keys(feature, base.categories)))
        self._number: _Numbers | None = None
        self._labels: _Texts | None = None
        if (name := number_name(signature)) is not None:
            known = baseline.number if baseline is not None else None
            self._number = _Numbers(known or NumberBaseline(name, [], [], 0, [], None))
        if has_labels(signature):
            base = (baseline.labels if baseline is not None else None) or _labels_of(signature)
            self._labels = _Texts(base, _label_keys(signature, base.categories))

    def empty(self) -> Profile:
        """The profile of no rows."""
        columns = tuple(np.empty(0) for _ in self._signature.features)
        return self.count(Table(columns, 0), np.empty(0, np.int64), None)

    def count(self, table: Table, positions: _Codes, answers: Answers | None) -> Profile:
        """The profile of a chunk, whose rows at `positions` have these answers.

        Takes about 0.3 microseconds a row of ten features.
        """
        numbers, labels = self._answers(answers)
        features: list[NumberCounts | TextCounts] = []
        segments: list[Segment] = []
        for counter, column in zip(self._features, table.columns, strict=False):
            if isinstance(counter, _Numbers):
                features.append(counter.count(column))
                continue
            codes = counter.codes(column.tolist())
            features.append(counter.count(codes))
            scored = codes if len(positions) == table.rows else codes[positions]
            segments.append(self._segment(counter, scored, numbers, labels))
        return Profile(
            task=self._signature.task.value,
            has_baseline=self._has_baseline,
            given=table.rows,
            scored=len(positions),
            features=features,
            number=None if self._number is None else self._number.count(numbers),
            labels=None if self._labels is None else self._labels.count(labels),
            segments=segments,
        )

    def _answers(self, answers: Answers | None) -> tuple[npt.NDArray[np.float64], _Codes]:
        numbers, labels = np.empty(0), np.empty(0, np.int64)
        if answers is not None and self._number is not None:
            numbers = number_of(answers)
        if answers is not None and self._labels is not None:
            labels = self._labels.compared(answers.prediction)
        return numbers, labels

    def _segment(
        self, counter: "_Texts", codes: _Codes, numbers: npt.NDArray[np.float64], labels: _Codes
    ) -> Segment:
        places = len(counter.base.categories) + 2
        totals = by_label = None
        if self._number is not None:
            totals = np.bincount(codes, weights=numbers, minlength=places).tolist()
        if self._labels is not None:
            width = len(self._labels.base.categories) + 2
            pairs = np.bincount(codes * width + labels, minlength=places * width)
            by_label = pairs.reshape(places, width)[:, :-1].tolist()  # no answer is missing
        rows = np.bincount(codes, minlength=places).tolist()
        return Segment(counter.base.name, counter.base.categories, rows, totals, by_label)


class _Numbers:
    def __init__(self, base: NumberBaseline) -> None:
        self._base = base
        self._edges = np.array(base.edges)
        self._expected = [*base.shares, base.missing] if base.shares else []

    def count(self, column: npt.NDArray[Any]) -> NumberCounts:
        there = present(column)
        with np.errstate(over="ignore"):
            total, squares = finite(there.sum()), finite(np.dot(there, there))
        return NumberCounts(
            name=self._base.name,
            edges=self._base.edges,
            expected=self._expected,
            expected_mean=self._base.mean,
            counts=counts_in_bins(there, self._edges),
            missing=len(column) - there.size,
            total=total,
            squares=squares,
            least=float(there.min()) if there.size else None,
            most=float(there.max()) if there.size else None,
        )


class _Texts:
    def __init__(self, base: TextBaseline, keys: dict[Hashable, int]) -> None:
        self.base = base
        self._places = _Places(keys, other=len(base.categories))
        self._expected = [*base.shares, base.other, base.missing] if base.shares else []

    def codes(self, values: Sequence[Any]) -> _Codes:
        """Each value's place; those of other values and of none come last."""
        places = bytes(map(self._places.__getitem__, values))  # there are at most 22
        return np.frombuffer(places, np.uint8).astype(np.int64)

    def compared(self, values: npt.NDArray[Any]) -> _Codes:
        """The same for an array of labels: some comparisons of all are quicker than a look-up."""
        codes = np.full(len(values), len(self.base.categories), dtype=np.int64)
        for key, place in self._places.items():
            codes[values == key] = place
        return codes

    def count(self, codes: _Codes) -> TextCounts:
        counts = np.bincount(codes, minlength=len(self.base.categories) + 2).tolist()
        return TextCounts(self.base.name, self.base.categories, self._expected, counts)


class _Places(dict[Hashable, int]):
    def __init__(self, keys: dict[Hashable, int], other: int) -> None:
        super().__init__(keys)
        self._other = other

    def __missing__(self, key: Hashable) -> int:
        return self._other if is_there(key) else self._other + 1


def _feature_keys(feature: Feature, values: Sequence[str]) -> dict[Hashable, int]:
    if feature.kind is Kind.BOOLEAN:
        return {value == "true": place for place, value in enumerate(values)}
    return {value: place for place, value in enumerate(values)}


def _label_keys(signature: Signature, values: Sequence[str]) -> dict[Hashable, int]:
    places = {value: place for place, value in enumerate(values)}
    if signature.task is Task.CLASSIFICATION:
        return {
            label: places[key] for label in signature.labels if (key := label_key(label)) in places
        }
    return {int(value): place for value, place in places.items()}  # -1 and 1, or clusters


def _labels_of(signature: Signature) -> TextBaseline:
    """The labels as far as a signature tells: shares are not known."""
    known: Sequence[str] = [label_key(label) for label in signature.labels]
    if signature.task is Task.OUTLIER:
        known = ("-1", "1")
    return TextBaseline("label", list(known[:MOST_VALUES]), [], 0, 0)
