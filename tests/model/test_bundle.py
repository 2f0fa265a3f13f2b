"""Bundles: what is saved, what is refused, and what comes back."""

import hashlib
import io
import json
import pickle
import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeRegressor

import model
from model.bundle import load_bundle, save_bundle
from model.codec import EventDecoder
from model.errors import (
    IncompatibleBundle,
    ModelNotFound,
    TamperedBundle,
    UnsupportedModel,
    UntrustedModel,
    WrongUsage,
)
from model.event import encode_event
from model.store import Store

FILES = [
    "baseline.json",
    "card.json",
    "checksums.json",
    "golden.json",
    "model.skops",
    "signature.json",
]
AT = datetime(2013, 12, 1, 10, 15, tzinfo=UTC)


def flights(rows: int = 250) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"dep_delay": rng.normal(10, 30, rows).round(), "distance": rng.integers(80, 5000, rows)}
    )


def delay(frame: pd.DataFrame) -> "pd.Series[float]":
    late: pd.Series[float] = frame["dep_delay"] - frame["distance"] / 500
    return late


def fitted() -> LinearRegression:
    return LinearRegression().fit(flights(), delay(flights()))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def saved(store: Store) -> Path:
    """A bundle's folder, to do harm to."""
    save_bundle(fitted(), flights(), name="flight-delay", store=store, created_at=AT)
    return store.resolve("flight-delay").path


def forge(folder: Path, name: str, data: bytes) -> None:
    """Change a file as one does who knows of the checksums."""
    (folder / name).write_bytes(data)
    checksums = json.loads((folder / "checksums.json").read_bytes())
    checksums[name] = hashlib.sha256(data).hexdigest()
    (folder / "checksums.json").write_text(json.dumps(checksums))


def forge_json(folder: Path, name: str, **changes: Any) -> None:
    content = json.loads((folder / name).read_bytes()) | changes
    forge(folder, name, json.dumps(content).encode())


def test_a_bundle_is_five_files_without_a_pickle(saved: Path) -> None:
    """A bundle has exactly its files, and its model's archive only JSON and arrays."""
    assert sorted(path.name for path in saved.iterdir()) == FILES
    with zipfile.ZipFile(saved / "model.skops") as archive:
        assert {Path(name).suffix for name in archive.namelist()} <= {".json", ".npy"}


def test_the_card_says_what_the_model_is(store: Store) -> None:
    """The card has the model's name, time, task, metrics, rows and library versions."""
    plus_two = timezone(timedelta(hours=2))

    reference = save_bundle(
        fitted(),
        flights(),
        name="flight-delay",
        store=store,
        created_at=AT.astimezone(plus_two),
        metrics={"mae": 13.0},
        training={"target": "arr_delay"},
    )

    card = model.load(reference, store=store).card
    assert reference == "flight-delay:1"
    assert set(card.pop("versions")) == {"python", "scikit-learn", "numpy", "skops"}
    assert card == {
        "name": "flight-delay",
        "version": "1",
        "created_at": "2013-12-01T10:15:00Z",
        "task": "regression",
        "estimator": "LinearRegression()",
        "features": ["dep_delay", "distance"],
        "rows": 250,
        "golden_rows": 100,
        "metrics": {"mae": 13.0},
        "training": {"target": "arr_delay"},
    }


@pytest.mark.parametrize(("rows", "golden"), [(1, 1), (7, 7), (100, 100), (101, 100)])
def test_golden_rows_are_spread_over_the_sample(store: Store, rows: int, golden: int) -> None:
    """Up to 100 rows are kept, the first and the last among them, as events."""
    sample = flights(rows)

    model.save(fitted(), sample, name="flight-delay", store=store)

    path = store.resolve("flight-delay").path / "golden.json"
    events = json.loads(path.read_bytes())["events"]
    assert len(events) == golden
    assert events[0] == sample.iloc[0].to_dict()
    assert events[-1] == sample.iloc[-1].to_dict()


def test_a_model_scores_a_table(store: Store) -> None:
    """A DataFrame with more columns, in another order and with an index of its own is scored."""
    loaded = model.load(model.save(fitted(), flights(), name="m", store=store), store=store)
    table = flights(5).assign(note="ignored").iloc[::-1]

    scored = loaded.score(table)

    assert list(scored.columns) == ["prediction"]
    assert scored.index.tolist() == [4, 3, 2, 1, 0]
    np.testing.assert_allclose(scored["prediction"], delay(table), rtol=1e-9)
    assert loaded.reference == "m:1"


