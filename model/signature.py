"""What a model takes and what it returns: the contract between events and an estimator.

Knows scikit-learn and pandas only to read a sample; nothing of Kafka, HTTP, files or clocks.
"""

import contextlib
import difflib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from model.errors import UnsupportedModel

if TYPE_CHECKING:
    import pandas as pd

Label = str | int | float | bool
FIELD_NAME = re.compile(r'[^"\\\x00-\x1f\ud800-\udfff]+')  # what the typed parser takes as one


class Kind(StrEnum):
    """What a feature's value is in an event."""

    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    STRING = "string"


class Task(StrEnum):
    """What a model's answer means."""

    REGRESSION = "regression"
    CLASSIFICATION = "classification"
    OUTLIER = "outlier"
    CLUSTERING = "clustering"


@dataclass(frozen=True, slots=True)
class Feature:
    """One input of the model.

    `dtype` is the pandas dtype of the column that the estimator is given: a number's or a
    boolean's, "category", "str" (text whose missing values are NaN) or "object" (text or
    booleans whose missing values are None). `path` leads to the value in an event.
    """

    name: str
    kind: Kind
    nullable: bool
    dtype: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """A model's features in its own order, and its task.

    `labels` are a classifier's classes, in the order of its probabilities. `frame` says that
    the estimator is given a DataFrame rather than a 2-D array.
    """

    features: tuple[Feature, ...]
    task: Task
    labels: tuple[Label, ...] = ()
    probabilities: bool = False
    score: bool = False
    frame: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in the model's order."""
        return tuple(feature.name for feature in self.features)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Signature":
        """Read what `to_dict` wrote.

        Raises:
            UnsupportedModel: it was written by another, unknown version.

        """
        try:
            features = tuple(
                Feature(
                    name=f["name"],
                    kind=Kind(f["kind"]),
                    nullable=f["nullable"],
                    dtype=f["dtype"],
                    path=tuple(f["path"]),
                )
                for f in data["features"]
            )
            return cls(
                features=features,
                task=Task(data["task"]),
                labels=tuple(data["labels"]),
                probabilities=data["probabilities"],
                score=data["score"],
                frame=data["frame"],
            )
        except (KeyError, TypeError, ValueError) as error:
            msg = f"the signature cannot be read: {error!r}"
            raise UnsupportedModel(msg, hint="bundle the model again with this version") from error


def infer_signature(
    estimator: object,
    sample: "pd.DataFrame",
    *,
    paths: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
    nullable: Mapping[str, bool] | None = None,
) -> Signature:
    """Read a fitted estimator's signature from a sample of its inputs.

    `paths` maps features to dotted paths into the event; `kinds` and `nullable` say what the
    sample did not show.

    Raises:
        UnsupportedModel: the estimator's task or a column of the sample cannot be served.

    """
    names = _feature_names(estimator, sample)
    paths, kinds, nullable = paths or {}, kinds or {}, nullable or {}
    for option, given in {"paths": paths, "kinds": kinds, "nullable": nullable}.items():
        for name in given:
            if name not in names:
                msg = f"{option} names the feature {name!r}, which the model does not have"
                raise UnsupportedModel(msg, hint=_nearest(name, names))
    named = sample.set_axis([str(name) for name in sample.columns], axis=1)
    features = tuple(
        _feature(name, named[name], paths.get(name), kinds.get(name), nullable.get(name))
        for name in names
    )
    _require_usable_paths(features)
    task = _task(estimator)
    return Signature(
        features=features,
        task=task,
        labels=_labels(estimator) if task is Task.CLASSIFICATION else (),
        probabilities=task is Task.CLASSIFICATION and hasattr(estimator, "predict_proba"),
        score=task is Task.OUTLIER and hasattr(estimator, "decision_function"),
        frame=hasattr(estimator, "feature_names_in_") or not hasattr(estimator, "n_features_in_"),
    )


def _feature_names(estimator: object, sample: "pd.DataFrame") -> list[str]:
    fitted = getattr(estimator, "feature_names_in_", None)
    columns = [str(name) for name in sample.columns]
    names = columns if fitted is None else [str(name) for name in fitted]
    for name in names:
        if name not in columns:
            msg = f"the sample lacks the column {name!r} that the estimator was fitted on"
            raise UnsupportedModel(msg, hint=_nearest(name, columns))
        if columns.count(name) > 1:
            msg = f"the sample has several columns named {name!r}"
            raise UnsupportedModel(msg, hint="give each column a name of its own")
    expected = getattr(estimator, "n_features_in_", len(names))
    if fitted is None and expected != len(names):
        msg = f"the estimator takes {expected} features and the sample has {len(names)} columns"
        raise UnsupportedModel(msg, hint="give a sample with exactly the model's inputs")
    if sample.empty:
        msg = "the sample has no rows"
        raise UnsupportedModel(msg, hint="give some rows of the model's inputs")
    return names


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"


def _feature(
    name: str,
    column: "pd.Series[Any]",
    path: str | None,
    kind: str | None,
    nullable: bool | None,  # noqa: FBT001 - three-valued: None asks the sample
) -> Feature:
    if kind is not None and kind not in list(Kind):
        msg = f"{kind!r} is no kind of feature"
        raise UnsupportedModel(msg, hint=f"there are: {', '.join(Kind)}")
    has_nulls = bool(column.isna().any())
    if has_nulls and nullable is False:
        msg = f"the sample's column {name!r} has missing values, and is said to have none"
        raise UnsupportedModel(msg, hint="leave them out of the sample")
    chosen, dtype = _kind_and_dtype(name, column, Kind(kind) if kind else None)
    steps = (name,) if path is None else tuple(path.split("."))
    return _with_room_for_nulls(Feature(name, chosen, has_nulls or bool(nullable), dtype, steps))


