"""Compiled trees: the estimator's own answers to the bit, its own refusals, or none."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
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
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)
from sklearn.utils.validation import check_array
from threadpoolctl import threadpool_limits

import model
import model.compiled
from model.bundle import load_bundle, save_bundle
from model.columns import plan_columns
from model.compiled import (
    CompiledEngine,
    UnreadableModel,
    compile_engine,
    disagreement,
    probe_table,
)
from model.engines import Answers, Engine, NotKnown, ScikitLearnEngine
from model.ensembles import _READERS, Tree, read_ensemble
from model.evaluators import evaluator
from model.scorer import Scorer, Scores
from model.signature import Signature, infer_signature
from model.table import Table, missing_value, table_from_frame

AT = datetime(2013, 12, 1, 10, 15, tzinfo=UTC)
ROWS = 150
Array = npt.NDArray[Any]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the service scores: threads of its own cost more than a small batch takes."""
    with threadpool_limits(1), np.errstate(over="ignore"):
        yield


def numbers(rows: int = ROWS) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "x": rng.normal(size=rows),
            "whole": rng.integers(-9, 9, rows),
            "yes": rng.integers(0, 2, rows).astype(bool),
            "short": rng.normal(size=rows).astype("float32"),
        }
    )


def with_text(rows: int = ROWS) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = numbers(rows)[["x", "whole"]]
    frame["text"] = rng.choice(list("abcde"), rows)
    frame["none"] = pd.Series(rng.choice(np.array(["p", "q", None]), rows), dtype=object)
    return frame


def target(frame: pd.DataFrame) -> Array:
    rng = np.random.default_rng(2)
    parts = [pd.factorize(frame[name])[0] % 7 for name in frame if name != "x"]
    total: Array = 3 * frame["x"].to_numpy() + sum(parts) + rng.normal(size=len(frame))
    return total


def labels(frame: pd.DataFrame, kind: str) -> Array:
    """Give the target as numbers, or as two or three labels."""
    values = target(frame)
    if kind == "two":
        return np.asarray(values > np.median(values))
    if kind == "three":
        return np.array(["low", "mid", "top"])[
            np.searchsorted(np.quantile(values, [0.3, 0.7]), values)
        ]
    return np.exp(values / 9) if kind == "positive" else values


def both(estimator: Any, signature: Signature) -> tuple[Engine, CompiledEngine]:
    plain = ScikitLearnEngine(estimator, signature)
    engine = compile_engine(estimator, signature, plain)
    assert isinstance(engine, CompiledEngine)
    return plain, engine


def hostile(signature: Signature, table: Table) -> Table:
    """Put missing, huge, tiny and unseen values below the rows of a table, a few each."""
    parts = [table.columns]
    for at, (feature, column) in enumerate(zip(signature.features, table.columns, strict=True)):
        odd: list[Any] = [missing_value(feature)] if feature.nullable else []
        if column.dtype.kind == "f":
            odd += [3e38, -3e38, -0.0, 1e-45, *((1e39, -1e300, 5e-324) * (column.itemsize == 8))]
        elif column.dtype.kind in "iu":
            odd += [np.iinfo(column.dtype).min, np.iinfo(column.dtype).max]
        elif column.dtype == object:
            odd += ["", "unseen"]
        few = [one[: len(odd)].copy() for one in table.columns]
        few[at][:] = odd
        parts.append(tuple(few))
    columns = tuple(np.concatenate(each) for each in zip(*parts, strict=True))
    return Table(columns, len(columns[0]))


def require_same(given: Scores, expected: Scores) -> None:
    """Compare answers to the bit and the type, and refusals to the word."""
    assert given.failed == expected.failed
    assert given.positions.tolist() == expected.positions.tolist()
    assert given.answers is not None
    assert expected.answers is not None
    for name in ("prediction", "probabilities"):
        new, old = getattr(given.answers, name), getattr(expected.answers, name)
        assert (new is None) == (old is None)
        if old is not None:
            assert (new.dtype, new.shape) == (old.dtype, old.shape)
            assert new.tolist() == old.tolist()
            assert new.dtype.kind == "O" or new.tobytes() == old.tobytes()