def test_a_classifier_gives_a_column_per_label(store: Store) -> None:
    """Probabilities come in columns named by their labels, as the predictions' fields are."""
    late = np.where(delay(flights()) > 15, "late", "on time")
    forest = RandomForestClassifier(5, n_jobs=-1, random_state=0).fit(flights(), late)
    loaded = model.load(model.save(forest, flights(), name="m", store=store), store=store)

    scored = loaded.score(flights(9))

    assert list(scored.columns) == ["prediction", "probabilities.late", "probabilities.on time"]
    np.testing.assert_array_equal(scored.iloc[:, 1:], forest.predict_proba(flights(9)))
    assert loaded.estimator.n_jobs == 1
    assert loaded.score(flights(0)).empty


def test_a_table_without_a_feature_is_refused(store: Store) -> None:
    """A missing column is an error that names it."""
    loaded = model.load(model.save(fitted(), flights(), name="m", store=store), store=store)

    with pytest.raises(UnsupportedModel, match="'distance'"):
        loaded.score(flights().drop(columns="distance"))


def test_what_the_sample_does_not_show_can_be_said(store: Store) -> None:
    """A path, a kind and nullability that were given hold for the model's events."""
    tree = DecisionTreeRegressor(max_depth=3).fit(flights(), delay(flights()))

    reference = model.save(
        tree,
        flights(),
        name="m",
        store=store,
        paths={"dep_delay": "departure.delay_min"},
        kinds={"distance": "number"},
        nullable={"dep_delay": True},
    )

    loaded = model.load(reference, store=store)
    event = encode_event({"departure": {"delay_min": None}, "distance": 80.5})
    decoded = EventDecoder(loaded.signature).decode([event])
    scores = loaded.scorer.score(decoded.table)
    assert scores.answers is not None
    expected = tree.predict(pd.DataFrame({"dep_delay": [np.nan], "distance": [80.5]}))
    assert scores.answers.prediction.tolist() == expected.tolist()


def test_an_array_without_names_can_be_bundled(store: Store) -> None:
    """Columns that are numbers become fields named by these numbers."""
    estimator = LinearRegression().fit(flights().to_numpy(), delay(flights()).to_numpy())

    loaded = model.load(
        model.save(estimator, pd.DataFrame(flights().to_numpy()), name="m", store=store),
        store=store,
    )

    assert loaded.signature.names == ("0", "1")
    assert loaded.score(pd.DataFrame(flights(3).to_numpy())).shape == (3, 1)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_found(saved: Path, name: str) -> None:
    """A bundle that lacks any of its files is refused."""
    (saved / name).unlink()

    with pytest.raises(TamperedBundle, match=f"{name} is missing"):
        load_bundle(saved)


def test_an_added_file_is_found(saved: Path) -> None:
    """A file that was not saved is refused, whatever is in it."""
    (saved / "model.pkl").write_bytes(b"")

    with pytest.raises(TamperedBundle, match=r"model\.pkl was added"):
        load_bundle(saved)


@pytest.mark.parametrize("name", FILES)
def test_a_link_is_not_followed(saved: Path, name: str, tmp_path: Path) -> None:
    """A file that is a link out of the bundle is refused, though its content is the same."""
    (saved / name).rename(tmp_path / name)
    (saved / name).symlink_to(tmp_path / name)

    with pytest.raises(TamperedBundle, match=f"{name} is no plain file"):
        load_bundle(saved)


@pytest.mark.parametrize("extra", ["../../etc/passwd", "/etc/passwd", "other.json"])
def test_checksums_of_other_files_are_refused(saved: Path, extra: str) -> None:
    """Checksums name the bundle's files and no path out of it."""
    checksums = json.loads((saved / "checksums.json").read_bytes())
    (saved / "checksums.json").write_text(json.dumps(checksums | {extra: "0" * 64}))

    with pytest.raises(TamperedBundle, match=r"checksums\.json"):
        load_bundle(saved)