_DTYPES = {Kind.NUMBER: "float64", Kind.INTEGER: "int64", Kind.BOOLEAN: "bool", Kind.STRING: "str"}


def _kind_and_dtype(name: str, column: "pd.Series[Any]", kind: Kind | None) -> tuple[Kind, str]:
    """A column's kind and dtype; a kind that was chosen narrows or widens what was seen."""
    if kind is not None and column.isna().all():
        return kind, _DTYPES[kind]
    seen, dtype = _seen_kind_and_dtype(name, column)
    if kind is None or kind is seen:
        return seen, dtype
    if {kind, seen} != {Kind.NUMBER, Kind.INTEGER}:
        msg = f"the sample's column {name!r} is {seen.value}: {kind.value!r} contradicts"
        raise UnsupportedModel(msg, hint="give a sample of that kind")
    # Whole numbers stay in the floats that the sample had; fractions don't fit its integers.
    return kind, dtype if kind is Kind.INTEGER else "float64"


def _seen_kind_and_dtype(name: str, column: "pd.Series[Any]") -> tuple[Kind, str]:
    import pandas as pd  # noqa: PLC0415 - half a second, only to read a sample

    dtype: Any = column.dtype
    present = column.dropna()
    if isinstance(dtype, pd.CategoricalDtype):
        if all(isinstance(category, str) for category in dtype.categories):
            return Kind.STRING, "category"
    elif pd.api.types.is_bool_dtype(dtype):
        return Kind.BOOLEAN, "bool"
    elif pd.api.types.is_integer_dtype(dtype):
        return Kind.INTEGER, np.dtype(getattr(dtype, "numpy_dtype", dtype)).name
    elif pd.api.types.is_float_dtype(dtype):
        plain = np.dtype(getattr(dtype, "numpy_dtype", dtype))
        return Kind.NUMBER, "float32" if plain == np.float32 else "float64"
    elif len(present) and all(isinstance(value, str) for value in present):
        none = pd.api.types.is_object_dtype(dtype) and any(value is None for value in column)
        return Kind.STRING, "object" if none else "str"
    elif len(present) and all(isinstance(value, bool | np.bool_) for value in present):
        return Kind.BOOLEAN, "object"
    msg = f"the sample's column {name!r} ({dtype}) is neither numbers, booleans nor text"
    hint = "convert it before the model, or put the conversion into its pipeline"
    if not len(present):
        hint = "it has no values: give some, or say its kind"
    raise UnsupportedModel(msg, hint=hint)


def _with_room_for_nulls(feature: Feature) -> Feature:
    """Give a nullable column the dtype that pandas itself gives it."""
    if not feature.nullable:
        return feature
    if feature.kind in {Kind.NUMBER, Kind.INTEGER} and not feature.dtype.startswith("float"):
        return replace(feature, dtype="float64")
    if feature.kind is Kind.BOOLEAN:
        return replace(feature, dtype="object")
    return feature


def _require_usable_paths(features: tuple[Feature, ...]) -> None:
    paths: dict[tuple[str, ...], str] = {}
    for feature in features:
        dotted = ".".join(feature.path)
        if not all(map(FIELD_NAME.fullmatch, feature.path)):
            msg = f"the feature {feature.name!r} has the path {dotted!r}, which names no field"
            hint = "give it a path without empty steps, quotes, backslashes and line ends"
            raise UnsupportedModel(msg, hint=hint)
        if feature.path in paths:
            msg = f"the features {paths[feature.path]!r} and {feature.name!r} have the same path"
            raise UnsupportedModel(msg, hint="give each feature a path of its own")
        paths[feature.path] = feature.name
    for path, name in paths.items():
        for end in range(1, len(path)):
            if path[:end] in paths:
                msg = f"the feature {name!r} lies inside the feature {paths[path[:end]]!r}"
                raise UnsupportedModel(msg, hint="give each feature a path of its own")


def _task(estimator: object) -> Task:
    if not hasattr(estimator, "predict"):
        msg = f"{type(estimator).__name__} has no predict method: it cannot score new events"
        raise UnsupportedModel(msg, hint="use an estimator that predicts rows it has not seen")
    from sklearn import base  # noqa: PLC0415 - a second: whoever reads a signature needs none

    with contextlib.suppress(AttributeError):  # it is none of scikit-learn's, and tells no task
        kinds = (base.is_classifier, base.is_regressor, base.is_outlier_detector, base.is_clusterer)
        tasks = (Task.CLASSIFICATION, Task.REGRESSION, Task.OUTLIER, Task.CLUSTERING)
        for task, holds in zip(tasks, kinds, strict=True):
            if holds(estimator):
                return task
    msg = f"{type(estimator).__name__} is no regressor, classifier, outlier detector or clusterer"
    raise UnsupportedModel(msg, hint="wrap it in a scikit-learn pipeline that ends with one")


def _labels(estimator: object) -> tuple[Label, ...]:
    classes = getattr(estimator, "classes_", None)
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        msg = f"{type(estimator).__name__} gives several answers a row, or none that it names"
        raise UnsupportedModel(msg, hint="bundle a classifier with one target")
    if not all(isinstance(label, Label) for label in classes.tolist()):
        msg = f"a label of {type(estimator).__name__} is neither text nor number nor boolean"
        raise UnsupportedModel(msg, hint="fit it on such labels")
    return tuple(classes.tolist())
