"""The accelerated engine of linear models on numbers: scaling and one matrix product.

What scikit-learn computes, without its checks of a table that was checked when it was decoded: for
one row they cost a hundred times the product. Proved before it is used, as compiled trees are
(model/compiled.py).
"""

from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.extmath import softmax

from model.engines import Answers, Engine
from model.signature import Kind, Signature
from model.table import Table

_REGRESSORS = {LinearRegression, Ridge, Lasso, ElasticNet}
_CLASSIFIERS = {LogisticRegression, LogisticRegressionCV}


class LinearEngine:
    """A linear model, in numpy; `plain` answers where scikit-learn refuses a row."""

    name = "compiled"

    def __init__(
        self,
        scalers: list[StandardScaler],
        model: Any,  # noqa: ANN401 - either of the two kinds
        signature: Signature,
        plain: Engine,
    ) -> None:
        self._scalers = [
            (
                scaler.mean_ if scaler.with_mean else None,
                scaler.scale_ if scaler.with_std else None,
            )
            for scaler in scalers
        ]
        self._coefficients = np.asarray(model.coef_, dtype=np.float64).T
        self._intercept = model.intercept_
        self._classes = getattr(model, "classes_", None)
        self._probabilities = signature.probabilities
        self._plain = plain

    def answer(self, table: Table) -> Answers:
        """The estimator's answers.

        Raises:
            Exception: whatever the estimator raises.

        """
        rows = np.empty((table.rows, len(table.columns)))
        for at, column in enumerate(table.columns):
            rows[:, at] = column
        with np.errstate(over="ignore", invalid="ignore"):
            for mean, scale in self._scalers:
                if mean is not None:
                    rows -= mean
                if scale is not None:
                    rows /= scale
        if not np.isfinite(rows).all():  # as it came, or once it was scaled
            return self._plain.answer(table)
        sums = rows @ self._coefficients + self._intercept
        if self._classes is None:
            return Answers(sums.reshape(table.rows))
        if sums.shape[1] == 1:
            sums = sums[:, 0]
            chosen, share = (sums > 0).astype(int), expit(sums)
            given = np.stack([1 - share, share], axis=1)
        else:
            chosen, given = np.argmax(sums, axis=1), softmax(sums, copy=True)
        return Answers(self._classes[chosen], given if self._probabilities else None)


def linear_engine(estimator: Any, signature: Signature, plain: Engine) -> LinearEngine | None:  # noqa: ANN401
    """The engine of a linear model of numbers, not yet proved; None where it is none.

    Raises:
        AttributeError, TypeError, ValueError: scikit-learn holds it in another way than it did.

    """
    steps = [step for _, step in estimator.steps] if type(estimator) is Pipeline else [estimator]
    *scalers, last = steps
    numbers = all(  # of float32 alone, scikit-learn makes sums that are less exact
        f.kind is not Kind.STRING and f.dtype not in {"object", "float32"}
        for f in signature.features
    )
    if type(last) not in _REGRESSORS | _CLASSIFIERS or not numbers:
        return None
    if any(type(scaler) is not StandardScaler for scaler in scalers):
        return None
    return LinearEngine(scalers, last, signature, plain)
