"""Drift: the distances are those of the literature, and ADWIN's alarms are of rising errors."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn.linear_model import LinearRegression

from model.baseline import make_baseline
from model.drift import kolmogorov_smirnov
from model.engines import ScikitLearnEngine
from model.signature import infer_signature
from monitor.drift import AnswerWindow, ErrorDrift, FeatureWindow
from monitor.pairs import Pair
from monitor.records import Prediction, Source


@given(st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=200))
def test_the_distance_is_scipys_against_the_same_distribution(values: list[float]) -> None:
    """Given quantiles of a uniform distribution, then the statistic is the exact one."""
    quantiles = np.linspace(0, 1, 101)
    found = kolmogorov_smirnov(quantiles.tolist(), np.array(values))
    assert found == pytest.approx(kstest(values, "uniform").statistic, abs=1e-9)


@given(st.lists(st.integers(0, 3), min_size=101, max_size=101))
def test_a_sample_of_few_values_has_no_distance_to_itself(values: list[int]) -> None:
    """Ties are jumps of both distributions, not drift; percentiles resolve 1 % at either end."""
    column = np.array(values, dtype=np.float64)
    quantiles = np.percentile(column, np.arange(101)).tolist()
    assert (kolmogorov_smirnov(quantiles, column) or 0.0) <= 0.02


def test_without_values_there_is_no_distance() -> None:
    """None, rather than a number that means nothing."""
    assert kolmogorov_smirnov([], np.array([1.0])) is None
    assert kolmogorov_smirnov([1.0, 2.0], np.array([])) is None
    assert kolmogorov_smirnov([5.0], np.array([5.0, 9.0])) == pytest.approx(0.5)


def test_features_and_answers_are_compared_with_the_baseline() -> None:
    """What moved is seen to have moved, and what did not is not."""
    rng = np.random.default_rng(0)
    sample = pd.DataFrame({"same": rng.normal(size=2000), "moved": rng.normal(size=2000)})
    estimator = LinearRegression().fit(sample, sample["same"] + sample["moved"])
    signature = infer_signature(estimator, sample)
    baseline = make_baseline(signature, sample, ScikitLearnEngine(estimator, signature))
    assert baseline is not None
    window, answers = FeatureWindow(signature, baseline, "id"), AnswerWindow(signature, baseline)
    assert [each.psi for each in window.drift()] == [None, None]
    for _ in range(8):
        rows = [
            json.dumps({"same": a, "moved": b + 2}).encode()
            for a, b in rng.normal(size=(1000, 2)).tolist()
        ]
        window.add([*rows, b"broken", None])
        answers.add(
            Prediction("x", value, "m", "1", Source(), "t")
            for value in (rng.normal(size=1000) * 1.4 + 2).tolist()
        )
    same, moved = window.drift()
    assert same.psi is not None
    assert moved.psi is not None
    assert same.psi < 0.1
    assert moved.psi > 0.2
    assert (same.ks or 1) < 0.1
    assert (moved.ks or 0) > 0.5
    assert 5000 <= same.n < 6000
    (distribution,) = answers.distributions()
    assert sum(distribution.now) == 5000
    assert (distribution.psi or 0) > 0.2


def pairs(errors: list[float], version: str) -> list[Pair]:
    return [Pair(version, float(at), 0.0, error, 0.0, {}) for at, error in enumerate(errors)]


def test_adwin_tells_a_rising_error_and_not_a_falling_one() -> None:
    """One window a version: a better model after a worse one is no alarm."""
    rng = np.random.default_rng(1)
    low, high = (rng.uniform(0, top, 1000).tolist() for top in (1, 10))
    drift = ErrorDrift()
    assert drift.see(pairs(low, "m:1"), numbers=True) == []
    risen = drift.see(pairs(high, "m:1"), numbers=True)
    assert risen
    assert risen[0].metric == "absolute_error"
    assert risen[0].before < risen[0].after
    assert drift.see(pairs(high, "m:2"), numbers=True) == []
    assert drift.see(pairs(low, "m:2"), numbers=True) == []
