"""model/linear.py: linear models answer as scikit-learn does, and refuse what it refuses."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from model.compiled import compile_engine, disagreement, probe_table
from model.engines import NotKnown, ScikitLearnEngine
from model.linear import LINEAR, LinearEngine
from model.scorer import Scorer
from model.signature import Signature, infer_signature
from model.table import Table, table_from_frame

ROWS = 120
REGRESSORS = [LinearRegression(), Ridge(), Lasso(alpha=0.01), ElasticNet(alpha=0.01)]
CLASSIFIERS = [
    LogisticRegression(max_iter=2000),
    LogisticRegression(max_iter=2000, fit_intercept=False),
    LogisticRegressionCV(
        Cs=2,
        l1_ratios=(0,),
        cv=2,
        max_iter=2000,
        scoring="accuracy",
        use_legacy_attributes=False,
    ),
]
SCALERS: list[tuple[Any, ...]] = [
    (),
    (StandardScaler(),),
    (StandardScaler(with_mean=False), StandardScaler(with_std=False)),
]


def numbers() -> pd.DataFrame:
    """Floats, whole numbers and booleans."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(rng.normal(size=(ROWS, 3)), columns=["width", "depth", "weight"])
    return frame.assign(count=rng.integers(-50, 50, ROWS), open=rng.random(ROWS) < 0.4)


def quantity(frame: pd.DataFrame) -> Any:
    return frame["width"] * 3 - frame["depth"] + frame["count"] / 9


def fitted(steps: tuple[Any, ...], model: Any, target: Any) -> tuple[Any, Signature, Table]:
    frame = numbers()
    estimator = make_pipeline(*steps, model).fit(frame, target)
    signature = infer_signature(estimator, frame)
    return estimator, signature, table_from_frame(signature, frame)


def require_agreement(estimator: Any, signature: Signature, table: Table) -> LinearEngine:
    """The engine is the linear one, and answers the probe as the estimator does."""
    plain = ScikitLearnEngine(estimator, signature)
    engine = compile_engine(estimator, signature, plain)
    assert isinstance(engine, LinearEngine)
    assert disagreement(engine, plain, probe_table(signature, table)) is None
    return engine


def test_every_linear_model_is_tested_here() -> None:
    """What the engine takes is what these tests fit."""
    assert {type(model) for model in REGRESSORS + CLASSIFIERS} == LINEAR


@pytest.mark.parametrize("steps", SCALERS, ids=len)
@pytest.mark.parametrize("model", REGRESSORS, ids=repr)
def test_a_regression_answers_as_scikit_learn(model: Any, steps: tuple[Any, ...]) -> None:
    """With and without scaling."""
    require_agreement(*fitted(steps, model, quantity(numbers())))


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("steps", SCALERS, ids=len)
@pytest.mark.parametrize("model", CLASSIFIERS, ids=repr)
def test_a_classifier_answers_as_scikit_learn(
    model: Any, steps: tuple[Any, ...], labels: int
) -> None:
    """Labels are the same, and probabilities to a rounding error."""
    ranks = pd.qcut(quantity(numbers()), labels, labels=False)
    target = np.array(["low", "high", "top"])[ranks]
    require_agreement(*fitted(steps, model, target))


def test_a_row_that_scikit_learn_refuses_is_refused_alone() -> None:
    """A value that overflows once it is scaled: its neighbours are answered."""
    estimator, signature, table = fitted((StandardScaler(),), Ridge(), quantity(numbers()))
    engine = require_agreement(estimator, signature, table)
    table.columns[0][[3, 7]] = 1.7e308, -1.7e308
    estimator[0].scale_[0] = 1e-3
    engine = LinearEngine(
        [estimator[0]], estimator[-1], signature, ScikitLearnEngine(estimator, signature)
    )

    with np.errstate(over="ignore"):
        given = Scorer(engine).score(table)
        expected = Scorer(ScikitLearnEngine(estimator, signature)).score(table)

    assert set(given.failed) == {3, 7}
    assert given.failed == expected.failed
    assert given.answers is not None
    assert expected.answers is not None
    np.testing.assert_allclose(given.answers.prediction, expected.answers.prediction, rtol=1e-12)


def test_a_batch_scores_as_its_rows_do() -> None:
    """Whatever kernel a matrix product takes."""
    estimator, signature, table = fitted((StandardScaler(),), Ridge(), quantity(numbers()))
    engine = require_agreement(estimator, signature, table)
    alone = [engine.answer(table.take([row])).prediction[0] for row in range(table.rows)]
    np.testing.assert_allclose(engine.answer(table).prediction, alone, rtol=1e-12)


class Biased(Ridge):  # type: ignore[misc]
    """A subclass may do anything."""


@pytest.mark.parametrize(
    ("steps", "model", "dtype"),
    [
        ((MinMaxScaler(),), Ridge(), "float64"),
        ((), Biased(), "float64"),
        ((StandardScaler(),), Ridge(), "float32"),
    ],
    ids=["another step", "a subclass", "float32"],
)
def test_what_is_more_than_that_is_not_compiled(
    steps: tuple[Any, ...],
    model: Any,
    dtype: Any,
) -> None:
    """It stays with scikit-learn, and that is nothing to warn of."""
    frame = numbers().astype(dtype)
    estimator = make_pipeline(*steps, model).fit(frame, quantity(frame))
    signature = infer_signature(estimator, frame)
    with pytest.raises(NotKnown):
        compile_engine(estimator, signature, ScikitLearnEngine(estimator, signature))
