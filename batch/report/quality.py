"""How good predictions were, once outcomes are known: counted chunk by chunk, per day and version.

Pure: outcomes and predictions are handed in. Means are exact; the AUC is that of probabilities
rounded to a thousandth, so that no list of them is kept.
"""

import math
from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from model.schema import label_key

BINS: Final = 10  # of the calibration curve
_FINE: Final = 1_000  # of a probability
_LEAST_PROBABILITY: Final = 1e-15  # as model/metrics.py
_MOST_LABELS: Final = 20
_TRUE: Final = {"1": "true", "0": "false"}  # booleans of databases that have none


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction that was looked up."""

    version: str
    prediction: float | None
    label: str | None
    probabilities: Mapping[str, float] | None


@dataclass(frozen=True, slots=True)
class Naive:
    """The answer that looks at no feature: one number, or one set of shares of the labels.

    It is the card's (the median, or the shares of the labels, that the model was fitted on) where
    the bundle has one, else what would have been best in hindsight: that of each day's outcomes.
    """

    number: float | None = None
    shares: Mapping[str, float] | None = None

    def in_words(self, figures: Collection[str]) -> str:
        """What the columns "naive …" are; empty where there is none."""
        if "naive MAE" in figures:
            if self.number is None:
                return "Naive is to answer the day's own median outcome to every row."
            what = f"{self.number:.4g}, the median outcome that the model was fitted on"
            return f"Naive is to answer {what}, to every row."
        if "naive log-loss" in figures:
            if self.shares is None:
                return "Naive is to answer the shares of the day's own labels to every row."
            return "Naive is to answer the shares of the labels that the model was fitted on."
        return ""


@dataclass(frozen=True, slots=True)
class QualityRow:
    """A day of a version: `known` of its predictions have an outcome; figures by their names."""

    day: date
    version: str
    known: int
    scored: int
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Quality:
    """The rows of the table, the calibration curve, and why there is none of it.

    `calibration` has for each bin the mean probability, the share of the label that came true,
    and the rows; `promised` are the metrics of the bundle's card.
    """

    rows: tuple[QualityRow, ...] = ()
    calibration: tuple[tuple[float, float, int], ...] = ()
    why_not: str = ""
    promised: Mapping[str, float] = field(default_factory=dict)
    naive: Naive = field(default_factory=Naive)

    @property
    def total(self) -> dict[str, float]:
        """Each figure over all days, weighted by what is known; means alone can be so."""
        names = {name for row in self.rows for name in row.figures} - {"RMSE"}
        return {name: found for name in names if (found := _mean(self.rows, name)) is not None}

    @property
    def summary(self) -> str | None:
        """One sentence; None where nothing is known."""
        total, known = self.total, sum(row.known for row in self.rows)
        days = len({row.day for row in self.rows if row.known})
        span = f"over {known:,} outcomes of {days} day{'s' if days > 1 else ''}"
        if "MAE" in total and total.get("naive MAE"):
            better = 1 - total["MAE"] / total["naive MAE"]
            how = f"{abs(better):.0%} {'better' if better >= 0 else 'worse'} than naive"
            return f"Mean absolute error {total['MAE']:.4g} {span}: {how} ({self._constant})."
        if "AUC" in total:
            return f"AUC {total['AUC']:.3f}, accuracy {total['accuracy']:.1%} {span}."
        if "accuracy" in total:
            return f"Accuracy {total['accuracy']:.1%} {span}."
        return None

    @property
    def _constant(self) -> str:
        number = self.naive.number
        return "each day's median" if number is None else f"always {number:.4g}"

    @property
    def is_worse_than_naive(self) -> bool:
        """Whether a constant would have done better."""
        total = self.total
        return any(
            total.get(name, 0) > total.get(f"naive {name}", math.inf)
            for name in ("MAE", "log-loss")
        )


class Tally:
    """Counts one day of one version."""

    def __init__(self, label: str | None, naive: Naive) -> None:
        self.known = 0
        self._label = label
        self._naive = naive
        self._outcomes = array("d")  # a day's naive error needs its median first
        self._naive_size = 0.0
        self._errors = np.zeros(3)  # sums of the error, its size and its square
        self._has_numbers = False
        self._right = 0
        self._loss = 0.0
        self._seen: dict[str, int] = {}
        self._ranks: dict[str, npt.NDArray[np.int64]] = {}
        self._bins = np.zeros((BINS, 3))
        self._with_probabilities = 0

    def add(self, outcomes: Sequence[Any], answers: Sequence[Answer]) -> None:
        """Add rows whose outcomes are known."""
        if answers and answers[0].label is None:
            self._add_numbers(outcomes, answers)
        else:
            for outcome, answer in zip(outcomes, answers, strict=True):
                self._add_label(outcome, answer)

    def figures(self) -> dict[str, float]:
        """What the rows came to; figures that they do not define are left out."""
        if self._has_numbers:
            bias, size, square = self._errors / self.known
            naive = self._naive_mae()
            figures = {"MAE": size, "naive MAE": naive, "RMSE": math.sqrt(square), "bias": bias}
        elif self.known:
            figures = {"accuracy": self._right / self.known}
            if self._with_probabilities:
                figures["log-loss"] = self._loss / self._with_probabilities
                figures["naive log-loss"] = self._naive_log_loss()
                figures["AUC"] = self._auc()
        else:
            figures = {}
        return {name: float(value) for name, value in figures.items() if math.isfinite(value)}

    def forget_outcomes(self) -> None:
        """Give back what only `figures` needs: a number for each row."""
        self._outcomes = array("d")

    @property
    def bins(self) -> npt.NDArray[np.float64]:
        """For each bin of the label's probability: sum of it, rows that came true, rows."""
        return self._bins

    def _add_numbers(self, outcomes: Sequence[Any], answers: Sequence[Answer]) -> None:
        pairs = [
            (float(outcome), answer.prediction)
            for outcome, answer in zip(outcomes, answers, strict=True)
            if answer.prediction is not None and _is_number(outcome)
        ]
        if not pairs:
            return
        truth, predicted = np.ascontiguousarray(np.array(pairs, dtype=np.float64).T)
        error = predicted - truth
        self._errors += (error.sum(), np.abs(error).sum(), np.square(error).sum())
        if self._naive.number is None:
            self._outcomes.frombytes(truth.tobytes())
        else:
            self._naive_size += float(np.abs(truth - self._naive.number).sum())
        self._has_numbers = True
        self.known += len(pairs)

    def _add_label(self, outcome: object, answer: Answer) -> None:
        known = answer.probabilities or {}
        truth = outcome_key(outcome, known)
        self.known += 1
        self._right += truth == answer.label
        self._seen[truth] = self._seen.get(truth, 0) + 1
        if not known:
            return
        self._with_probabilities += 1
        self._loss -= math.log(max(known.get(truth, 0.0), _LEAST_PROBABILITY))
        for label, probability in list(known.items())[:_MOST_LABELS]:
            ranks = self._ranks.setdefault(label, np.zeros((2, _FINE + 1), dtype=np.int64))
            ranks[int(label == truth), round(probability * _FINE)] += 1
        if self._label is not None and self._label in known:
            probability = known[self._label]
            place = min(int(probability * BINS), BINS - 1)
            self._bins[place] += (probability, truth == self._label, 1)

    def _naive_mae(self) -> float:
        if self._naive.number is not None:
            return self._naive_size / self.known
        truth = np.frombuffer(self._outcomes)
        return float(np.abs(truth - np.median(truth)).mean())

    def _naive_log_loss(self) -> float:
        total, shares = self.known, self._naive.shares
        if shares is None:
            shares = {label: count / total for label, count in self._seen.items()}
        return -sum(
            count / total * math.log(max(shares.get(label, 0.0), _LEAST_PROBABILITY))
            for label, count in self._seen.items()
        )

    def _auc(self) -> float:
        """The mean over the labels that some of the rows have and some have not."""
        areas = [
            _area(*ranks) for ranks in self._ranks.values() if ranks[0].any() and ranks[1].any()
        ]
        return float(np.mean(areas)) if areas else math.nan


