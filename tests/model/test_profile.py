"""The profile of a run: chunks add up to the whole, and it survives a database."""

import itertools
import json
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import model
from model.bundle import Model, save_bundle
from model.profile import NumberCounts, Profile, TextCounts, from_json, merged
from model.profiler import Profiler
from model.table import Table, table_from_frame

AT = datetime(2013, 12, 1, tzinfo=UTC)
CARRIERS = ["UA", "AA", "B6"]


def sample(rows: int, seed: int = 0) -> pd.DataFrame:
    drawn = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "carrier": drawn.choice(CARRIERS, rows),
            "delay": np.where(drawn.random(rows) < 0.1, np.nan, drawn.normal(10, 5, rows)),
            "night": drawn.random(rows) < 0.3,
        }
    )


def fitted(kind: str) -> Any:
    rows = sample(400)
    if kind == "outlier":
        return IsolationForest(n_estimators=5, random_state=0).fit(rows[["night"]])
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["carrier"]))
    if kind == "regressor":
        return make_pipeline(encoder, LinearRegression()).fit(rows, np.arange(400))
    labels = np.where(rows["carrier"] == "UA", "late", "on time")
    return make_pipeline(encoder, LogisticRegression()).fit(rows, labels)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    store = tmp_path_factory.mktemp("store")
    for kind in ("regressor", "classifier", "outlier"):
        estimator = fitted(kind)
        columns = ["night"] if kind == "outlier" else ["carrier", "delay", "night"]
        rows = sample(400)[columns]
        save_bundle(estimator, rows, name=kind, store=store, created_at=AT)
    return {kind: model.load(kind, store=store) for kind in ("regressor", "classifier", "outlier")}


def profile(of: Model, rows: pd.DataFrame, *, without_baseline: bool = False) -> Profile:
    table = table_from_frame(of.signature, rows)
    scores = of.scorer.score(table)
    profiler = Profiler(of.signature, None if without_baseline else of.baseline)
    return profiler.count(table, scores.positions, scores.answers)


@pytest.mark.parametrize("kind", ["regressor", "classifier", "outlier"])
@settings(max_examples=30)
@given(cuts=st.lists(st.integers(0, 300), max_size=6))
def test_chunks_add_up_to_the_whole(models: dict[str, Model], kind: str, cuts: list[int]) -> None:
    """However the rows are cut: the same counts, and the same sums but for their rounding."""
    rows = sample(300, seed=1).replace({"carrier": {"B6": "ZZ"}})
    places = [0, *sorted(cuts), 300]
    of = models[kind]
    parts = [profile(of, rows[a:b]) for a, b in itertools.pairwise(places)]

    whole = reduce(lambda a, b: merged(a, b) or pytest.fail("other bins"), parts)

    _equal(whole.to_json(), profile(of, rows).to_json())


