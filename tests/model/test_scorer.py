"""Scoring: whatever fails, fails for its row alone, and few calls are made to find it."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model.engines import Answers, ScikitLearnEngine
from model.rejection import Code, Stage
from model.scorer import Scorer
from model.signature import Feature, Kind, Label, Signature, Task, infer_signature
from model.table import Table, table_from_frame

X = Feature("x", Kind.NUMBER, nullable=False, dtype="float64", path=("x",))


def table(values: list[float]) -> Table:
    return Table((np.array(values, dtype=np.float64),), len(values))


class Poisoned:
    """An engine that doubles its numbers, and raises for any batch with a poisoned one in it."""

    name = "poisoned"

    def __init__(self, *poison: float, error: type[BaseException] = ValueError) -> None:
        self.poison = poison
        self.error = error
        self.calls: list[int] = []

    def answer(self, table: Table) -> Answers:
        self.calls.append(table.rows)
        column = table.columns[0]
        if np.isin(column, self.poison).any():
            raise self.error(f"cannot score {column.tolist()}")
        return Answers(column * 2)


def test_a_batch_is_scored_in_one_call() -> None:
    """Where nothing fails, the engine is asked once and its answers are given in order."""
    engine = Poisoned()

    scores = Scorer(engine).score(table([1, 2, 3]))

    assert scores.answers is not None
    assert scores.answers.prediction.tolist() == [2.0, 4.0, 6.0]
    assert scores.positions.tolist() == [0, 1, 2]
    assert scores.failed == {}
    assert engine.calls == [3]
    assert Scorer(engine).engine == "poisoned"


def test_nothing_is_scored_in_no_call() -> None:
    """An empty table asks the engine nothing."""
    engine = Poisoned()

    scores = Scorer(engine).score(table([]))

    assert (scores.answers, scores.positions.tolist(), scores.failed) == (None, [], {})
    assert engine.calls == []


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.sets(st.integers(0, 199)))
def test_only_the_poisoned_rows_fail(count: int, poisoned: set[int]) -> None:
    """Rows that make a batch fail are left out, all others answered as if alone, in order."""
    bad = {row for row in poisoned if row < count}
    engine = Poisoned(*map(float, bad))

    scores = Scorer(engine).score(table(list(map(float, range(count)))))

    good = [row for row in range(count) if row not in bad]
    assert scores.positions.tolist() == good
    assert set(scores.failed) == bad
    given = [] if scores.answers is None else scores.answers.prediction.tolist()
    assert given == [2.0 * row for row in good]
    assert (scores.answers is None) == (not good)


@pytest.mark.parametrize("bad", [0, 1, 4_999, 9_998, 9_999])
def test_one_poisoned_row_costs_few_calls(bad: int) -> None:
    """One bad row in 10,000 is found with at most two calls a halving."""
    engine = Poisoned(float(bad))

    Scorer(engine).score(table(list(map(float, range(10_000)))))

    assert len(engine.calls) <= 1 + 2 * math.ceil(math.log2(10_000))


def test_many_poisoned_rows_cost_at_most_two_calls_a_row() -> None:
    """A model that refuses everything is asked fewer than twice as often as there are rows."""
    engine = Poisoned(*map(float, range(100)))

    scores = Scorer(engine).score(table(list(map(float, range(100)))))

    assert len(scores.failed) == 100
    assert len(engine.calls) == 199


@pytest.mark.parametrize(
    "error", [ValueError, TypeError, KeyError, RecursionError, ZeroDivisionError, UserWarning]
)
def test_whatever_an_estimator_raises_is_the_rows_failure(error: type[Exception]) -> None:
    """Any exception becomes a rejection that names it and where it came from, not its text."""
    scores = Scorer(Poisoned(7351842.0, error=error)).score(table([1, 7351842, 3]))

    rejection = scores.failed[1]
    assert (rejection.stage, rejection.code) == (Stage.SCORE, Code.SCORE_FAILED)
    assert error.__name__ in rejection.message
    assert "test_scorer.py" in rejection.message
    assert "7351842" not in rejection.message
    assert scores.positions.tolist() == [0, 2]


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, SystemExit])
def test_the_machines_failure_is_no_rows(error: type[BaseException]) -> None:
    """What is not the event's fault dead-letters nothing: it goes on to the caller."""
    with pytest.raises(error):
        Scorer(Poisoned(2.0, error=error)).score(table([1, 2, 3]))


