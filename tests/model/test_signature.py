"""Signatures: what a sample and an estimator show, what is said besides, what is refused."""

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.cluster import DBSCAN, KMeans
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, OneClassSVM

from model.errors import UnsupportedModel
from model.signature import Feature, Kind, Label, Signature, Task, infer_signature


class AnyRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc] # it has no types
    """Takes whatever it is given."""

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))


class Strange(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # it has no types
    """A classifier whose classes are what they are set to."""

    def __init__(self, classes: Any = None) -> None:
        self.classes = classes
        self.classes_ = classes

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))


def infer(sample: pd.DataFrame, **said: Any) -> tuple[Feature, ...]:
    return infer_signature(AnyRegressor(), sample, **said).features


def column(values: Any, dtype: Any = None) -> pd.DataFrame:
    return pd.DataFrame({"x": pd.Series(values, dtype=dtype)})


NAN = math.nan


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1.5, 2.0], "float64", (Kind.NUMBER, False, "float64")),
        ([1.5, NAN], "float64", (Kind.NUMBER, True, "float64")),
        ([1.5, 2.0], "float32", (Kind.NUMBER, False, "float32")),
        ([1.5, NAN], "float32", (Kind.NUMBER, True, "float32")),
        ([1.5, 2.0], "float16", (Kind.NUMBER, False, "float64")),
        ([1.5, None], "Float64", (Kind.NUMBER, True, "float64")),
        ([1.5, 2.0], "Float32", (Kind.NUMBER, False, "float32")),
        ([1, 2], "int64", (Kind.INTEGER, False, "int64")),
        ([1, 2], "int8", (Kind.INTEGER, False, "int8")),
        ([1, 2], "uint16", (Kind.INTEGER, False, "uint16")),
        ([1, 2], ">i4", (Kind.INTEGER, False, "int32")),
        ([1, 2], "Int32", (Kind.INTEGER, False, "int32")),
        ([1, None], "Int64", (Kind.INTEGER, True, "float64")),
        ([1, 2], "int64[pyarrow]", (Kind.INTEGER, False, "int64")),
        ([1.5, None], "float[pyarrow]", (Kind.NUMBER, True, "float32")),
        ([True, False], "bool", (Kind.BOOLEAN, False, "bool")),
        ([True, False], "bool[pyarrow]", (Kind.BOOLEAN, False, "bool")),
        ([True, None], "boolean", (Kind.BOOLEAN, True, "object")),
        ([True, None], object, (Kind.BOOLEAN, True, "object")),
        (["a", "b"], "str", (Kind.STRING, False, "str")),
        (["a", None], "str", (Kind.STRING, True, "str")),
        (["a", "b"], object, (Kind.STRING, False, "str")),
        (["a", NAN], object, (Kind.STRING, True, "str")),
        (["a", None], object, (Kind.STRING, True, "object")),
        (["a", None], "string[pyarrow]", (Kind.STRING, True, "str")),
        (["a", "b"], "category", (Kind.STRING, False, "category")),
        (["a", None], "category", (Kind.STRING, True, "category")),
        ([NAN, NAN], "float64", (Kind.NUMBER, True, "float64")),
    ],
)
def test_a_column_shows_its_kind(
    values: list[Any], dtype: Any, expected: tuple[Kind, bool, str]
) -> None:
    """Kind, nullability and the dtype that the estimator is given are read off the sample."""
    (feature,) = infer(column(values, dtype))

    assert (feature.kind, feature.nullable, feature.dtype) == expected
    assert (feature.name, feature.path) == ("x", ("x",))


@pytest.mark.parametrize(
    ("values", "said", "expected"),
    [
        ([1, 2], {"kinds": {"x": "number"}}, (Kind.NUMBER, False, "float64")),
        ([1.0, 2.0], {"kinds": {"x": "integer"}}, (Kind.INTEGER, False, "float64")),
        ([1, 2], {"kinds": {"x": "integer"}}, (Kind.INTEGER, False, "int64")),
        ([1, 2], {"nullable": {"x": True}}, (Kind.INTEGER, True, "float64")),
        ([1, 2], {"nullable": {"x": False}}, (Kind.INTEGER, False, "int64")),
        ([True], {"nullable": {"x": True}}, (Kind.BOOLEAN, True, "object")),
        (["a"], {"nullable": {"x": True}}, (Kind.STRING, True, "str")),
        ([None, None], {"kinds": {"x": "string"}}, (Kind.STRING, True, "str")),
        ([NAN, NAN], {"kinds": {"x": "string"}}, (Kind.STRING, True, "str")),
        ([None, None], {"kinds": {"x": "boolean"}}, (Kind.BOOLEAN, True, "object")),
        ([None, None], {"kinds": {"x": "integer"}}, (Kind.INTEGER, True, "float64")),
    ],
)
def test_what_the_sample_did_not_show_can_be_said(
    values: list[Any], said: dict[str, Any], expected: tuple[Kind, bool, str]
) -> None:
    """A kind and nullability can be set; the column then holds all that they allow."""
    (feature,) = infer(column(values), **said)

    assert (feature.kind, feature.nullable, feature.dtype) == expected