def _equal(a: Any, b: Any) -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            _equal(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            _equal(left, right)
    elif isinstance(a, float) and isinstance(b, float):
        assert a == pytest.approx(b, rel=1e-9, abs=1e-9)
    else:
        assert a == b


def test_it_survives_json(models: dict[str, Model]) -> None:
    """A run that was killed goes on from what the database has."""
    before = profile(models["classifier"], sample(50))

    assert from_json(json.loads(json.dumps(before.to_json()))) == before


@pytest.mark.parametrize("given", [None, {}, {"task": "regression"}, [], "x", 5])
def test_what_is_no_profile_is_none(given: object) -> None:
    """An older run has none, another version's may look otherwise."""
    assert from_json(given) is None


def test_features_are_counted_in_the_baselines_bins(models: dict[str, Model]) -> None:
    """Known values, all others, and none; numbers in bins, missing ones apart."""
    rows = sample(300, seed=2)
    rows.loc[:9, "carrier"] = "ZZ"
    seen = profile(models["regressor"], rows)
    carrier, delay, night = seen.features

    assert isinstance(carrier, TextCounts)
    assert dict(zip([*carrier.categories, "other", "none"], carrier.counts, strict=True)) == {
        **{name: int((rows["carrier"] == name).sum()) for name in CARRIERS},
        "other": 10,
        "none": 0,
    }
    assert isinstance(delay, NumberCounts)
    assert delay.missing == rows["delay"].isna().sum()
    assert sum(delay.counts) + delay.missing == 300
    assert delay.total == pytest.approx(rows["delay"].sum())
    assert delay.least == rows["delay"].min()
    assert isinstance(night, TextCounts)
    counts = dict(zip(night.categories, night.counts, strict=False))
    assert counts["true"] == rows["night"].sum()


def test_segments_hold_the_answers(models: dict[str, Model]) -> None:
    """Rows and sum of the predictions by value are what a GROUP BY would give."""
    rows = sample(300, seed=3)
    of = models["regressor"]
    answers = of.score(rows)["prediction"].groupby(rows["carrier"]).agg(["size", "sum"])

    carrier, night = profile(of, rows).segments

    assert (carrier.feature, night.feature) == ("carrier", "night")
    assert carrier.totals is not None
    for value, count, total in zip(carrier.categories, carrier.rows, carrier.totals, strict=False):
        assert count == answers.loc[value, "size"]
        assert total == pytest.approx(answers.loc[value, "sum"])


def test_segments_of_a_classifier_hold_its_labels(models: dict[str, Model]) -> None:
    """One count a label, the last for labels that the baseline has not."""
    rows = sample(300, seed=4)
    seen = profile(models["classifier"], rows)
    carrier = seen.segments[0]

    assert seen.labels is not None
    assert carrier.labels is not None
    by_value = dict(zip(carrier.categories, carrier.labels, strict=False))
    late = seen.labels.categories.index("late")
    assert by_value["UA"][late] == (rows["carrier"] == "UA").sum()
    assert by_value["AA"][late] == 0
    assert seen.number is not None
    assert seen.number.name == "probability of on time"


def test_a_row_that_is_not_scored_counts_as_given_alone(models: dict[str, Model]) -> None:
    """It fitted the model, so it tells of drift; segments are those of answers."""
    of = models["regressor"]
    table = table_from_frame(of.signature, sample(5))
    scores = of.scorer.score(table)
    assert scores.answers is not None
    kept = np.array([0, 2, 4])

    seen = Profiler(of.signature, of.baseline).count(table, kept, scores.answers.take(kept))

    assert (seen.given, seen.scored) == (5, 3)
    assert isinstance(seen.features[0], TextCounts)
    assert sum(seen.features[0].counts) == 5
    assert sum(seen.segments[0].rows) == 3


def test_without_a_baseline_the_answers_are_counted(models: dict[str, Model]) -> None:
    """No bins, no drift, no segments: moments and labels."""
    rows = sample(100)
    number = profile(models["regressor"], rows, without_baseline=True)
    labels = profile(models["classifier"], rows, without_baseline=True)

    assert not number.has_baseline
    assert (number.features, number.segments) == ([], [])
    assert number.number is not None
    assert number.number.counts == [100]
    assert number.number.total is not None
    assert labels.labels is not None
    assert labels.labels.categories == ["late", "on time"]
    assert labels.labels.counts[0] == (rows["carrier"] == "UA").sum()


def test_profiles_of_other_bins_do_not_add_up(models: dict[str, Model]) -> None:
    """Two versions of a model have bins of their own."""
    first = profile(models["regressor"], sample(10))

    assert merged(first, profile(models["classifier"], sample(10))) is None
    assert merged(first, profile(models["regressor"], sample(10), without_baseline=True)) is None


def test_no_rows_are_a_profile_too(models: dict[str, Model]) -> None:
    """A chunk of which nothing fitted adds nothing."""
    of = models["classifier"]
    empty = Profiler(of.signature, of.baseline).empty()
    some = profile(of, sample(10))

    assert empty.given == 0
    assert merged(empty, some) == some


def test_a_sum_beyond_all_numbers_is_not_known(models: dict[str, Model]) -> None:
    """JSON has no infinity; the counts stay right."""
    of = models["regressor"]
    columns = (np.array(["UA"] * 3, dtype=object), np.full(3, 1e308), np.array([True] * 3))

    seen = Profiler(of.signature, of.baseline).count(Table(columns, 3), np.empty(0, np.int64), None)

    delay = seen.features[1]
    assert isinstance(delay, NumberCounts)
    assert (delay.total, sum(delay.counts)) == (None, 3)
    json.dumps(seen.to_json(), allow_nan=False)