@pytest.mark.parametrize(
    "answers",
    [
        Answers(np.array([1.0, math.nan, 3.0])),
        Answers(np.array([1.0, math.inf, 3.0])),
        Answers(np.array([1.0, -math.inf, 3.0])),
        Answers(np.array([1, 1, -1]), score=np.array([1.0, math.nan, 3.0])),
        Answers(
            np.array(["a", "b", "a"]), probabilities=np.array([[1, 0], [math.nan, 1], [0.5, 0.5]])
        ),
    ],
)
def test_an_answer_that_is_not_finite_fails_alone(answers: Answers) -> None:
    """NaN or infinity anywhere in an answer rejects that row and keeps its neighbours'."""
    scores = Scorer(Fixed(answers)).score(table([1, 2, 3]))

    assert {row: why.code for row, why in scores.failed.items()} == {1: Code.NOT_FINITE}
    assert "finite" in scores.failed[1].message
    assert scores.positions.tolist() == [0, 2]
    assert scores.answers is not None
    kept = [scores.answers.prediction, scores.answers.probabilities, scores.answers.score]
    assert {len(part) for part in kept if part is not None} == {2}


def test_when_no_answer_is_finite_there_are_none() -> None:
    """A batch of nothing but NaN has no answers at all."""
    scores = Scorer(Fixed(Answers(np.array([math.nan])))).score(table([1]))

    assert scores.answers is None
    assert scores.positions.tolist() == []
    assert set(scores.failed) == {0}


class Fixed:
    """An engine with one answer for all."""

    name = "fixed"

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    def answer(self, table: Table) -> Answers:
        return self.answers


def test_parts_are_joined_with_probabilities_and_scores() -> None:
    """After a failure, all that the parts gave stands in the order of the rows."""

    class Odd:
        name = "odd"

        def answer(self, table: Table) -> Answers:
            column = table.columns[0]
            if 3.0 in column:
                raise ValueError
            return Answers(column, np.column_stack([column, -column]), column * 10)

    answers = Scorer(Odd()).score(table([0, 1, 2, 3, 4, 5])).answers

    assert answers is not None
    assert answers.prediction.tolist() == [0, 1, 2, 4, 5]
    assert answers.probabilities is not None
    assert answers.probabilities[:, 1].tolist() == [0, -1, -2, -4, -5]
    assert answers.score is not None
    assert answers.score.tolist() == [0, 10, 20, 40, 50]


# The engine of scikit-learn

Answer = Callable[[Any], Any]

FRAME = pd.DataFrame({"x": np.linspace(-2, 2, 40), "y": np.arange(40.0) % 7})
TARGETS: dict[str, Any] = {
    "number": FRAME["x"] * 3 + FRAME["y"],
    "column": (FRAME["x"] * 3).to_numpy().reshape(-1, 1),
    "text": np.where(FRAME["x"] > 0, "late", np.where(FRAME["y"] > 3, "on time", "early")),
    "boolean": FRAME["x"] > 0,
    "integer": FRAME["y"].astype(int) % 3,
}


@pytest.mark.parametrize(
    ("estimator", "target"),
    [
        (LinearRegression(), "number"),
        (LinearRegression(), "column"),
        (RandomForestClassifier(5, random_state=0), "text"),
        (LogisticRegression(), "boolean"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "integer"),
        (make_pipeline(StandardScaler(copy=False), LogisticRegression()), "integer"),
        (IsolationForest(n_estimators=5, random_state=0), "number"),
        (KMeans(3, random_state=0, n_init=1), "number"),
    ],
)
@pytest.mark.parametrize("data", [FRAME, FRAME.to_numpy()], ids=["frame", "array"])
def test_the_engine_gives_the_estimators_own_answers(
    estimator: Any, target: str, data: Any
) -> None:
    """Predictions, probabilities and scores are what the estimator says of the same rows."""
    fitted = estimator.fit(data.copy(), TARGETS[target])
    signature = infer_signature(fitted, FRAME)
    inputs = data[:9]

    answers = ScikitLearnEngine(fitted, signature).answer(
        table_from_frame(signature, FRAME.head(9))
    )

    np.testing.assert_array_equal(answers.prediction, fitted.predict(inputs.copy()).ravel())
    if hasattr(fitted, "predict_proba"):
        assert answers.probabilities is not None
        np.testing.assert_allclose(answers.probabilities, fitted.predict_proba(inputs.copy()))
    else:
        assert answers.probabilities is None
    if isinstance(fitted, IsolationForest):
        assert answers.score is not None
        np.testing.assert_allclose(answers.score, fitted.decision_function(inputs.copy()))
    else:
        assert answers.score is None


class Strange:
    """An estimator that answers what it is told to."""

    def __init__(self, predict: Answer, also: Answer | None = None) -> None:
        self.predict = predict
        self.predict_proba = self.decision_function = also