@given(
    name=st.sampled_from([name for name in FILES if name != "checksums.json"]),
    where=st.floats(0, 1),
    bit=st.integers(0, 7),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_changed_bit_is_found(saved: Path, name: str, where: float, bit: int) -> None:
    """One bit changed anywhere in any file is found before the file is used."""
    whole = (saved / name).read_bytes()
    changed = bytearray(whole)
    changed[min(int(where * len(whole)), len(whole) - 1)] ^= 1 << bit
    (saved / name).write_bytes(changed)
    try:
        with pytest.raises(TamperedBundle, match=f"{name} was changed"):
            load_bundle(saved)
    finally:
        (saved / name).write_bytes(whole)


def test_a_renamed_bundle_is_not_taken_for_another(saved: Path, store: Store) -> None:
    """A version that was copied or renamed by hand does not answer under its new name."""
    saved.rename(saved.with_name("2"))

    with pytest.raises(TamperedBundle, match="holds the bundle flight-delay:1"):
        model.load("flight-delay:2", store=store)


def test_what_is_not_there_is_not_found(store: Store, tmp_path: Path) -> None:
    """A folder or a reference that leads nowhere is an error of its own."""
    with pytest.raises(ModelNotFound):
        load_bundle(tmp_path / "nowhere")
    with pytest.raises(ModelNotFound):
        model.load("nowhere", store=store)


class Trap:
    """A pickle that would leave a trace when it is loaded."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._trace,)


def test_a_pickle_in_place_of_the_model_is_not_run(saved: Path, tmp_path: Path) -> None:
    """A pickled model with right checksums is refused, and none of its code runs."""
    forge(saved, "model.skops", pickle.dumps(Trap(tmp_path / "trace")))

    with pytest.raises(IncompatibleBundle, match="cannot be read"):
        load_bundle(saved)

    assert not (tmp_path / "trace").exists()


def double(values: Any) -> Any:
    return values * 2


DOUBLE = f"{__name__}.double"


def doubling() -> Any:
    estimator = make_pipeline(FunctionTransformer(double), LinearRegression())
    return estimator.fit(flights(), delay(flights()))


def test_a_type_that_is_not_listed_is_not_saved(store: Store) -> None:
    """An estimator with a function of one's own is refused by the function's name."""
    with pytest.raises(UntrustedModel, match=DOUBLE) as caught:
        model.save(doubling(), flights(), name="m", store=store)

    assert "model.allowed_types" in caught.value.hint
    assert store.models() == []


def test_an_operator_can_allow_a_type(store: Store) -> None:
    """What the operator allows loads, for this load alone."""
    model.save(doubling(), flights(), name="m", store=store, allowed_types=[DOUBLE])

    assert model.load("m", store=store, allowed_types=[DOUBLE]).score(flights(2)).shape == (2, 1)
    with pytest.raises(UntrustedModel, match=DOUBLE):
        model.load("m", store=store)


def test_a_type_that_was_smuggled_in_is_refused(saved: Path) -> None:
    """A forged model that names a function of the system is refused by its name."""
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(doubling()))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members["schema.json"])
    text = json.dumps(schema).replace(f'"{__name__}"', '"os"').replace('"double"', '"system"')
    forged = io.BytesIO()
    with zipfile.ZipFile(forged, "w") as archive:
        for name, data in (members | {"schema.json": text.encode()}).items():
            archive.writestr(name, data)
    forge(saved, "model.skops", forged.getvalue())

    with pytest.raises(UntrustedModel, match=r"os\.system"):
        load_bundle(saved)


def test_a_decompression_bomb_is_refused(saved: Path) -> None:
    """An archive that expands to far more than its size is not expanded."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", bytes(65 * 1024**2))
    forge(saved, "model.skops", bomb.getvalue())

    with pytest.raises(UntrustedModel, match="expands from"):
        load_bundle(saved)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"{}"])
def test_a_model_that_is_no_archive_is_refused(saved: Path, data: bytes) -> None:
    """Whatever else lies in the model's place is an error, not a crash."""
    forge(saved, "model.skops", data)

    with pytest.raises(IncompatibleBundle):
        load_bundle(saved)


@pytest.mark.parametrize("content", [[1], {"a": {"b": 1}}, "text"])
def test_an_archive_without_an_estimator_is_refused(saved: Path, content: object) -> None:
    """An archive that holds something else is found by its golden rows."""
    forge(saved, "model.skops", skops.io.dumps(content))

    with pytest.raises(IncompatibleBundle, match="golden row 0"):
        load_bundle(saved)


def test_another_scikit_learn_that_scores_the_same_is_a_warning(saved: Path, store: Store) -> None:
    """Golden rows decide: reproduced, the other version is a warning that names both."""
    versions = json.loads((saved / "card.json").read_bytes())["versions"]
    forge_json(saved, "card.json", versions=versions | {"scikit-learn": "1.2.3"})

    loaded = model.load("flight-delay", store=store)

    assert len(loaded.warnings) == 1
    assert "scikit-learn 1.2.3" in loaded.warnings[0]
    assert versions["scikit-learn"] in loaded.warnings[0]


def test_the_same_scikit_learn_gives_no_warning(saved: Path) -> None:
    """A bundle that is loaded where it was saved has nothing to warn of."""
    assert load_bundle(saved).warnings == ()


