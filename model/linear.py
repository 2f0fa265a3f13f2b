"""The accelerated engine of linear models on numbers: scaling and one matrix product.

What scikit-learn computes, without its checks of a table that was checked when it was decoded: for
one row they cost a hundred times the product. Proved before it is used, as compiled trees are
(model/compiled.py).
"""

from collections.abc import Sequence
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
from sklearn.preprocessing import StandardScaler
from sklearn.utils.extmath import softmax

from model.columns import Matrix, Number
from model.engines import Answers, Engine, NotKnown
from model.signature import Kind, Signature
from model.table import Table

LINEAR = {LinearRegression, Ridge, Lasso, ElasticNet, LogisticRegression, LogisticRegressionCV}


class LinearEngine:
    """A linear model, in numpy; `plain` answers where scikit-learn refuses a row.

    `steps` come before it in its pipeline.

    Raises:
        NotKnown: it is more than a linear model of scaled numbers.
        AttributeError: scikit-learn holds it in another way than it did.

    """

    name = "compiled"

    def __init__(
        self,
        steps: Sequence[Any],
        model: Any,  # noqa: ANN401 - of `LINEAR`
        signature: Signature,
        plain: Engine,
    ) -> None:
        for feature in signature.features:
            # Of float32 alone, scikit-learn makes sums that are less exact.
            if feature.kind is Kind.STRING or feature.dtype in {"object", "float32"}:
                raise NotKnown
        if any(type(step) is not StandardScaler for step in steps):
            raise NotKnown
        self._inputs = Matrix([Number(at) for at in range(len(signature.features))], single=False)
        self._scalers = [
            (
                scaler.mean_ if scaler.with_mean else None,
                scaler.scale_ if scaler.with_std else None,
            )
            for scaler in steps
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
        rows = self._inputs(table)
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