def test_a_path_leads_into_the_event() -> None:
    """A dotted path is one of steps; a name with a dot and no path is one field."""
    sample = pd.DataFrame({"delay": [1.0], "wind.speed": [1.0], "rain": [1.0]})

    features = infer(sample, paths={"delay": "departure.delay", "rain": "rain.mm/h"})

    assert [f.path for f in features] == [
        ("departure", "delay"),
        ("wind.speed",),
        ("rain", "mm/h"),
    ]


def test_names_that_are_numbers_are_texts() -> None:
    """Columns named by numbers can be spoken of like others."""
    features = infer(pd.DataFrame({0: [1.0], 1: [2.0]}), paths={"1": "a.b"})

    assert [(f.name, f.path) for f in features] == [("0", ("0",)), ("1", ("a", "b"))]


def test_the_estimator_knows_its_features() -> None:
    """Features stand in the order of the fit; the sample may have more, in any order."""
    data = pd.DataFrame({"a": [1.0, 2], "b": [1.0, 3]})
    estimator = LinearRegression().fit(data, [1, 2])

    signature = infer_signature(estimator, data[["b", "a"]].assign(other="x"))

    assert signature.names == ("a", "b")
    assert signature.frame


def test_an_estimator_without_names_is_given_an_array() -> None:
    """What was fitted on an array is given arrays, in the sample's column order."""
    estimator = LinearRegression().fit(np.eye(2), [1, 2])

    signature = infer_signature(estimator, pd.DataFrame({"b": [1.0], "a": [1.0]}))

    assert signature.names == ("b", "a")
    assert not signature.frame


X = pd.DataFrame({"x": np.arange(8.0), "y": np.arange(8.0) % 3})


@pytest.mark.parametrize(
    ("estimator", "task", "probabilities", "score"),
    [
        (LinearRegression(), Task.REGRESSION, False, False),
        (make_pipeline(StandardScaler(), LinearRegression()), Task.REGRESSION, False, False),
        (LogisticRegression(), Task.CLASSIFICATION, True, False),
        (make_pipeline(StandardScaler(), LogisticRegression()), Task.CLASSIFICATION, True, False),
        (SVC(), Task.CLASSIFICATION, False, False),
        (IsolationForest(n_estimators=2), Task.OUTLIER, False, True),
        (make_pipeline(StandardScaler(), OneClassSVM()), Task.OUTLIER, False, True),
        (LocalOutlierFactor(n_neighbors=2, novelty=True), Task.OUTLIER, False, True),
        (KMeans(2), Task.CLUSTERING, False, False),
    ],
)
def test_the_estimator_shows_its_task(
    estimator: Any, task: Task, *, probabilities: bool, score: bool
) -> None:
    """Task, probabilities and score are those that the estimator gives."""
    estimator.fit(X, np.arange(8) % 2)

    signature = infer_signature(estimator, X)

    assert (signature.task, signature.probabilities, signature.score) == (
        task,
        probabilities,
        score,
    )
    assert signature.labels == ((0, 1) if task is Task.CLASSIFICATION else ())


@pytest.mark.parametrize(
    "labels",
    [("no", "yes"), (0, 1, 7), (False, True), (0.5, 1.5), ('"', "%", "Ærø")],
)
def test_labels_are_plain_values_in_the_order_of_probabilities(labels: tuple[Label, ...]) -> None:
    """Labels are Python's own texts, numbers and booleans."""
    signature = infer_signature(Strange(np.array(labels)), X)

    assert signature.labels == labels
    assert [type(label) for label in signature.labels] == [type(label) for label in labels]


def test_a_signature_comes_back_from_json() -> None:
    """What `to_dict` writes is JSON, and `from_dict` reads the same signature from it."""
    signature = Signature(
        (
            Feature("Ærø %", Kind.INTEGER, nullable=True, dtype="float64", path=("a", "b.c")),
            Feature("s", Kind.STRING, nullable=False, dtype="category", path=("s",)),
        ),
        Task.CLASSIFICATION,
        labels=("a", 1, 0.5, True),
        probabilities=True,
        frame=False,
    )

    assert Signature.from_dict(json.loads(json.dumps(signature.to_dict()))) == signature


