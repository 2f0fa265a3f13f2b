"""What a model's inputs and answers looked like on the sample that it was bundled with.

The bins and categories in which later rows are counted, and the shares that the sample had in
them: what a day (model/profile.py) or a live sample is held against. Pure; knows no files.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from model.engines import Answers, Engine
from model.errors import UnsupportedModel
from model.schema import label_key
from model.scorer import Scorer
from model.signature import Feature, Kind, Signature, Task
from model.table import table_from_frame

if TYPE_CHECKING:
    import pandas as pd

MOST_VALUES: Final = 20  # of a text feature, and of a classifier's labels; the rest is "other"
_MOST_ROWS: Final = 20_000
_ANSWER_BINS: Final = 40
_OUTERMOST: Final = 0.005  # of the answers lie below the bins of equal width, and above them
_PERCENTILES: Final = np.arange(101)


class NumberBaseline(msgspec.Struct, frozen=True, tag="number"):
    """A number's distribution.

    Bin i has the values above `edges[i - 1]` up to and including `edges[i]`; the first and the
    last bin are open. `shares` (one more than edges) and `missing` add up to 1. `quantiles` are
    the 0th to the 100th percentile of the values that are there, empty without any.
    """

    name: str
    edges: list[float]
    shares: list[float]
    missing: float
    quantiles: list[float]
    mean: float | None


class TextBaseline(msgspec.Struct, frozen=True, tag="text"):
    """The shares of the most frequent values of a text, a boolean or a label; the rest is other.

    Booleans are "true" and "false". `shares`, `other` and `missing` add up to 1.
    """

    name: str
    categories: list[str]
    shares: list[float]
    other: float
    missing: float


FeatureBaseline = NumberBaseline | TextBaseline


class Baseline(msgspec.Struct, frozen=True):
    """A sample of `rows` rows: its features, in the model's order, and the answers to it.

    `number` is what of an answer is a number (see `number_name`), `labels` what is one of a few
    (see `has_labels`).
    """

    rows: int
    features: list[FeatureBaseline]
    number: NumberBaseline | None
    labels: TextBaseline | None


def make_baseline(signature: Signature, sample: "pd.DataFrame", engine: Engine) -> Baseline | None:
    """The baseline of up to 20,000 rows spread over a sample; None where none can be scored."""
    spread = np.linspace(0, len(sample) - 1, min(len(sample), _MOST_ROWS))
    rows = sample.iloc[np.unique(spread.round().astype(int))]
    try:
        table = table_from_frame(signature, rows[_are_finite(signature, rows)])
    except UnsupportedModel:  # no event can hold such a row: it says nothing of events
        return None
    scores = Scorer(engine).score(table)
    if scores.answers is None:
        return None
    number = labels = None
    if (name := number_name(signature)) is not None:
        number = _answers(name, number_of(scores.answers))
    if has_labels(signature):
        labels = _text("label", scores.answers.prediction.tolist())
    columns = zip(signature.features, table.columns, strict=True)
    return Baseline(table.rows, [_feature_baseline(*each) for each in columns], number, labels)


def number_name(signature: Signature) -> str | None:
    """What of an answer is a number, in words; None where nothing is.

    A regressor's prediction, an outlier detector's score, and of a classifier with two labels
    the probability of the second one.
    """
    if signature.task is Task.REGRESSION:
        return "prediction"
    if signature.score:
        return "score"
    if signature.probabilities and len(signature.labels) == 2:  # noqa: PLR2004 - the other's is the rest
        return f"probability of {label_key(signature.labels[1])}"
    return None


def number_of(answers: Answers) -> npt.NDArray[np.float64]:
    """The numbers that `number_name` names."""
    if answers.score is not None:
        return answers.score
    if answers.probabilities is not None:
        return answers.probabilities[:, 1]
    return answers.prediction


def has_labels(signature: Signature) -> bool:
    """Whether an answer is one of a few: a label, an outlier detector's -1 or 1, a cluster."""
    return signature.task is not Task.REGRESSION


def is_categorical(feature: Feature) -> bool:
    """Whether a feature's values are counted one by one rather than in bins."""
    return feature.kind in {Kind.STRING, Kind.BOOLEAN}


def counts_in_bins(present: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> list[int]:
    """How many of the values, none of them NaN, lie in each bin."""
    places = np.searchsorted(edges, present, side="left")
    counts: list[int] = np.bincount(places, minlength=len(edges) + 1).tolist()
    return counts


def present(column: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """A column's numbers that are there: NaN stands for a missing one."""
    numbers = column.astype(np.float64, copy=False)
    missing = np.isnan(numbers)
    return numbers[~missing] if missing.any() else numbers


def _are_finite(signature: Signature, rows: "pd.DataFrame") -> npt.NDArray[np.bool_]:
    finite = np.ones(len(rows), dtype=bool)
    for feature in signature.features:
        if not is_categorical(feature):
            finite &= ~np.isinf(rows[feature.name].to_numpy(dtype=np.float64, na_value=np.nan))
    return finite


def _feature_baseline(feature: Feature, column: npt.NDArray[Any]) -> FeatureBaseline:
    if is_categorical(feature):
        return _text(feature.name, column.tolist())
    there = present(column)
    deciles = np.quantile(there, np.arange(1, 10) / 10) if there.size else np.empty(0)
    return _number(feature.name, column, np.unique(deciles))


def _answers(name: str, values: npt.NDArray[np.float64]) -> NumberBaseline:
    low, high = np.quantile(values, [_OUTERMOST, 1 - _OUTERMOST])
    return _number(name, values, np.unique(np.linspace(low, high, _ANSWER_BINS - 1)))


def _number(name: str, column: npt.NDArray[Any], edges: npt.NDArray[Any]) -> NumberBaseline:
    there = present(column)
    return NumberBaseline(
        name=name,
        edges=edges.tolist(),
        shares=[count / len(column) for count in counts_in_bins(there, edges)],
        missing=1 - there.size / len(column),
        quantiles=np.percentile(there, _PERCENTILES).tolist() if there.size else [],
        mean=finite(there.mean()) if there.size else None,
    )


def _text(name: str, values: Sequence[Any]) -> TextBaseline:
    counted = Counter(label_key(value) for value in values if is_there(value))
    kept = counted.most_common(MOST_VALUES)
    total = len(values)
    return TextBaseline(
        name=name,
        categories=[value for value, _ in kept],
        shares=[count / total for _, count in kept],
        other=(counted.total() - sum(count for _, count in kept)) / total,
        missing=(total - counted.total()) / total,
    )


def is_there(value: object) -> bool:
    """Whether a category is a value rather than None or NaN, which alone differs from itself."""
    return value is not None and value == value  # noqa: PLR0124 - see above


def finite(number: float) -> float | None:
    """A number as JSON can hold it; None for one that is not finite."""
    return float(number) if np.isfinite(number) else None
