"""Fit an estimator on a table and evaluate it on the rows that come last.

Pure: a DataFrame in, a fitted estimator and its metrics out. Knows no files, no store, no clock.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import is_classifier, is_regressor
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from model.errors import UnsupportedModel, WrongUsage
from model.metrics import best_constant, classification_metrics, regression_metrics
from model.signature import Task, infer_signature

# An estimator of scikit-learn; its own stubs do not name what `fit` and `predict` share.
Estimator = Any
EstimatorBuilder = Callable[[pd.DataFrame], Estimator]

_MOST_CLASSES = 20  # more distinct whole numbers than this are a quantity
_ROWS_PER_CLASS = 5
_MOST_CATEGORIES = 255  # HistGradientBoosting's max_bins
_LEAST_ROWS = 2


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted estimator and what is known of it.

    `sample` are the features of all rows, fitted and evaluated, in the order of the split.
    `metrics` were measured on the last rows, which the estimator has not seen; `training`
    says how, JSON-ready for a bundle's card.
    """

    estimator: Estimator
    task: Task
    sample: pd.DataFrame
    metrics: dict[str, float]
    training: dict[str, object]


def train(  # noqa: PLR0913 - each is a choice of its own with a default
    frame: pd.DataFrame,
    *,
    target: str,
    features: Sequence[str] | None = None,
    time_column: str | None = None,
    test_share: float = 0.2,
    build: EstimatorBuilder | None = None,
) -> Trained:
    """Fit on the first rows in time and evaluate on the last `test_share` of them.

    Rows without a target are left out. Without `features` every column but the target and the
    time is one. `build` makes an unfitted estimator for a table of features; without it,
    HistGradientBoosting with ordinal-encoded categories. The estimator that was evaluated is
    the one returned: it is not fitted again on all rows.

    Raises:
        WrongUsage: a column is missing or the share leaves no rows to fit or to evaluate.
        UnsupportedModel: the target, a feature or the estimator is of a kind that cannot be
            trained here.

    """
    names = _feature_names(frame, target, features, time_column)
    known = frame[frame[target].notna()]
    rows = _rows_to_fit(len(known), test_share)
    ordered = known if time_column is None else _in_time(known, time_column)
    sample = ordered[names].reset_index(drop=True)
    infer_signature(DummyRegressor(), sample)  # refuses columns that no event can hold
    if build is None:
        estimator = default_estimator(sample.iloc[:rows], choose_task(ordered[target]))
    else:
        estimator = build(sample.iloc[:rows])
    task = _task(estimator)
    metrics = _fit_and_evaluate(estimator, task, sample, _truth(ordered[target], task), rows)
    training = {
        "target": target,
        "evaluated_on": "the last rows " + (f"by {time_column}" if time_column else "given"),
        "rows_fitted": rows,
        "rows_evaluated": len(sample) - rows,
        "rows_without_target": len(frame) - len(known),
        "refitted_on_all_rows": False,
        "baseline": best_constant(_truth(ordered[target], task)[:rows], task),
    }
    return Trained(estimator, task, sample, metrics, training)


def choose_task(target: "pd.Series[Any]") -> Task:
    """Say what a target without missing values asks for.

    Text, booleans and few distinct whole numbers are classes; other numbers are a quantity.

    Raises:
        UnsupportedModel: the target is neither numbers, booleans nor text, or always the same.

    """
    distinct = target.nunique()
    if distinct < 2:  # noqa: PLR2004 - two answers are the fewest to choose from
        msg = f"the target {target.name!r} has only one value"
        raise UnsupportedModel(msg, hint="give rows with different outcomes")
    if not pd.api.types.is_numeric_dtype(target) or pd.api.types.is_bool_dtype(target):
        return Task.CLASSIFICATION
    whole = bool((target % 1 == 0).all())
    few = max(2, min(_MOST_CLASSES, len(target) // _ROWS_PER_CLASS))
    return Task.CLASSIFICATION if whole and distinct <= few else Task.REGRESSION


def default_estimator(features: pd.DataFrame, task: Task) -> Estimator:
    """Make HistGradientBoosting that takes numbers, booleans, text and missing values.

    Text becomes ordinal numbers (unseen: missing), which the trees take as categories where
    there are at most 255 of them.
    """
    boosting = (
        HistGradientBoostingClassifier
        if task is Task.CLASSIFICATION
        else HistGradientBoostingRegressor
    )
    text = [name for name in features if not _is_numeric(features[name])]
    if not text:
        return boosting(random_state=0)
    # The encoder puts the text's columns first, in this order.
    few = [features[name].nunique() <= _MOST_CATEGORIES for name in text]
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan
    )
    return make_pipeline(
        make_column_transformer(
            (encoder, text), remainder="passthrough", verbose_feature_names_out=False
        ),
        boosting(
            categorical_features=[column for column, fits in enumerate(few) if fits],
            random_state=0,
        ),
    )


def _is_numeric(column: "pd.Series[Any]") -> bool:
    return pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)


