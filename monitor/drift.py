"""Drift: a sample of the events, and the answers, against the bundle's baseline; ADWIN on errors.

Pure, for one thread. The window of a feature is the last sampled events, that of the answers the
last predictions looked at. ADWIN (Bifet and Gavaldà, 2007) begins anew when the monitor does.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from river.drift import ADWIN

from model.baseline import (
    Baseline,
    FeatureBaseline,
    NumberBaseline,
    TextBaseline,
    counts_in_bins,
    is_there,
    present,
)
from model.codec import EventDecoder
from model.drift import kolmogorov_smirnov, population_stability
from model.schema import label_key
from model.signature import Signature, Task
from monitor.pairs import Pair, is_number
from monitor.records import Prediction, key_of
from monitor.snapshot import Distribution, FeatureDrift

if TYPE_CHECKING:
    from model.table import Table

_WINDOW: Final = 5_000  # events, and answers, that are compared
_LEAST: Final = 100  # below that a figure says more of chance than of drift
_VERSIONS: Final = 50


class FeatureWindow:
    """The last sampled events as columns, compared with the baseline's features."""

    def __init__(self, signature: Signature, baseline: Baseline, event_id_field: str) -> None:
        self._baseline = baseline
        self._decoder = EventDecoder(signature, event_id_field)
        self._tables: deque[Table] = deque()
        self._rows = 0

    def add(self, values: Sequence[bytes | None]) -> None:
        """Take sampled events; those that do not fit the model are dead letters, not drift."""
        if not values:
            return
        table = self._decoder.decode(values).table
        self._tables.append(table)
        self._rows += table.rows
        while self._tables and self._rows - self._tables[0].rows >= _WINDOW:
            self._rows -= self._tables.popleft().rows

    def drift(self) -> list[FeatureDrift]:
        """Each feature's figures; none while the sample is too small to say anything."""
        features = []
        for place, base in enumerate(self._baseline.features):
            columns = [table.columns[place] for table in self._tables]
            psi = ks = None
            if self._rows >= _LEAST:
                psi, ks = _compared(base, np.concatenate(columns))
            features.append(FeatureDrift(name=base.name, n=self._rows, psi=psi, ks=ks))
        return features


class AnswerWindow:
    """The last predictions' numbers and labels, counted in the baseline's bins."""

    def __init__(self, signature: Signature, baseline: Baseline) -> None:
        self._signature, self._baseline = signature, baseline
        self._numbers: deque[float] = deque(maxlen=_WINDOW)
        self._labels: deque[str] = deque(maxlen=_WINDOW)

    def add(self, predictions: Iterable[Prediction]) -> None:
        """Take some of the predictions."""
        for each in predictions:
            if self._baseline.number is not None and (number := self._number(each)) is not None:
                self._numbers.append(number)
            if self._baseline.labels is not None:
                self._labels.append(key_of(each.prediction))

    def distributions(self) -> list[Distribution]:
        """The answers' number and label, where the model's answers have one."""
        number, labels = self._baseline.number, self._baseline.labels
        found = []
        if number is not None:
            counts = counts_in_bins(np.array(self._numbers), np.array(number.edges))
            found.append(_distribution(number.name, number.shares, counts, edges=number.edges))
        if labels is not None:
            seen = Counter(self._labels)
            counts = [seen[each] for each in labels.categories]
            shares = [*labels.shares, labels.other]
            counts.append(len(self._labels) - sum(counts))
            found.append(_distribution(labels.name, shares, counts, categories=labels.categories))
        return found

    def _number(self, given: Prediction) -> float | None:
        if self._signature.score:
            return given.score
        if self._signature.task is Task.REGRESSION:
            return float(given.prediction) if not isinstance(given.prediction, str) else None
        return given.probability_of().get(label_key(self._signature.labels[1]))


@dataclass(frozen=True, slots=True)
class Change:
    """ADWIN saw the mean of a version's error change."""

    at: float
    metric: str
    version: str
    before: float
    after: float


class ErrorDrift:
    """One ADWIN for each version: on the absolute error of numbers, or on labels being wrong."""

    def __init__(self) -> None:
        self._windows: dict[str, ADWIN] = {}

    def see(self, pairs: Sequence[Pair], *, numbers: bool | None) -> list[Change]:
        """Take pairs in their order; `numbers` says what the model answers, None: as they look."""
        changes = []
        for pair in pairs:
            as_number = is_number(pair) if numbers is None else numbers and is_number(pair)
            error = float(
                abs(float(pair.predicted) - float(pair.truth))
                if as_number
                else key_of(pair.predicted) != key_of(pair.truth)
            )
            window = self._window(pair.version)
            before = window.estimation
            window.update(error)  # type: ignore[no-untyped-call]
            if window.drift_detected and window.estimation > before:
                metric = "absolute_error" if as_number else "error_rate"
                changes.append(Change(pair.at, metric, pair.version, before, window.estimation))
        return changes

    def _window(self, version: str) -> ADWIN:
        if version not in self._windows:
            if len(self._windows) >= _VERSIONS:
                self._windows.pop(next(iter(self._windows)))
            self._windows[version] = ADWIN()  # type: ignore[no-untyped-call]
        return self._windows[version]


def _distribution(
    name: str, shares: list[float], counts: list[int], **bins: list[Any]
) -> Distribution:
    psi = population_stability(shares, counts) if sum(counts) >= _LEAST else None
    return Distribution(name=name, now=counts, baseline=shares, psi=psi, **bins)


def _compared(base: FeatureBaseline, column: npt.NDArray[Any]) -> tuple[float | None, float | None]:
    if isinstance(base, NumberBaseline):
        there = present(column)
        counts = [*counts_in_bins(there, np.array(base.edges)), len(column) - there.size]
        psi = population_stability([*base.shares, base.missing], counts)
        return psi, kolmogorov_smirnov(base.quantiles, there)
    return population_stability(
        [*base.shares, base.other, base.missing], _texts(base, column)
    ), None


def _texts(base: TextBaseline, column: npt.NDArray[Any]) -> list[int]:
    seen = Counter(label_key(value) for value in column.tolist() if is_there(value))
    counts = [seen[each] for each in base.categories]
    return [*counts, seen.total() - sum(counts), len(column) - seen.total()]