REGRESSION = Signature((X,), Task.REGRESSION)
CLASSES = Signature((X,), Task.CLASSIFICATION, labels=("a", "b"), probabilities=True)
NUMBERS = Signature((X,), Task.CLASSIFICATION, labels=(0.0, 1.0))
OUTLIERS = Signature((X,), Task.OUTLIER, score=True)
CLUSTERS = Signature((X,), Task.CLUSTERING)


def all_a(inputs: Any) -> Any:
    return np.repeat("a", len(inputs))


@pytest.mark.parametrize(
    ("signature", "estimator"),
    [
        (REGRESSION, Strange(lambda inputs: [1.0] * (len(inputs) + 1))),
        (REGRESSION, Strange(lambda inputs: [1.0] * (len(inputs) - 1))),
        (REGRESSION, Strange(lambda _: 1.0)),
        (REGRESSION, Strange(lambda _: None)),
        (REGRESSION, Strange(lambda inputs: np.ones((len(inputs), 2)))),
        (REGRESSION, Strange(lambda inputs: ["x"] * len(inputs))),
        (CLASSES, Strange(lambda inputs: ["c"] * len(inputs), lambda i: np.ones((len(i), 2)))),
        (CLASSES, Strange(lambda inputs: [None] * len(inputs), lambda i: np.ones((len(i), 2)))),
        (CLASSES, Strange(all_a, lambda inputs: np.ones((len(inputs), 3)))),
        (CLASSES, Strange(all_a, lambda inputs: np.ones((len(inputs) + 1, 2)))),
        (CLASSES, Strange(all_a, lambda inputs: [["x", "y"]] * len(inputs))),
        (NUMBERS, Strange(lambda inputs: np.full(len(inputs), np.nan))),
        (OUTLIERS, Strange(lambda inputs: np.ones(len(inputs), dtype=int), lambda _: 1.0)),
        (OUTLIERS, Strange(lambda inputs: np.full(len(inputs), 0.5), lambda i: np.ones(len(i)))),
        (CLUSTERS, Strange(lambda inputs: ["left"] * len(inputs))),
        (CLUSTERS, Strange(lambda inputs: np.full(len(inputs), np.nan))),
    ],
)
def test_an_answer_of_another_kind_fails(signature: Signature, estimator: Any) -> None:
    """What is not one answer of the signature's kind a row is a failure, and nothing else."""
    scores = Scorer(ScikitLearnEngine(estimator, signature)).score(table([1, 2, 3]))

    assert {why.code for why in scores.failed.values()} == {Code.SCORE_FAILED}
    assert set(scores.failed) == {0, 1, 2}
    assert scores.answers is None


@pytest.mark.parametrize(
    ("signature", "given", "expected"),
    [
        (REGRESSION, [1, 2], [1.0, 2.0]),
        (REGRESSION, np.array([1, 2], dtype=np.float32), [1.0, 2.0]),
        (REGRESSION, [[1], [2]], [1.0, 2.0]),
        (CLUSTERS, np.array([1, 2], dtype=np.int32), [1, 2]),
        (CLUSTERS, np.array([1, 2], dtype=np.uint8), [1, 2]),
        (NUMBERS, np.array([0, 1]), [0, 1]),
    ],
)
def test_answers_are_taken_in_any_form(
    signature: Signature, given: Any, expected: list[Label]
) -> None:
    """Lists, columns and narrow dtypes are taken as the numbers that they are."""
    engine = ScikitLearnEngine(Strange(lambda _: given), signature)

    prediction = engine.answer(table([1, 2])).prediction

    assert prediction.tolist() == expected
    assert [type(value) for value in prediction.tolist()] == [type(value) for value in expected]


def test_a_row_that_an_estimator_refuses_does_not_touch_its_neighbours() -> None:
    """A pipeline that raises for one row scores all the others as it does alone."""

    class Picky(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # it has no types
        classes_ = np.array([False, True])

        def predict(self, X: pd.DataFrame) -> Any:
            if (X["x"] < 0).any():
                message = f"negative: {X['x'].tolist()}"
                raise ValueError(message)
            return (X["x"] > 1).to_numpy()

    frame = pd.DataFrame({"x": [2.0, -7351842.0, 0.5]})
    signature = infer_signature(Picky(), frame)

    scores = Scorer(ScikitLearnEngine(Picky(), signature)).score(table_from_frame(signature, frame))

    assert scores.answers is not None
    assert scores.answers.prediction.tolist() == [True, False]
    assert list(scores.failed) == [1]
    assert "7351842" not in scores.failed[1].message