def prove(
    estimator: Any, sample: pd.DataFrame, nullable: Mapping[str, bool] | None = None
) -> Scores:
    """Hold the compiled engine of a fitted estimator against the estimator itself."""
    signature = infer_signature(estimator, sample, nullable=nullable)
    plain, engine = both(estimator, signature)
    table = table_from_frame(signature, sample)
    rows = hostile(signature, table)
    assert disagreement(engine, plain, probe_table(signature, table)) is None
    scores = Scorer(engine).score(rows)
    require_same(scores, Scorer(plain).score(rows))
    return scores


SMALL = {"max_leaf_nodes": 12, "random_state": 0}  # masks; without a limit trees are walked
FEW = {"n_estimators": 7, "random_state": 0}
ENSEMBLES: list[tuple[Any, str]] = [
    (HistGradientBoostingRegressor(max_iter=5), "numbers"),
    (HistGradientBoostingRegressor(max_iter=5, max_leaf_nodes=None, min_samples_leaf=1), "numbers"),
    (HistGradientBoostingRegressor(max_iter=5, max_leaf_nodes=32, min_samples_leaf=1), "numbers"),
    (HistGradientBoostingRegressor(max_iter=5, max_leaf_nodes=33, min_samples_leaf=1), "numbers"),
    (HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=1000), "numbers"),
    (HistGradientBoostingRegressor(max_iter=5, loss="absolute_error"), "numbers"),
    (HistGradientBoostingRegressor(max_iter=5, loss="quantile", quantile=0.3), "numbers"),
    (HistGradientBoostingRegressor(max_iter=5, loss="poisson"), "positive"),
    (HistGradientBoostingRegressor(max_iter=5, loss="gamma", max_depth=1), "positive"),
    (HistGradientBoostingRegressor(max_iter=5, monotonic_cst=[1, -1, 0, 0]), "numbers"),
    (HistGradientBoostingRegressor(max_iter=5, categorical_features=["whole"]), "numbers"),
    (HistGradientBoostingClassifier(max_iter=5), "two"),
    (HistGradientBoostingClassifier(max_iter=5, class_weight="balanced"), "three"),
    (RandomForestRegressor(**FEW), "numbers"),
    (RandomForestRegressor(**FEW, max_leaf_nodes=12), "numbers"),
    (RandomForestRegressor(**FEW, criterion="poisson"), "positive"),
    (RandomForestRegressor(**FEW, monotonic_cst=[1, 0, 0, -1]), "numbers"),
    (RandomForestClassifier(**FEW), "two"),
    (RandomForestClassifier(**FEW, max_depth=1), "three"),
    (ExtraTreesRegressor(**FEW), "numbers"),
    (ExtraTreesClassifier(**FEW, bootstrap=True, class_weight="balanced"), "three"),
    (GradientBoostingRegressor(**FEW), "numbers"),
    (GradientBoostingRegressor(**FEW, loss="huber", max_depth=7), "numbers"),
    (GradientBoostingRegressor(**FEW, loss="quantile", init="zero"), "numbers"),
    (GradientBoostingClassifier(**FEW), "two"),
    (GradientBoostingClassifier(**FEW, loss="exponential", subsample=0.5), "two"),
    (GradientBoostingClassifier(**FEW, init=DummyClassifier(strategy="most_frequent")), "three"),
    (DecisionTreeRegressor(**SMALL), "numbers"),
    (DecisionTreeRegressor(criterion="absolute_error", random_state=0), "numbers"),
    (DecisionTreeClassifier(**SMALL), "two"),
    (DecisionTreeClassifier(random_state=0), "three"),
    (ExtraTreeRegressor(random_state=0), "numbers"),
    (ExtraTreeClassifier(**SMALL), "three"),
]


@pytest.mark.parametrize(
    ("estimator", "kind"), ENSEMBLES, ids=lambda one: " ".join(str(one).split())
)
def test_answers_are_the_estimators_own_to_the_bit(estimator: Any, kind: str) -> None:
    """Each ensemble's answers and refusals are its own, for huge and missing values as well."""
    frame = numbers()
    estimator.fit(frame, labels(frame, kind))

    prove(estimator, frame)
    prove(estimator, frame, nullable={"x": True, "short": True})