def _feature_names(
    frame: pd.DataFrame, target: str, features: Sequence[str] | None, time_column: str | None
) -> list[str]:
    named = [target, *(features or ()), *([time_column] if time_column else ())]
    for name in named:
        require_column(frame, name)
    if features is None:
        features = [str(name) for name in frame.columns if name not in {target, time_column}]
    if target in features:
        msg = f"the target {target!r} is among the features: the model would be told the answer"
        raise WrongUsage(msg, hint="take it out of the features")
    if len(set(features)) < len(features) or not features:
        msg = "the features are empty or one is named twice"
        raise WrongUsage(msg, hint="name each feature once")
    return list(features)


def require_column(frame: pd.DataFrame, name: str) -> None:
    """Refuse a column that a table does not have.

    Raises:
        WrongUsage: it has none of that name; the hint is the nearest.

    """
    if name not in frame.columns:
        columns = [str(column) for column in frame.columns]
        near = difflib.get_close_matches(name, columns, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(columns)}"
        msg = f"there is no column {name!r}"
        raise WrongUsage(msg, hint=hint)


def _rows_to_fit(rows: int, test_share: float) -> int:
    if not 0 < test_share < 1:
        msg = f"the share of rows to evaluate on must lie between 0 and 1, not {test_share}"
        raise WrongUsage(msg, hint="0.2 evaluates on the last fifth")
    fitted = rows - max(1, round(rows * test_share))
    if fitted < _LEAST_ROWS:
        msg = f"{rows} rows have a target, too few to fit and to evaluate"
        raise WrongUsage(msg, hint="give more rows, or a smaller share to evaluate on")
    return fitted


def _in_time(frame: pd.DataFrame, time_column: str) -> pd.DataFrame:
    times = frame[time_column]
    if not pd.api.types.is_numeric_dtype(times):
        if not pd.api.types.is_datetime64_any_dtype(times):
            times = times.map(str, na_action="ignore")
        times = pd.to_datetime(times, utc=True, errors="coerce", format="ISO8601")
    if times.isna().any():
        row = int(np.argmax(times.isna().to_numpy()))
        msg = f"the column {time_column!r} has no time in row {frame.index[row]}"
        raise WrongUsage(msg, hint="times are numbers or ISO 8601, such as 2013-12-01T10:15:00Z")
    return frame.iloc[np.argsort(times.to_numpy(), kind="stable")]


def _task(estimator: Estimator) -> Task:
    if is_classifier(estimator):
        return Task.CLASSIFICATION
    if is_regressor(estimator):
        return Task.REGRESSION
    msg = f"{type(estimator).__name__} is neither a regressor nor a classifier"
    raise UnsupportedModel(msg, hint="fit it yourself and use `bundle`")


def _truth(target: "pd.Series[Any]", task: Task) -> npt.NDArray[Any]:
    """Give the target as an array of one plain type, so that labels are plain values."""
    values = target.tolist()
    if task is Task.REGRESSION:
        if not _is_numeric(target):
            msg = f"the target {target.name!r} is not numbers, which a regressor needs"
            raise UnsupportedModel(msg, hint="train a classifier, or name another target")
        return np.asarray(values, dtype=np.float64)
    if all(isinstance(value, str) for value in values):
        return np.asarray(values, dtype=np.str_)
    if all(isinstance(value, bool) for value in values):
        return np.asarray(values, dtype=np.bool_)
    if _is_numeric(target) and (target % 1 == 0).all():
        return np.asarray(values, dtype=np.int64)
    msg = f"the target {target.name!r} is not all whole numbers, all booleans or all text"
    raise UnsupportedModel(msg, hint="give one kind of value, or train a regressor")


def _fit_and_evaluate(
    estimator: Estimator, task: Task, sample: pd.DataFrame, truth: npt.NDArray[Any], rows: int
) -> dict[str, float]:
    """Fit on the first `rows` and give the metrics of the others."""
    unseen, fitted_truth, truth = sample.iloc[rows:], truth[:rows], truth[rows:]
    try:
        estimator.fit(sample.iloc[:rows], fitted_truth)
        predicted = estimator.predict(unseen)
        if task is Task.REGRESSION:
            return regression_metrics(truth, predicted, fitted_truth)
        probabilities = None
        if hasattr(estimator, "predict_proba"):
            probabilities = estimator.predict_proba(unseen)
        labels = list(estimator.classes_)
        return classification_metrics(truth, predicted, fitted_truth, probabilities, labels)
    except (ValueError, TypeError) as error:  # how scikit-learn refuses a table
        msg = f"{type(estimator).__name__} cannot be fitted and evaluated on this table: {error}"
        raise UnsupportedModel(msg, hint="choose other features, or another estimator") from error
