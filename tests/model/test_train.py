"""Training: what is fitted, what it is evaluated on, and what is said of it."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import OneHotEncoder
from threadpoolctl import threadpool_limits

from model.errors import StreamscoreError, UnsupportedModel, WrongUsage
from model.metrics import classification_metrics, regression_metrics
from model.signature import Task
from model.train import choose_task, train


@pytest.fixture(scope="module", autouse=True)
def one_native_thread() -> Any:
    """More threads would only wait for each other on a busy machine."""
    with threadpool_limits(1):
        yield


def flights(rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "day": np.arange(rows)[::-1],
            "carrier": np.array(["UA", "AA", "B6"])[rng.integers(0, 3, rows)],
            "dep_delay": rng.normal(10, 30, rows),
            "night": rng.random(rows) > 0.8,
        }
    )
    slow = (frame["carrier"] == "B6") * 20
    return frame.assign(arr_delay=frame["dep_delay"] + slow + rng.normal(0, 1, rows))


def test_the_last_rows_in_time_are_evaluated() -> None:
    """Rows are put in the order of the time column; the last share is not fitted."""
    frame = flights()

    trained = train(frame, target="arr_delay", time_column="day", test_share=0.25)

    assert trained.task is Task.REGRESSION
    assert list(trained.sample.columns) == ["carrier", "dep_delay", "night"]
    in_time = frame["dep_delay"].iloc[::-1].tolist()
    assert trained.sample["dep_delay"].tolist() == in_time
    unseen = frame.iloc[::-1].iloc[225:]
    error = np.abs(trained.estimator.predict(unseen[trained.sample.columns]) - unseen["arr_delay"])
    assert trained.metrics["mae"] == pytest.approx(error.mean())
    assert trained.metrics["mae"] < trained.metrics["baseline_mae"]
    assert trained.training == {
        "target": "arr_delay",
        "evaluated_on": "the last rows by day",
        "rows_fitted": 225,
        "rows_evaluated": 75,
        "rows_without_target": 0,
        "refitted_on_all_rows": False,
        "baseline": {"prediction": frame["arr_delay"].iloc[::-1].iloc[:225].median()},
    }


def test_without_a_time_the_given_order_holds() -> None:
    """Without a time column the last rows are the last of the table."""
    trained = train(flights(), target="arr_delay", features=["dep_delay"])

    assert trained.sample["dep_delay"].tolist() == flights()["dep_delay"].tolist()
    assert trained.training["evaluated_on"] == "the last rows given"
    assert trained.training["rows_evaluated"] == 60


@pytest.mark.parametrize(
    "times",
    [
        ["2013-12-01T00:00:00Z", "2013-01-01T00:00:00+02:00", "2013-06-01T00:00:00Z"],
        pd.to_datetime(["2013-12-01", "2013-01-01", "2013-06-01"]),
        [12.0, 1.0, 6.0],
    ],
)
def test_times_are_read_as_they_come(times: Any) -> None:
    """ISO 8601 texts, datetimes and numbers are put in order."""
    frame = pd.DataFrame({"at": times, "x": [12, 1, 6], "y": [0.5, 1.5, 2.5]})

    trained = train(
        frame, target="y", time_column="at", build=lambda _: LinearRegression(), test_share=0.3
    )

    assert trained.sample["x"].tolist() == [1, 6, 12]


def test_a_row_without_a_time_is_named() -> None:
    """A time that cannot be read is an error, not the end of the table."""
    frame = flights(20).assign(day="2013-12-01")
    frame.loc[7, "day"] = "someday"

    with pytest.raises(WrongUsage, match="'day' has no time in row 7"):
        train(frame, target="arr_delay", time_column="day")


def test_rows_without_a_target_are_left_out_and_counted() -> None:
    """A cancelled flight has no delay: it is neither fitted nor evaluated."""
    frame = flights()
    frame.loc[::10, "arr_delay"] = np.nan

    trained = train(frame, target="arr_delay")

    assert trained.training["rows_without_target"] == 30
    assert len(trained.sample) == 270


def test_categories_are_told_to_the_trees_where_they_fit() -> None:
    """Text with at most 255 values is a category; more of them stay ordinal numbers."""
    frame = pd.DataFrame(
        {
            "plane": [f"N{number}" for number in range(400)],
            "x": np.arange(400.0),
            "carrier": ["UA", "AA"] * 200,
            "y": np.arange(400.0),
        }
    )

    trained = train(frame, target="y")

    assert trained.estimator[-1].categorical_features == [1]
    assert trained.estimator[-1].is_categorical_.tolist() == [False, True, False]


def test_unseen_and_missing_values_are_predicted() -> None:
    """A category that no row had, and missing values of every kind, get a prediction."""
    frame = flights().astype({"night": object})
    frame.loc[::9, ["carrier", "night"]] = None
    frame.loc[::5, "dep_delay"] = np.nan
    estimator = train(frame, target="arr_delay").estimator

    unseen = pd.DataFrame(
        {"day": 1, "carrier": ["XX", None], "dep_delay": [1.0, np.nan], "night": [None, True]}
    )

    assert np.isfinite(estimator.predict(unseen)).all()


@pytest.mark.parametrize(
    ("target", "task"),
    [
        (["late", "on time"] * 10, Task.CLASSIFICATION),
        ([True, False] * 10, Task.CLASSIFICATION),
        ([0, 1, 2, 1] * 5, Task.CLASSIFICATION),
        ([0.0, 1.0] * 10, Task.CLASSIFICATION),
        ([0.5, 1.0] * 10, Task.REGRESSION),
        (list(range(20)), Task.REGRESSION),
        (list(range(21)) * 10, Task.REGRESSION),
    ],
)
def test_the_target_chooses_the_task(target: list[Any], task: Task) -> None:
    """Text, booleans and few whole numbers are classes; other numbers are a quantity."""
    assert choose_task(pd.Series(target, name="y")) is task


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["on time", "late"], ["late", "on time"]),
        ([True, False], [False, True]),
        ([1, 0], [0, 1]),
        ([1.0, 0.0], [0, 1]),
    ],
)
def test_labels_are_plain_values(labels: list[Any], expected: list[Any]) -> None:
    """A classifier's labels are the target's values: text, booleans or whole numbers."""
    frame = flights().assign(y=np.where(flights()["dep_delay"] > 10, *labels))

    trained = train(frame, target="y", features=["dep_delay", "night"])

    assert trained.task is Task.CLASSIFICATION
    assert trained.estimator.classes_.tolist() == expected
    assert [type(x) for x in trained.estimator.classes_.tolist()] == [type(x) for x in expected]
    baseline: Any = trained.training["baseline"]
    shares = baseline["shares"]
    assert list(shares) == [str(label).lower() for label in expected]
    assert sum(shares.values()) == pytest.approx(1)
    assert set(trained.metrics) == {
        "accuracy",
        "baseline_accuracy",
        "log_loss",
        "baseline_log_loss",
        "auc",
    }
    assert trained.metrics["accuracy"] > trained.metrics["baseline_accuracy"]


def test_an_estimator_of_ones_own_is_fitted() -> None:
    """`build` is given the features of the fitted rows and its estimator decides the task."""
    seen: list[tuple[int, int]] = []

    def build(features: pd.DataFrame) -> Any:
        seen.append(features.shape)
        return LinearRegression()

    trained = train(
        flights().assign(late=flights()["arr_delay"] > 0),
        target="late",
        features=["dep_delay"],
        build=build,
    )

    assert seen == [(240, 1)]
    assert trained.task is Task.REGRESSION
    assert trained.estimator.coef_.shape == (1,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "arr_dela"}, "no column 'arr_dela'"),
        ({"features": ["dep_delay", "dst"]}, "no column 'dst'"),
        ({"time_column": "days"}, "no column 'days'"),
        ({"features": ["dep_delay", "arr_delay"]}, "told the answer"),
        ({"features": ["dep_delay", "dep_delay"]}, "named twice"),
        ({"test_share": 0.0}, "between 0 and 1"),
        ({"test_share": 1.0}, "between 0 and 1"),
        ({"test_share": 0.999}, "too few"),
        ({"target": "same"}, "only one value"),
        ({"target": "mixed"}, "not all"),
        ({"build": lambda _: KMeans()}, "neither a regressor nor a classifier"),
        (
            {"target": "carrier", "features": ["dep_delay"], "build": lambda _: LinearRegression()},
            "a regressor needs",
        ),
        ({"build": lambda _: LinearRegression()}, "could not convert string"),
        ({"features": ["at"]}, "'at'"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes: dict[str, Any], message: str) -> None:
    """A slip is an error that names it, before or while fitting."""
    frame = flights().assign(
        same=1, mixed=[1, "a", True] * 100, at=pd.date_range("2013-01-01", periods=300)
    )
    features = ["carrier", "dep_delay"]

    with pytest.raises(StreamscoreError, match=message):
        train(frame, **{"target": "arr_delay", "features": features, **changes})


def test_an_estimator_that_fails_on_unseen_rows_is_refused() -> None:
    """A pipeline that cannot take the evaluated rows is found before it is bundled."""
    frame = flights()
    frame.loc[299, "carrier"] = "XX"

    with pytest.raises(UnsupportedModel, match="cannot be fitted and evaluated"):
        train(
            frame,
            target="arr_delay",
            features=["carrier"],
            build=lambda _: strict_encoder(),
        )


def strict_encoder() -> Any:
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415 - next to its only use

    return make_pipeline(OneHotEncoder(), LinearRegression())


def test_metrics_are_those_of_scikit_learn() -> None:
    """Log-loss and AUC are scikit-learn's where it defines them."""
    rng = np.random.default_rng(0)
    truth = np.array(["a", "b", "c"])[rng.integers(0, 3, 200)]
    features = rng.normal(size=(200, 2)) + (truth == "a")[:, None]
    estimator = LogisticRegression().fit(features, truth)
    probabilities = estimator.predict_proba(features)

    metrics = classification_metrics(
        truth, estimator.predict(features), truth, probabilities, ["a", "b", "c"]
    )

    assert metrics["log_loss"] == pytest.approx(log_loss(truth, probabilities))
    area = roc_auc_score(truth, probabilities, multi_class="ovr", average="macro")
    assert metrics["auc"] == pytest.approx(area)
    assert metrics["accuracy"] == pytest.approx(estimator.score(features, truth))


def test_metrics_that_are_not_defined_are_left_out() -> None:
    """One row has no R²; rows of one label have no AUC; a label never fitted costs its most."""
    one = np.array([1.0])
    assert set(regression_metrics(one, one, one)) == {
        "mae",
        "rmse",
        "baseline_mae",
        "baseline_rmse",
    }

    truth = np.array(["new", "new"])
    certain = np.array([[1.0, 0.0], [1.0, 0.0]])
    metrics = classification_metrics(
        truth, np.array(["a", "a"]), np.array(["a", "b"]), certain, ["a", "b"]
    )
    assert "auc" not in metrics
    assert metrics["log_loss"] == pytest.approx(-math.log(1e-15))


@settings(deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30),
)
def test_metrics_are_always_finite(truth: list[float], fitted: list[float]) -> None:
    """Whatever the numbers, no metric is NaN, and a perfect model has no error."""
    rows = np.array(truth)
    metrics = regression_metrics(rows, rows, np.array(fitted))

    assert all(math.isfinite(value) for value in metrics.values())
    assert metrics["mae"] == metrics["rmse"] == 0