def test_every_ensemble_is_held_against_itself() -> None:
    """No estimator is compiled that the test above does not know."""
    assert {type(estimator) for estimator, _ in ENSEMBLES} == set(_READERS)


@pytest.mark.parametrize(
    ("estimator", "kind"),
    [
        (HistGradientBoostingRegressor(max_iter=5), "numbers"),
        (HistGradientBoostingClassifier(max_iter=5), "three"),
        (RandomForestRegressor(**FEW), "numbers"),
        (RandomForestClassifier(**FEW), "two"),
        (ExtraTreesClassifier(**FEW), "three"),
        (DecisionTreeRegressor(**SMALL), "numbers"),
        (ExtraTreeRegressor(random_state=0), "numbers"),
    ],
    ids=lambda one: str(one).partition("(")[0],
)
def test_missing_values_that_were_learned_go_where_they_went(estimator: Any, kind: str) -> None:
    """Given missing values at the fit, then rows with some of them get the estimator's answers."""
    frame = numbers()
    values = labels(frame, kind)
    frame.loc[::5, "x"] = np.nan

    prove(estimator.fit(frame, values), frame)


@pytest.mark.parametrize("constant", [0.0, -0.0, 3.5])
@pytest.mark.parametrize("estimator", [DecisionTreeRegressor(), RandomForestRegressor(3)])
def test_a_constant_target_is_a_tree_of_one_leaf(estimator: Any, constant: float) -> None:
    """Trees of a single leaf give its value, the sign of zero included."""
    frame = numbers(40)
    prove(estimator.fit(frame, np.full(40, constant)), frame)


@pytest.mark.parametrize("names", [list("ab"), [False, True], [0.0, 1.0], [-3, 7, 8]])
def test_labels_keep_their_type(names: list[Any]) -> None:
    """Labels of each type come out as what they are."""
    frame = numbers()
    chosen = np.array(names)[np.arange(ROWS) % len(names)]
    for estimator in (HistGradientBoostingClassifier(max_iter=2), DecisionTreeClassifier()):
        prove(estimator.fit(frame, chosen), frame)


def test_an_estimator_without_names_is_compiled() -> None:
    """An estimator that was fitted on an array is given its columns by their places."""
    frame = numbers()[["x", "whole"]]
    prove(RandomForestRegressor(**FEW).fit(frame.to_numpy(), target(frame)), frame)


def test_large_integers_are_rounded_once() -> None:
    """Integers that float64 does not hold are rounded to float32 as scikit-learn rounds them."""
    middle = 2**60 + 2**36  # float32 has 2**60 and 2**60 + 2**37
    frame = pd.DataFrame({"x": [2**60, 2**60 + 2**37, middle + 1, middle - 1, middle] * 4})
    fitted = DecisionTreeRegressor().fit(pd.DataFrame({"x": [2**60, 2**60 + 2**37]}), [0.0, 1.0])

    scores = prove(fitted, frame)

    assert scores.answers is not None
    assert scores.answers.prediction[:4].tolist() == [0.0, 1.0, 1.0, 0.0]


UNSEEN: dict[str, Any] = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
TEXTS = ["text", "none"]


def columns(*transformers: tuple[Any, list[str]], **options: Any) -> ColumnTransformer:
    named = [(f"t{at}", one, names) for at, (one, names) in enumerate(transformers)]
    return ColumnTransformer(named, **({"remainder": "passthrough"} | options))


def check_elsewhere(values: Any, **_: Any) -> Array:
    return np.asarray(values, dtype=float) * 2


check_elsewhere.__name__ = "check_array"