@pytest.mark.parametrize("relative", [1e-4, -1e-5])
def test_golden_rows_that_score_differently_are_refused(saved: Path, relative: float) -> None:
    """A model that answers its golden rows differently here is refused, and told by how much."""
    golden = json.loads((saved / "golden.json").read_bytes())
    golden["prediction"][41] *= 1 + relative
    forge(saved, "golden.json", json.dumps(golden).encode())

    with pytest.raises(IncompatibleBundle, match="golden row 41 has the prediction") as caught:
        load_bundle(saved)

    assert "scikit-learn" in caught.value.hint


def test_the_last_digits_may_differ(saved: Path) -> None:
    """Another machine's rounding is no difference."""
    golden = json.loads((saved / "golden.json").read_bytes())
    golden["prediction"] = [value * (1 + 1e-9) for value in golden["prediction"]]
    forge(saved, "golden.json", json.dumps(golden).encode())

    assert load_bundle(saved).version == "1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"events": []}, "no golden rows"),
        ({"prediction": [1.0]}, "another number of prediction"),
        ({"probabilities": [[1.0]]}, "another number of probabilities"),
        ({"events": [{"dep_delay": "late", "distance": 1}] * 100}, "golden row 0 is refused"),
    ],
)
def test_golden_rows_that_do_not_belong_are_refused(
    saved: Path, changes: dict[str, Any], message: str
) -> None:
    """Golden rows that were forged, or taken from another model, prove nothing."""
    forge_json(saved, "golden.json", **changes)

    with pytest.raises(IncompatibleBundle, match=message):
        load_bundle(saved)


@pytest.mark.parametrize("name", ["card.json", "golden.json", "signature.json"])
def test_a_file_that_does_not_read_is_refused(saved: Path, name: str) -> None:
    """A file that is no JSON of its shape is an error that names it."""
    forge(saved, name, b"[]")

    with pytest.raises(TamperedBundle, match=name):
        load_bundle(saved)


class Moody(RegressorMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """Answers differently each time."""

    def fit(self, features: Any, truth: Any) -> "Moody":
        self.feature_names_in_ = np.array(features.columns, dtype=object)
        return self

    def predict(self, features: Any) -> Any:
        return np.random.default_rng().normal(size=len(features))


def test_a_model_without_a_steady_answer_is_not_saved(store: Store) -> None:
    """An estimator that answers the same row differently leaves no version behind."""
    moody = Moody().fit(flights(), None)

    with pytest.raises(UnsupportedModel, match="differently once saved"):
        model.save(moody, flights(), name="m", store=store, allowed_types=[f"{__name__}.Moody"])

    assert store.models() == []


def test_a_sample_that_the_estimator_does_not_take_is_refused(store: Store) -> None:
    """A row of the sample that cannot be scored is an error when bundling, not in the stream."""
    sample = flights()
    sample.loc[0, "dep_delay"] = np.nan

    with pytest.raises(UnsupportedModel, match="cannot score its sample: Input X contains NaN"):
        model.save(fitted(), sample, name="m", store=store)


def test_an_estimator_that_was_not_fitted_is_refused(store: Store) -> None:
    """An estimator without a fit is an error that says so."""
    with pytest.raises(UnsupportedModel, match="not fitted"):
        model.save(LinearRegression(), flights(), name="m", store=store)


def test_a_metric_that_is_no_number_is_refused(store: Store) -> None:
    """NaN has no place on a card."""
    with pytest.raises(WrongUsage, match="JSON"):
        model.save(fitted(), flights(), name="m", store=store, metrics={"auc": float("nan")})

    assert store.models() == []


def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    """The time on a card is the same everywhere."""
    with pytest.raises(WrongUsage, match="time zone"):
        save_bundle(fitted(), flights(), name="m", store=store, created_at=AT.replace(tzinfo=None))


def test_the_python_front_dates_a_card_itself(store: Store) -> None:
    """`model.save` fills in the time in UTC."""
    model.save(fitted(), flights(), name="m", store=store)

    created = datetime.fromisoformat(model.load("m", store=store).card["created_at"])
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=1)


def test_the_front_of_the_package_stays_what_it_is() -> None:
    """`import model.errors` loads nothing heavy, and all that it offers is there."""
    code = """
import sys
import model.errors
assert not {"sklearn", "pandas", "numpy", "skops"} & set(sys.modules)
from model import Model, Store, load, save
assert Model.__module__ == "model.bundle"
try:
    model.nothing
except AttributeError as error:
    assert "nothing" in str(error)
else:
    raise SystemExit("an attribute that is not there")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
