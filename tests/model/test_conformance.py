"""The same promises for every kind of estimator: saved, loaded and scored as it scores itself."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, SVR, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from threadpoolctl import threadpool_limits

import model
from model.bundle import Model
from model.codec import EventDecoder
from model.engines import Answers
from model.event import encode_event
from model.rejection import Code
from model.scorer import Scores
from model.signature import Task

# LocalOutlierFactor warns of the array that it passes to itself.
pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")

ROWS = 80
RTOL, ATOL = 1e-6, 1e-9


@pytest.fixture(scope="module", autouse=True)
def one_native_thread() -> Iterator[None]:
    """As in the scoring service; more would only wait for each other on a busy machine."""
    with threadpool_limits(1):
        yield


def measurements() -> pd.DataFrame:
    """Three columns of numbers, one of whole numbers."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(ROWS, 3)), columns=["width", "depth", "weight"])
    return frame.assign(count=rng.integers(0, 50, ROWS))


def with_gaps() -> pd.DataFrame:
    frame = measurements()
    frame.loc[::7, "width"] = np.nan
    return frame


def with_text() -> pd.DataFrame:
    carrier = np.array(["UA", "AA", "B6", "Zürich ✈"])[np.arange(ROWS) % 4]
    return measurements().assign(carrier=carrier)


def with_everything() -> pd.DataFrame:
    frame = with_gaps().assign(carrier=with_text()["carrier"])
    frame.loc[::11, "carrier"] = None
    return frame


def quantity(frame: pd.DataFrame) -> "pd.Series[float]":
    amount: pd.Series[float] = frame["depth"] * 3 + frame["count"] / 10
    return amount


def size(frame: pd.DataFrame) -> np.ndarray[Any, Any]:
    return np.array(["small", "medium", "large"])[np.digitize(frame["depth"], [-0.5, 0.5])]


def late(frame: pd.DataFrame) -> "pd.Series[bool]":
    return frame["depth"] > 0


def ordinal(estimator: Any) -> Any:
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan
    )
    columns = make_column_transformer((encoder, ["carrier"]), remainder="passthrough")
    return make_pipeline(columns, estimator)


def one_hot(estimator: Any) -> Any:
    encoder = OneHotEncoder(handle_unknown="error")
    columns = make_column_transformer((encoder, ["carrier"]), remainder=StandardScaler())
    return make_pipeline(columns, estimator)


def network(frame: pd.DataFrame) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        perceptron = MLPRegressor(hidden_layer_sizes=(8,), max_iter=20, random_state=0)
        return make_pipeline(StandardScaler(), perceptron).fit(frame, quantity(frame))


def vote(frame: pd.DataFrame) -> Any:
    members = [("tree", DecisionTreeClassifier(max_depth=2)), ("bayes", GaussianNB())]
    return VotingClassifier(members, voting="soft").fit(frame, size(frame))


def categories() -> pd.DataFrame:
    return with_everything().astype({"carrier": "category"})


def flags() -> pd.DataFrame:
    return measurements().assign(cancelled=np.arange(ROWS) % 3 == 0)


def small_floats() -> pd.DataFrame:
    return measurements().astype({"width": "float32", "count": "int16"})


@dataclass(frozen=True)
class Case:
    """An estimator: how it is fitted, and on what."""

    inputs: Callable[[], pd.DataFrame]
    fit: Callable[[pd.DataFrame], Any]