STEPS: list[tuple[Any, bool]] = [
    (columns((OrdinalEncoder(**UNSEEN), TEXTS)), True),
    (columns((OrdinalEncoder(**UNSEEN), TEXTS), remainder="drop"), True),
    (columns((OrdinalEncoder(**UNSEEN), TEXTS)).set_output(transform="pandas"), True),
    (columns((OrdinalEncoder(), TEXTS)), True),
    (columns((OrdinalEncoder(**UNSEEN | {"unknown_value": np.nan}), TEXTS)), True),
    (columns((OrdinalEncoder(**UNSEEN, encoded_missing_value=-5), TEXTS)), True),
    (columns((OrdinalEncoder(**UNSEEN, categories=[["e", "a"], ["q", None, "p"]]), TEXTS)), True),
    (columns(("drop", ["x"]), (OrdinalEncoder(**UNSEEN), TEXTS)), True),
    (columns((FunctionTransformer(), ["x"]), (OrdinalEncoder(**UNSEEN), TEXTS)), True),
    (columns((OrdinalEncoder(**UNSEEN, min_frequency=20), TEXTS)), False),
    (columns((OrdinalEncoder(**UNSEEN, dtype=np.float32), TEXTS)), False),
    (columns((OrdinalEncoder(**UNSEEN), [*TEXTS, "whole"])), False),
    (columns((OneHotEncoder(handle_unknown="ignore"), TEXTS), sparse_threshold=1.0), False),
    (columns((OneHotEncoder(sparse_output=False), TEXTS)), False),
    (columns((StandardScaler(), ["x"]), (OrdinalEncoder(**UNSEEN), TEXTS)), False),
    (columns((OrdinalEncoder(**UNSEEN), TEXTS), transformer_weights={"t0": 3.0}), False),
    (
        columns(
            (
                make_pipeline(
                    SimpleImputer(strategy="most_frequent", missing_values=None),
                    OrdinalEncoder(**UNSEEN),
                ),
                TEXTS,
            )
        ),
        False,
    ),
    (columns((columns((OrdinalEncoder(**UNSEEN), TEXTS)), TEXTS)), False),
    (
        columns((FunctionTransformer(validate=True), ["x"]), (OrdinalEncoder(**UNSEEN), TEXTS)),
        False,
    ),
    (
        columns(
            (FunctionTransformer(partial(check_elsewhere)), ["x"]),
            (OrdinalEncoder(**UNSEEN), TEXTS),
        ),
        False,
    ),
    (
        columns(
            (FunctionTransformer(partial(check_array, dtype="float32")), ["x"]),
            (OrdinalEncoder(**UNSEEN), TEXTS),
        ),
        False,
    ),
]


@pytest.mark.parametrize(("steps", "planned"), STEPS, ids=lambda one: " ".join(str(one).split()))
def test_the_steps_before_the_trees_are_done_alike(
    steps: Any,
    planned: bool,  # noqa: FBT001
) -> None:
    """Column by column or by scikit-learn itself, the trees are given what they were fitted on."""
    frame = with_text()
    boosting, forest = HistGradientBoostingRegressor(max_iter=5), RandomForestRegressor(**FEW)
    for trees in (boosting, forest) if planned else (forest,):
        fitted = make_pipeline(steps, trees).fit(frame, target(frame))

        prove(fitted, frame, nullable={"x": True, "text": True})

        pipeline = [step for _, step in fitted.steps]
        inputs = plan_columns(pipeline, infer_signature(fitted, frame), single=False)
        assert (inputs is not None) == planned


def test_categories_of_a_dataframe_are_known() -> None:
    """Categorical columns go where their categories went; unseen and missing ones as missing."""
    frame = with_text()
    frame["text"] = frame["text"].astype("category")
    frame["none"] = frame["none"].astype("category")
    boosting = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")

    prove(boosting.fit(frame, labels(frame, "three")), frame, nullable={"text": True})


