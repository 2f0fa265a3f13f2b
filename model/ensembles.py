"""scikit-learn's fitted trees as plain arrays, and how their sums become answers.

The only place that reads private attributes of scikit-learn's trees. What it reads is proved
against the estimator itself before it is used (model/compiled.py), whatever version of scikit-learn
is installed; tests/model/test_compiled.py holds it to the locked one. Sums are made in
scikit-learn's own order, so that answers are the same to the bit.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)
from sklearn.utils.validation import validate_data

from model.engines import Answers, NotKnown

Sums = npt.NDArray[np.float64]  # (rows, outputs)


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree's nodes: `left` is -1 at a leaf; a row goes left where its value <= `threshold`.

    A missing value goes left where `missing_left` says so. At the nodes in `codes` a row goes left
    where the mask has its code; a code beyond the mask is missing. `value` is (nodes, width).
    """

    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float64]
    missing_left: npt.NDArray[np.uint8]
    value: npt.NDArray[np.float64]
    codes: Mapping[int, npt.NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Trees, what their sum starts with, and how it becomes answers.

    `validate` is how the estimator itself checks its inputs and makes them an array. `single`:
    inputs are rounded to float32. `missing`: NaN is taken. `known`: by column, how many codes a
    categorical feature has. Inputs that are not finite otherwise are not taken.
    """

    trees: list[Tree]
    columns: int
    start: npt.NDArray[np.float64]
    answers: Callable[[Sums], Answers]
    validate: Callable[[Any], Any]
    single: bool
    missing: bool
    known: Mapping[int, int] = field(default_factory=dict)


def read_ensemble(estimator: Any, *, probabilities: bool) -> Ensemble:  # noqa: ANN401 - any estimator
    """The trees of a fitted estimator.

    Raises:
        NotKnown: it has none, or others than are known here.
        AttributeError, KeyError, IndexError, TypeError, ValueError: scikit-learn holds them in
            another way than it did.

    """
    if type(estimator) not in _READERS:  # of a subclass nothing is known
        raise NotKnown
    return _READERS[type(estimator)](estimator, probabilities)


def _histogram_boosting(estimator: Any, probabilities: bool) -> Ensemble:  # noqa: ANN401, FBT001
    bins = estimator._bin_mapper  # noqa: SLF001 - here private attributes are read
    bitsets, positions = bins.make_known_categories_bitsets()
    categorical = np.flatnonzero(() if bins.is_categorical_ is None else bins.is_categorical_)
    known = {int(column): _count(bitsets[positions[column]]) for column in categorical}
    trees = [
        _histogram_tree(tree, known)
        for iteration in estimator._predictors  # noqa: SLF001
        for tree in iteration
    ]
    loss = estimator._loss  # noqa: SLF001

    def regression(sums: Sums) -> Answers:
        return Answers(np.asarray(loss.link.inverse(sums.ravel()), dtype=np.float64))

    def classification(sums: Sums) -> Answers:
        chosen = (sums[:, 0] > 0).astype(int) if sums.shape[1] == 1 else np.argmax(sums, axis=1)
        given = loss.predict_proba(np.asfortranarray(sums)) if probabilities else None
        return Answers(estimator.classes_[chosen], given)

    return Ensemble(
        trees,
        estimator.n_features_in_,
        np.asarray(estimator._baseline_prediction, dtype=np.float64).ravel(),  # noqa: SLF001
        classification if hasattr(estimator, "classes_") else regression,
        lambda inputs: estimator._preprocess_X(inputs, reset=False),  # noqa: SLF001
        single=False,
        missing=True,
        known=known,
    )


def _count(bitset: npt.NDArray[np.uint32]) -> int:
    """How many codes a categorical feature has: they are 0, 1, … without gaps."""
    taken = _bits(bitset)
    count = int(taken.sum())
    if not taken[:count].all():
        msg = "the codes of a categorical feature have gaps"
        raise ValueError(msg)
    return count


def _histogram_tree(tree: Any, known: Mapping[int, int]) -> Tree:  # noqa: ANN401
    nodes = tree.nodes
    leaf = nodes["is_leaf"].astype(bool)
    codes = {}
    for node in np.flatnonzero(~leaf & nodes["is_categorical"].astype(bool)):
        left = _bits(tree.raw_left_cat_bitsets[nodes["bitset_idx"][node]])
        codes[int(node)] = left[: known[int(nodes["feature_idx"][node])]]
    return Tree(
        np.where(leaf, -1, nodes["left"].astype(np.int64)),
        nodes["right"].astype(np.int64),
        nodes["feature_idx"].astype(np.int64),
        nodes["num_threshold"].astype(np.float64),
        nodes["missing_go_to_left"].astype(np.uint8),
        nodes["value"].astype(np.float64)[:, None],
        codes,
    )


def _bits(bitset: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    words = np.ascontiguousarray(bitset, dtype="<u4")
    return np.unpackbits(words.view(np.uint8), bitorder="little").astype(bool)


def _forest(estimator: Any, probabilities: bool) -> Ensemble:  # noqa: ANN401, FBT001
    return _averaging(estimator, estimator.estimators_, 0.0, probabilities)


def _single_tree(estimator: Any, probabilities: bool) -> Ensemble:  # noqa: ANN401, FBT001
    return _averaging(estimator, [estimator], -0.0, probabilities)  # a leaf may hold -0.0


def _averaging(
    estimator: Any,  # noqa: ANN401
    members: list[Any],
    start: float,
    probabilities: bool,  # noqa: FBT001
) -> Ensemble:
    _require_trees(members)
    if estimator.n_outputs_ != 1:
        raise NotKnown
    count = len(members)
    classes = getattr(estimator, "classes_", None)
    width = 1 if classes is None else len(classes)

    def regression(sums: Sums) -> Answers:
        return Answers(sums[:, 0] / count)

    def classification(sums: Sums) -> Answers:
        shares = sums / count
        chosen = np.argmax(shares, axis=1)
        return Answers(np.asarray(classes)[chosen], shares if probabilities else None)

    return Ensemble(
        [_plain_tree(member.tree_, 1.0, width) for member in members],
        estimator.n_features_in_,
        np.full(width, start),
        regression if classes is None else classification,
        _validation(estimator),
        single=True,
        missing=bool(members[0]._support_missing_values(np.zeros((1, 1)))),  # noqa: SLF001
    )


def _gradient_boosting(estimator: Any, probabilities: bool) -> Ensemble:  # noqa: ANN401, FBT001
    _require_trees(estimator.estimators_.ravel())
    constant = type(estimator.init_) is DummyRegressor or (
        type(estimator.init_) is DummyClassifier and estimator.init_.strategy in _CONSTANT
    )
    if not constant and estimator.init_ != "zero":
        raise NotKnown  # the sum starts with another model
    anything = np.zeros((1, estimator.n_features_in_), dtype=np.float32)
    start = estimator._raw_predict_init(anything)[0].astype(np.float64)  # noqa: SLF001
    rate = float(estimator.learning_rate)
    loss = estimator._loss  # noqa: SLF001

    def regression(sums: Sums) -> Answers:
        return Answers(sums[:, 0])

    def classification(sums: Sums) -> Answers:
        one = sums.shape[1] == 1
        chosen = (sums[:, 0] >= 0).astype(int) if one else np.argmax(sums, axis=1)
        raw = sums[:, 0] if one else sums
        given = loss.predict_proba(raw) if probabilities else None
        return Answers(estimator.classes_[chosen], given)

    return Ensemble(
        [_plain_tree(tree.tree_, rate, 1) for tree in estimator.estimators_.ravel()],
        estimator.n_features_in_,
        start,
        classification if hasattr(estimator, "classes_") else regression,
        _validation(estimator),
        single=True,
        missing=False,
    )


def _require_trees(members: Iterable[Any]) -> None:
    if not {type(member) for member in members} <= _TREES:
        raise NotKnown


def _validation(estimator: Any) -> Callable[[Any], Any]:  # noqa: ANN401
    def validate(inputs: Any) -> Any:  # noqa: ANN401
        # Whether the values are finite is looked at later: what is refused, it refuses itself.
        return validate_data(
            estimator,
            inputs,
            reset=False,
            dtype=np.float32,
            accept_sparse="csr",
            ensure_all_finite=False,
        )

    return validate


def _plain_tree(tree: Any, rate: float, width: int) -> Tree:  # noqa: ANN401
    state = tree.__getstate__()["nodes"]
    value = tree.value[:, 0, :width].astype(np.float64)
    return Tree(
        tree.children_left.astype(np.int64),
        tree.children_right.astype(np.int64),
        tree.feature.astype(np.int64),
        tree.threshold.astype(np.float64),
        state["missing_go_to_left"].astype(np.uint8),
        np.ascontiguousarray(rate * value),
    )


_CONSTANT = {"prior", "most_frequent", "constant"}  # others draw lots
_TREES = {DecisionTreeRegressor, DecisionTreeClassifier, ExtraTreeRegressor, ExtraTreeClassifier}
_READERS: dict[type, Callable[[Any, bool], Ensemble]] = {
    HistGradientBoostingRegressor: _histogram_boosting,
    HistGradientBoostingClassifier: _histogram_boosting,
    RandomForestRegressor: _forest,
    RandomForestClassifier: _forest,
    ExtraTreesRegressor: _forest,
    ExtraTreesClassifier: _forest,
    GradientBoostingRegressor: _gradient_boosting,
    GradientBoostingClassifier: _gradient_boosting,
    DecisionTreeRegressor: _single_tree,
    DecisionTreeClassifier: _single_tree,
    ExtraTreeRegressor: _single_tree,
    ExtraTreeClassifier: _single_tree,
}
