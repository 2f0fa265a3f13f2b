"""How good predictions are, beside what a model that ignores its features would reach.

Pure numpy; metrics that a set of rows does not define are left out rather than NaN.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import r2_score, roc_auc_score

from model.schema import label_key
from model.signature import Task

_LEAST_PROBABILITY = 1e-15  # a wrong certainty costs 34.5, not infinity


def regression_metrics(
    truth: npt.NDArray[Any], predicted: npt.NDArray[Any], fitted_truth: npt.NDArray[Any]
) -> dict[str, float]:
    """MAE, RMSE and R² of `predicted`, in the target's unit.

    The baselines are the best constants: the fitted rows' median (MAE) and mean (RMSE).
    """
    error = truth - predicted
    median, mean = np.median(fitted_truth), np.mean(fitted_truth)
    metrics = {
        "mae": float(np.abs(error).mean()),
        "rmse": math.sqrt(np.square(error).mean()),
        "r2": float(r2_score(truth, predicted)) if len(np.unique(truth)) > 1 else math.nan,
        "baseline_mae": float(np.abs(truth - median).mean()),
        "baseline_rmse": math.sqrt(np.square(truth - mean).mean()),
    }
    return _finite(metrics)


def classification_metrics(
    truth: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
    fitted_truth: npt.NDArray[Any],
    probabilities: npt.NDArray[Any] | None,
    labels: Sequence[object],
) -> dict[str, float]:
    """Accuracy and, with probabilities (n, n_labels), log-loss and AUC (one against the rest).

    The baselines are the fitted rows' most frequent label and the shares of their labels.
    """
    shares = np.asarray([np.mean(fitted_truth == label) for label in labels])
    metrics = {
        "accuracy": float(np.mean(truth == predicted)),
        "baseline_accuracy": float(np.mean(truth == labels[int(np.argmax(shares))])),
    }
    if probabilities is not None:
        metrics["log_loss"] = _log_loss(truth, probabilities, labels)
        constant = np.broadcast_to(shares, probabilities.shape)
        metrics["baseline_log_loss"] = _log_loss(truth, constant, labels)
        metrics["auc"] = _auc(truth, probabilities, labels)
    return _finite(metrics)


def best_constant(fitted_truth: npt.NDArray[Any], task: Task) -> dict[str, Any]:
    """What the baselines answer to every row, for the card.

    The median of the fitted rows (`prediction`), or the shares of their labels (`shares`).
    """
    if task is Task.REGRESSION:
        return {"prediction": float(np.median(fitted_truth))}
    labels, counts = np.unique(fitted_truth, return_counts=True)
    shares = (counts / len(fitted_truth)).tolist()
    named = map(label_key, labels.tolist())
    return {"shares": dict(zip(named, shares, strict=True))}


def _log_loss(
    truth: npt.NDArray[Any], probabilities: npt.NDArray[Any], labels: Sequence[object]
) -> float:
    """Mean of -ln p(true label); scikit-learn's refuses labels that no fitted row had."""
    given = np.zeros(len(truth))
    for column, label in enumerate(labels):
        given = np.where(truth == label, probabilities[:, column], given)
    return float(-np.log(np.clip(given, _LEAST_PROBABILITY, 1)).mean())


def _auc(
    truth: npt.NDArray[Any], probabilities: npt.NDArray[Any], labels: Sequence[object]
) -> float:
    """Mean over the labels that some of the rows have and some have not; NaN without any."""
    if len(labels) == 2:  # noqa: PLR2004 - both labels' curves are the same
        labels, probabilities = labels[1:], probabilities[:, 1:]
    areas = [
        roc_auc_score(is_label, probabilities[:, column])
        for column, label in enumerate(labels)
        if 0 < (is_label := truth == label).sum() < len(truth)
    ]
    return float(np.mean(areas)) if areas else math.nan


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