def test_more_categories_than_a_word_has_bits() -> None:
    """Some 200 categories, their codes beyond one byte's half, are told apart."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"c": pd.Categorical(rng.permutation(np.arange(800) % 200).astype(str))})
    values = pd.factorize(frame["c"])[0] % 13 + rng.normal(size=800)
    boosting = HistGradientBoostingRegressor(
        max_iter=5, categorical_features="from_dtype", min_samples_leaf=1
    )

    prove(boosting.fit(frame, values), frame)


def test_a_batch_is_scored_as_its_rows_are() -> None:
    """However rows are put together, each gets the answer that it gets alone, to the bit."""
    frame = numbers()
    for estimator in (HistGradientBoostingRegressor(max_iter=5), RandomForestRegressor(**FEW)):
        estimator.fit(frame, target(frame))
        signature = infer_signature(estimator, frame)
        table = table_from_frame(signature, frame)
        _, engine = both(estimator, signature)
        whole = engine.answer(table).prediction
        for size in (1, 3, 8, 65):
            starts = range(0, ROWS, size)
            parts = [engine.answer(table.take(slice(at, at + size))).prediction for at in starts]
            assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_a_refused_row_does_not_touch_its_neighbours() -> None:
    """A text that the encoder refuses and a number beyond float32 fail alone, as ever."""
    frame = with_text()
    steps = columns((OrdinalEncoder(), TEXTS))
    fitted = make_pipeline(steps, RandomForestRegressor(**FEW)).fit(frame, target(frame))

    scores = prove(fitted, frame)

    assert scores.positions.tolist()[:ROWS] == list(range(ROWS))
    assert {"ValueError"} == {why.message.split()[3] for why in scores.failed.values()}
    assert len(scores.failed) == 6  # two texts in each of two columns, two numbers


class OneMore(RandomForestRegressor):  # type: ignore[misc] # it has no types
    def predict(self, X: Any) -> Any:
        return super().predict(X) + 1


class Twice(Pipeline):  # type: ignore[misc] # it has no types
    def predict(self, X: Any) -> Any:
        return 2 * super().predict(X)


class Wide(TransformerMixin, BaseEstimator):  # type: ignore[misc] # it has no types
    def fit(self, X: Any, y: Any = None) -> "Wide":
        self.fitted_ = (X, y) is not None
        return self

    def transform(self, X: Any) -> Array:
        return np.repeat(np.asarray(X), 300, axis=1)


@pytest.mark.parametrize(
    "estimator",
    [
        OneMore(**FEW),
        Twice([("trees", RandomForestRegressor(**FEW))]),
        make_pipeline(StandardScaler(), KNeighborsRegressor()),
        make_pipeline(Wide(), RandomForestRegressor(**FEW)),
        GradientBoostingRegressor(**FEW, init=LinearRegression()),
    ],
    ids=["subclass", "pipeline's subclass", "no trees", "wide", "begins elsewhere"],
)
def test_what_is_not_known_is_not_compiled(estimator: Any) -> None:
    """Subclasses, other estimators and very wide matrices stay with scikit-learn."""
    frame = numbers()
    estimator.fit(frame, target(frame))
    signature = infer_signature(estimator, frame)

    with pytest.raises(NotKnown):
        compile_engine(estimator, signature, ScikitLearnEngine(estimator, signature))


@pytest.mark.parametrize("strategy", ["uniform", "stratified"])
def test_a_start_that_draws_lots_is_not_compiled(strategy: str) -> None:
    """Boosting that begins with a random guess has no constant start."""
    frame = numbers()
    boosting = GradientBoostingClassifier(**FEW, init=DummyClassifier(strategy=strategy))
    boosting.fit(frame, labels(frame, "two"))
    signature = infer_signature(boosting, frame)

    with pytest.raises(NotKnown):
        compile_engine(boosting, signature, ScikitLearnEngine(boosting, signature))


@pytest.mark.parametrize(
    "forest", [RandomForestRegressor(**FEW), RandomForestRegressor(**FEW, max_leaf_nodes=9)]
)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("left_child", 0),
        ("left_child", 10**6),
        ("right_child", -7),
        ("right_child", 10**6),
        ("right_child", 0),
        ("feature", 4),
        ("feature", -3),
    ],
)
def test_trees_that_lead_astray_are_not_compiled(forest: Any, field: str, value: int) -> None:
    """Nodes out of range or in circles are noticed when the trees are read, not at a row."""
    frame = numbers()
    forest.fit(frame, target(frame))
    tree = forest.estimators_[3].tree_
    state = tree.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"][field][0] = value
    tree.__setstate__(state)
    signature = infer_signature(forest, frame)

    with pytest.raises(UnreadableModel):
        compile_engine(forest, signature, ScikitLearnEngine(forest, signature))


def test_a_threshold_that_is_no_number_is_an_error() -> None:
    """No value is on a side of NaN: such a tree has no masks."""
    frame = numbers()
    forest = RandomForestRegressor(**FEW, max_leaf_nodes=9).fit(frame, target(frame))
    ensemble = read_ensemble(forest, probabilities=False)
    first: Tree = ensemble.trees[0]
    first.threshold[0] = np.nan

    with pytest.raises(ValueError, match="no number"):
        evaluator(ensemble)


class Shifted:
    """An evaluator that is off by a little."""

    def add(self, rows: Array, out: Array, /) -> None:
        out += 1e-9 * len(rows)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    frame = with_text()
    steps = columns((OrdinalEncoder(**UNSEEN), TEXTS))
    fitted = make_pipeline(steps, HistGradientBoostingRegressor(max_iter=5))
    fitted.fit(frame, target(frame))
    save_bundle(fitted, frame, name="delay", store=tmp_path, created_at=AT)
    return model.load("delay", store=tmp_path).path


def test_a_loaded_bundle_is_compiled(saved: Path) -> None:
    """Given a bundle of trees, when it is loaded, then it is compiled, without a warning."""
    loaded = load_bundle(saved)

    assert (loaded.scorer.engine, loaded.warnings) == ("compiled", ())
    plain = load_bundle(saved, engine="scikit-learn")
    assert (plain.scorer.engine, plain.warnings) == ("scikit-learn", ())
    assert loaded.score(with_text()).equals(plain.score(with_text()))


def test_an_engine_that_disagrees_is_not_used(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given trees that answer otherwise, then the estimator scores, and a warning says so."""
    monkeypatch.setattr(model.compiled, "evaluator", lambda _: Shifted())

    loaded = load_bundle(saved)

    assert loaded.scorer.engine == "scikit-learn"
    (warning,) = loaded.warnings
    assert "delay:1" in warning
    assert "prediction differs" in warning
    assert loaded.score(with_text()).equals(
        load_bundle(saved, engine="scikit-learn").score(with_text())
    )