CASES = {
    "linear": Case(measurements, lambda X: LinearRegression().fit(X, quantity(X))),
    "logistic": Case(measurements, lambda X: LogisticRegression(max_iter=500).fit(X, late(X))),
    "forest": Case(measurements, lambda X: RandomForestRegressor(10, n_jobs=2).fit(X, quantity(X))),
    "forest of classes": Case(with_gaps, lambda X: RandomForestClassifier(10).fit(X, size(X))),
    "boosting": Case(
        measurements, lambda X: GradientBoostingRegressor(n_estimators=20).fit(X, quantity(X))
    ),
    "histogram boosting of categories and gaps": Case(
        with_everything,
        lambda X: ordinal(
            HistGradientBoostingRegressor(max_iter=10, min_samples_leaf=5, categorical_features=[0])
        ).fit(X, quantity(X)),
    ),
    "histogram boosting of a category dtype": Case(
        categories,
        lambda X: HistGradientBoostingClassifier(
            max_iter=10, min_samples_leaf=5, categorical_features="from_dtype"
        ).fit(X, size(X)),
    ),
    "support vectors": Case(measurements, lambda X: SVR().fit(X, quantity(X))),
    "support vectors without probabilities": Case(measurements, lambda X: SVC().fit(X, size(X))),
    "calibrated": Case(measurements, lambda X: CalibratedClassifierCV(SVC(), cv=2).fit(X, late(X))),
    "neighbours": Case(measurements, lambda X: KNeighborsClassifier().fit(X, size(X))),
    "network": Case(measurements, network),
    "gaussian process": Case(
        measurements, lambda X: GaussianProcessRegressor().fit(X, quantity(X))
    ),
    "isolation forest": Case(
        measurements, lambda X: IsolationForest(n_estimators=10, random_state=0).fit(X)
    ),
    "local outliers": Case(
        measurements, lambda X: LocalOutlierFactor(n_neighbors=5, novelty=True).fit(X)
    ),
    "one class": Case(measurements, lambda X: OneClassSVM().fit(X)),
    "clusters": Case(measurements, lambda X: KMeans(3, n_init=1, random_state=0).fit(X)),
    "tree of text labels": Case(
        measurements, lambda X: DecisionTreeClassifier(max_depth=3).fit(X, size(X))
    ),
    "tree of whole labels": Case(
        measurements, lambda X: DecisionTreeClassifier(max_depth=3).fit(X, X["count"] // 10)
    ),
    "one-hot text": Case(
        with_text, lambda X: one_hot(LogisticRegression(max_iter=500)).fit(X, size(X))
    ),
    "imputed": Case(
        with_gaps,
        lambda X: make_pipeline(SimpleImputer(add_indicator=True), Ridge()).fit(X, quantity(X)),
    ),
    "array without names": Case(
        measurements, lambda X: Ridge().fit(X.to_numpy(), quantity(X).to_numpy())
    ),
    "boolean feature": Case(
        flags, lambda X: DecisionTreeRegressor(max_depth=4).fit(X, quantity(X))
    ),
    "small floats": Case(small_floats, lambda X: LinearRegression().fit(X, quantity(X))),
    "vote": Case(measurements, vote),
    "search": Case(
        measurements, lambda X: GridSearchCV(Ridge(), {"alpha": [1, 9]}, cv=2).fit(X, quantity(X))
    ),
}


@dataclass(frozen=True)
class Bundled:
    """An estimator beside what came back from the store, and its inputs as events."""

    estimator: Any
    inputs: pd.DataFrame
    loaded: Model

    def events(self) -> list[bytes | None]:
        rows = self.inputs.astype(object).to_dict("records")
        return [
            encode_event({str(k): None if pd.isna(v) else v for k, v in row.items()})
            for row in rows
        ]

    def score(self, events: list[bytes | None]) -> Answers:
        decoded = EventDecoder(self.loaded.signature).decode(events)
        scores = self.loaded.scorer.score(decoded.table)
        assert not scores.failed
        assert scores.answers is not None
        return scores.answers


@pytest.fixture(scope="module", params=CASES)
def bundled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundled:
    case = CASES[request.param]
    inputs = case.inputs()
    estimator = case.fit(inputs)
    store = tmp_path_factory.mktemp("store")
    return Bundled(estimator, inputs, reloaded(estimator, inputs, store))


def assert_same(given: Answers, expected: Answers) -> None:
    if expected.prediction.dtype.kind == "f":
        np.testing.assert_allclose(given.prediction, expected.prediction, rtol=RTOL, atol=ATOL)
    else:
        assert given.prediction.tolist() == expected.prediction.tolist()
    for mine, other in (
        (given.probabilities, expected.probabilities),
        (given.score, expected.score),
    ):
        assert (mine is None) == (other is None)
        if mine is not None and other is not None:
            np.testing.assert_allclose(mine, other, rtol=RTOL, atol=ATOL)


def own_answers(bundled: Bundled) -> Answers:
    """What the estimator itself says, asked as a data scientist asks it."""
    inputs: Any = bundled.inputs
    if not hasattr(bundled.estimator, "feature_names_in_"):
        inputs = inputs.to_numpy()
    task = bundled.loaded.signature.task
    return Answers(
        np.asarray(bundled.estimator.predict(inputs)),
        bundled.estimator.predict_proba(inputs)
        if task is Task.CLASSIFICATION and hasattr(bundled.estimator, "predict_proba")
        else None,
        bundled.estimator.decision_function(inputs) if task is Task.OUTLIER else None,
    )


def test_events_score_as_the_estimator_does(bundled: Bundled) -> None:
    """Bundled, loaded and asked by events, a model answers what its estimator answers a table."""
    assert_same(bundled.score(bundled.events()), own_answers(bundled))


def test_a_table_scores_as_its_events_do(bundled: Bundled) -> None:
    """`Model.score` gives for a DataFrame what the stream gives for the same rows."""
    answers = bundled.score(bundled.events())

    scored = bundled.loaded.score(bundled.inputs)

    columns = scored.drop(columns=["prediction", "score"], errors="ignore")
    given = Answers(
        scored["prediction"].to_numpy(),
        columns.to_numpy() if len(columns.columns) else None,
        scored["score"].to_numpy() if "score" in scored else None,
    )
    assert_same(given, answers)
    assert scored.index.equals(bundled.inputs.index)


def test_a_batch_scores_as_its_rows_do(bundled: Bundled) -> None:
    """An event's answer does not depend on what is in the batch with it."""
    events = bundled.events()
    batch = bundled.score(events)

    for row in range(0, len(events), 9):
        assert_same(bundled.score([events[row]]), batch.take(np.array([row])))


def test_a_rejected_event_does_not_touch_its_neighbours(bundled: Bundled) -> None:
    """Broken events in a batch are named one by one, and the others score as without them."""
    events = bundled.events()
    alone = bundled.score(events)
    broken: list[bytes | None] = [b"", b"{}", b"[1]", None, b'{"width":']
    mixed = [*broken, *events[:40], *broken, *events[40:], *broken]

    decoded = EventDecoder(bundled.loaded.signature).decode(mixed)
    scores = bundled.loaded.scorer.score(decoded.table)

    assert len(decoded.rejections) == 3 * len(broken)
    assert scores.answers is not None
    assert_same(scores.answers, alone)


def test_an_event_that_makes_the_model_raise_fails_alone(tmp_path: Path) -> None:
    """A category that the pipeline refuses is one failure, and its neighbours are scored."""
    inputs = with_text()
    estimator = one_hot(LogisticRegression(max_iter=500)).fit(inputs, size(inputs))
    loaded = reloaded(estimator, inputs, tmp_path)
    poisoned = inputs.copy()
    poisoned.loc[[3, 4, 77], "carrier"] = "never seen"

    scored = loaded.score(poisoned)

    healthy = [row for row in range(ROWS) if row not in {3, 4, 77}]
    assert set(scored.attrs["rejections"]) == {3, 4, 77}
    assert scored["prediction"].isna().tolist() == [row in {3, 4, 77} for row in range(ROWS)]
    assert (
        scored["prediction"].iloc[healthy].tolist() == estimator.predict(inputs)[healthy].tolist()
    )


def test_a_failure_says_what_the_model_raised_and_nothing_of_the_event(tmp_path: Path) -> None:
    """The rejection names the exception; the value that caused it stays out of it."""
    inputs = with_text()
    estimator = one_hot(LogisticRegression(max_iter=500)).fit(inputs, size(inputs))
    event = inputs.iloc[0].to_dict() | {"carrier": "a secret"}

    scores = score_events(reloaded(estimator, inputs, tmp_path), [event])

    assert scores.answers is None
    assert scores.failed[0].code == Code.SCORE_FAILED
    assert "ValueError" in scores.failed[0].message
    assert "a secret" not in scores.failed[0].message


def test_an_event_whose_answer_is_not_finite_fails_alone(tmp_path: Path) -> None:
    """An answer that overflows is one failure, and its neighbours are scored."""
    inputs = measurements()[["width"]].abs()
    steep = TransformedTargetRegressor(LinearRegression(), func=np.log, inverse_func=np.exp)
    estimator = steep.fit(inputs, np.exp(inputs["width"]))
    events = [{"width": width} for width in (0.5, 1e6, 1.0, 1e7, 2.0)]

    with np.errstate(over="ignore"):
        scores = score_events(reloaded(estimator, inputs, tmp_path), events)

    assert {row: failure.code for row, failure in scores.failed.items()} == {
        1: Code.NOT_FINITE,
        3: Code.NOT_FINITE,
    }
    assert scores.positions.tolist() == [0, 2, 4]
    assert scores.answers is not None
    np.testing.assert_allclose(scores.answers.prediction, np.exp([0.5, 1.0, 2.0]), rtol=RTOL)


def reloaded(estimator: Any, inputs: pd.DataFrame, store: Path) -> Model:
    return model.load(model.save(estimator, inputs, name="subject", store=store), store=store)


def score_events(loaded: Model, events: Sequence[Mapping[Any, Any]]) -> Scores:
    decoded = EventDecoder(loaded.signature).decode([encode_event(event) for event in events])
    assert not decoded.rejections
    return loaded.scorer.score(decoded.table)