def outcome_key(outcome: object, labels: Mapping[str, Any]) -> str:
    """An outcome as the label that it is, however the database keeps it."""
    if isinstance(outcome, float) and outcome.is_integer():
        outcome = int(outcome)
    key = label_key(outcome) if isinstance(outcome, str | int | float) else str(outcome)
    return _TRUE.get(key, key) if key not in labels and "true" in labels else key


def calibration(tallies: Sequence[Tally]) -> tuple[tuple[float, float, int], ...]:
    """The curve over all of them: bins that have rows."""
    bins = sum((tally.bins for tally in tallies), np.zeros((BINS, 3)))
    return tuple((total / rows, hits / rows, int(rows)) for total, hits, rows in bins if rows)


def _area(others: npt.NDArray[np.int64], own: npt.NDArray[np.int64]) -> float:
    """The share of pairs of which the label's own row has the higher probability; ties half."""
    below = np.concatenate([[0], np.cumsum(others)[:-1]])
    return float((own * (below + others / 2)).sum() / (own.sum() * others.sum()))


def _is_number(outcome: Any) -> bool:  # noqa: ANN401 - whatever a database holds
    try:
        return math.isfinite(float(outcome))
    except (TypeError, ValueError, OverflowError):
        return False


def _mean(rows: Sequence[QualityRow], name: str) -> float | None:
    known = [(row.figures[name], row.known) for row in rows if name in row.figures]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None