def test_a_model_without_trees_is_scikit_learns(tmp_path: Path) -> None:
    """What is not compiled says "scikit-learn", and that is nothing to warn of."""
    frame = numbers()
    neighbours = KNeighborsRegressor().fit(frame, target(frame))
    save_bundle(
        neighbours,
        frame,
        name="near",
        store=tmp_path,
        created_at=AT,
        allowed_types=(
            "sklearn.metrics._dist_metrics.EuclideanDistance64",
            "sklearn.neighbors._kd_tree.KDTree",
        ),
    )

    loaded = model.load(
        "near",
        store=tmp_path,
        allowed_types=(
            "sklearn.metrics._dist_metrics.EuclideanDistance64",
            "sklearn.neighbors._kd_tree.KDTree",
        ),
    )

    assert (loaded.scorer.engine, loaded.warnings) == ("scikit-learn", ())


class Fixed:
    """An engine with one answer for all, that refuses what is NaN where it is told to."""

    name = "fixed"

    def __init__(self, *answers: Any, probabilities: Any = None, refuses: bool = False) -> None:
        self.answers = Answers(np.array(answers), probabilities)
        self.refuses = refuses

    def answer(self, table: Table) -> Answers:
        if self.refuses:
            raise ValueError
        return self.answers.take(np.arange(table.rows))


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        (Fixed(1.0, 2.0), None),
        (Fixed(1.0, 2.0 + 1e-13), None),
        (Fixed(1.0, 2.0 + 1e-9), "prediction differs in 1 of 2"),
        (Fixed(1, 2), "another form"),
        (Fixed("1", "2"), "another form"),
        (Fixed(1.0, 2.0, probabilities=np.ones((2, 1))), "another form"),
        (Fixed(1.0, np.nan), "refuses other rows"),
        (Fixed(1.0, 2.0, refuses=True), "refuses other rows"),
    ],
)
def test_any_difference_is_told(engine: Engine, says: str | None) -> None:
    """Answers of another value, form or number, and other refusals, are disagreements."""
    table = Table((np.zeros(2),), 2)

    told = disagreement(engine, Fixed(1.0, 2.0), table)

    assert told is None if says is None else says in str(told)