@pytest.mark.parametrize(
    "data",
    [{}, {"features": [{"name": "x"}]}, {"features": 7}, {"features": [], "task": "guessing"}, []],
)
def test_an_unreadable_signature_is_refused(data: Any) -> None:
    """What another version wrote is an error with a hint."""
    with pytest.raises(UnsupportedModel, match="signature") as caught:
        Signature.from_dict(data)

    assert caught.value.hint


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["2013-12-01"], "datetime64[ns]"),
        ([1], "timedelta64[ns]"),
        ([1 + 2j], "complex128"),
        ([1, 2], "category"),
        ([[1], [2]], object),
        (["a", 1], object),
        ([b"a"], object),
        ([None, None], object),
    ],
)
def test_a_column_of_no_kind_is_refused(values: list[Any], dtype: Any) -> None:
    """A column that no JSON value stands for is an error that names it."""
    with pytest.raises(UnsupportedModel, match="'x'") as caught:
        infer(column(values, dtype))

    assert caught.value.hint


@pytest.mark.parametrize(
    ("sample", "said", "word"),
    [
        (column([1.0]), {"kinds": {"x": "string"}}, "contradicts"),
        (column(["a"]), {"kinds": {"x": "number"}}, "contradicts"),
        (column([0, 1]), {"kinds": {"x": "boolean"}}, "contradicts"),
        (column([True]), {"kinds": {"x": "number"}}, "contradicts"),
        (column([1.0]), {"kinds": {"x": "float"}}, "no kind"),
        (column([1.0]), {"kinds": {"z": "number"}}, "kinds names the feature 'z'"),
        (column([1.0]), {"paths": {"z": "a"}}, "paths names the feature 'z'"),
        (column([1.0]), {"nullable": {"z": True}}, "nullable names the feature 'z'"),
        (column([NAN]), {"nullable": {"x": False}}, "missing values"),
        (column([1.0]), {"paths": {"x": ""}}, "names no field"),
        (column([1.0]), {"paths": {"x": "a..b"}}, "names no field"),
        (column([1.0]), {"paths": {"x": 'a."b"'}}, "names no field"),
        (column([1.0]).rename(columns={"x": 'a"b'}), {}, "names no field"),
        (column([1.0]).rename(columns={"x": "a\\b"}), {}, "names no field"),
        (column([1.0]).rename(columns={"x": "a\nb"}), {}, "names no field"),
        (column([1.0]).rename(columns={"x": ""}), {}, "names no field"),
        (X, {"paths": {"x": "y"}}, "the same path"),
        (X, {"paths": {"x": "y.z"}}, "'x' lies inside the feature 'y'"),
        (X, {"paths": {"x": "a.b.c", "y": "a.b"}}, "'x' lies inside the feature 'y'"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), {}, "several columns"),
        (X.head(0), {}, "no rows"),
        (pd.DataFrame(index=[1, 2]), {}, "no rows"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    sample: pd.DataFrame, said: dict[str, Any], word: str
) -> None:
    """A sample or a setting that contradicts itself is an error with a hint."""
    with pytest.raises(UnsupportedModel, match=word) as caught:
        infer(sample, **said)

    assert caught.value.hint


def test_a_name_without_a_field_can_be_given_a_path() -> None:
    """A column whose name no field can have is read from another field."""
    (feature,) = infer(column([1.0]).rename(columns={"x": '12" pipes'}), paths={'12" pipes': "n"})

    assert (feature.name, feature.path) == ('12" pipes', ("n",))


def test_the_nearest_name_is_offered() -> None:
    """A name that is nearly right is answered with the right one."""
    fitted = LinearRegression().fit(X, range(8))

    with pytest.raises(UnsupportedModel) as wrong_option:
        infer(column([1.0]).rename(columns={"x": "dep_delay"}), nullable={"dep_dely": True})
    with pytest.raises(UnsupportedModel, match="lacks the column 'x'") as wrong_column:
        infer_signature(fitted, X.rename(columns={"x": "x1"}))

    assert "'dep_delay'" in wrong_option.value.hint
    assert "'x1'" in wrong_column.value.hint


class Stranger:
    """Predicts, and is none of scikit-learn's."""

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))


@pytest.mark.parametrize(
    ("estimator", "word"),
    [
        (object(), "no predict method"),
        (StandardScaler().fit(X), "no predict method"),
        (DBSCAN().fit(X), "no predict method"),
        (LocalOutlierFactor(n_neighbors=2).fit(X), "no predict method"),
        (GaussianMixture().fit(X), "no regressor, classifier"),
        (Stranger(), "no regressor, classifier"),
        (Strange(), "several answers"),
        (Strange([np.array([0, 1]), np.array([0, 1])]), "several answers"),
        (Strange(np.array([b"a", b"b"])), "neither text nor number"),
        (Strange(np.array(["a", None], dtype=object)), "neither text nor number"),
        (LinearRegression().fit(np.eye(3), range(3)), "takes 3 features"),
    ],
)
def test_an_estimator_that_cannot_be_served_is_refused(estimator: Any, word: str) -> None:
    """An estimator that answers no new row, or not with one answer, is an error with a hint."""
    with pytest.raises(UnsupportedModel, match=word) as caught:
        infer_signature(estimator, X)

    assert caught.value.hint
