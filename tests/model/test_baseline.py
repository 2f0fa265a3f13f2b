"""The baseline: what the sample looked like, kept with the bundle."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import model
from model.baseline import Baseline, NumberBaseline, TextBaseline, counts_in_bins
from model.bundle import Model, load_bundle, save_bundle
from model.errors import TamperedBundle

ROWS = 1_000


def frame() -> pd.DataFrame:
    """A text with a long tail, a number that is often missing, one with many ties, a boolean."""
    place = np.arange(ROWS)
    return pd.DataFrame(
        {
            "carrier": [f"c{int(np.sqrt(n))}" for n in place],
            "delay": np.where(place % 10 == 0, np.nan, place.astype(float)),
            "rain": np.where(place % 4 == 0, 1.5, 0.0),
            "night": place % 5 == 0,
        }
    )


def saved(estimator: Any, sample: pd.DataFrame, folder: Path) -> Model:
    at = datetime(2013, 12, 1, tzinfo=UTC)
    save_bundle(estimator, sample, name="m", store=folder, created_at=at)
    return model.load("m:1", store=folder)


def regressor(sample: pd.DataFrame) -> Any:
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["carrier"]))
    return make_pipeline(encoder, LinearRegression()).fit(sample, np.arange(len(sample)))


def feature(baseline: Baseline | None, name: str) -> NumberBaseline | TextBaseline:
    assert baseline is not None
    (found,) = (each for each in baseline.features if each.name == name)
    return found


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return saved(regressor(frame()), frame(), tmp_path_factory.mktemp("store"))


def test_a_bundle_has_the_baseline_of_its_sample(regression: Model) -> None:
    """The features in the model's order, and the answers to the sample."""
    baseline = regression.baseline

    assert baseline is not None
    assert baseline.rows == ROWS
    assert [each.name for each in baseline.features] == list(regression.signature.names)
    assert baseline.labels is None
    assert baseline.number is not None
    assert baseline.number.name == "prediction"
    assert sum(baseline.number.shares) == pytest.approx(1)


def test_a_number_has_deciles_and_the_share_of_missing_ones(regression: Model) -> None:
    """Each bin holds a tenth of what is there; bins and missing ones add up to one."""
    delay = feature(regression.baseline, "delay")

    assert isinstance(delay, NumberBaseline)
    assert delay.missing == pytest.approx(0.1)
    assert delay.shares == pytest.approx([0.09] * 10)
    assert len(delay.quantiles) == 101
    assert (delay.quantiles[0], delay.quantiles[-1]) == (1, 999)


def test_a_number_of_few_values_has_a_bin_for_each(regression: Model) -> None:
    """Equal deciles are one edge, which belongs to the bin below it."""
    rain = feature(regression.baseline, "rain")

    assert isinstance(rain, NumberBaseline)
    assert rain.edges == [0.0, 1.5]
    assert rain.shares == pytest.approx([0.75, 0.25, 0])


def test_a_text_has_its_most_frequent_values(regression: Model) -> None:
    """Twenty of them, and the share of all others."""
    carrier = feature(regression.baseline, "carrier")

    assert isinstance(carrier, TextBaseline)
    assert len(carrier.categories) == 20
    assert carrier.categories[0] == "c30"  # 61 of them: from 900 to 960
    assert sum(carrier.shares) + carrier.other == pytest.approx(1)
    assert carrier.other > 0


def test_a_boolean_is_counted_like_a_text(regression: Model) -> None:
    """By the names that JSON gives its values."""
    night = feature(regression.baseline, "night")

    assert isinstance(night, TextBaseline)
    assert dict(zip(night.categories, night.shares, strict=True)) == {"false": 0.8, "true": 0.2}


def test_a_classifier_has_labels_and_the_second_ones_probability(tmp_path: Path) -> None:
    """Where there are just two labels, one number says all about the answer."""
    sample = frame()[["rain"]]
    estimator = LogisticRegression().fit(sample, np.where(sample["rain"] > 0, "wet", "dry"))

    baseline = saved(estimator, sample, tmp_path).baseline

    assert baseline is not None
    assert baseline.labels is not None
    assert dict(zip(baseline.labels.categories, baseline.labels.shares, strict=True)) == {
        "dry": 0.75,
        "wet": 0.25,
    }
    assert baseline.number is not None
    assert baseline.number.name == "probability of wet"


def test_an_outlier_detector_has_labels_and_the_score(tmp_path: Path) -> None:
    """The labels are -1 and 1."""
    sample = frame()[["rain"]]

    baseline = saved(IsolationForest(n_estimators=5).fit(sample), sample, tmp_path).baseline

    assert baseline is not None
    assert baseline.labels is not None
    assert set(baseline.labels.categories) <= {"-1", "1"}
    assert baseline.number is not None
    assert baseline.number.name == "score"


def test_a_sample_with_infinities_has_a_baseline_without_them(tmp_path: Path) -> None:
    """No event can hold them, so they say nothing of events."""
    sample = pd.DataFrame({"x": [1.0, 2.0, 3.0, np.inf, 4.0] * 60})
    estimator = DummyRegressor().fit(sample, np.arange(300))
    sample.iloc[::5] = 1.0  # the golden rows have to be events

    baseline = saved(estimator, sample.replace(np.inf, 1e300), tmp_path).baseline

    assert baseline is not None
    assert isinstance(baseline.features[0], NumberBaseline)


def test_an_older_bundle_without_a_baseline_loads(tmp_path: Path) -> None:
    """Its absence is no tampering; its checksum is absent as well then."""
    bundle = saved(regressor(frame()), frame(), tmp_path).path
    checksums = (bundle / "checksums.json").read_text().splitlines()
    kept = [line for line in checksums if "baseline.json" not in line]
    (bundle / "checksums.json").write_text("\n".join(kept))
    (bundle / "baseline.json").unlink()

    assert load_bundle(bundle).baseline is None


@pytest.mark.parametrize("spoil", ["removed", "changed"])
def test_a_baseline_that_is_not_the_saved_one_is_refused(tmp_path: Path, spoil: str) -> None:
    """Its checksum counts like that of the other files."""
    bundle = saved(regressor(frame()), frame(), tmp_path).path
    if spoil == "removed":
        (bundle / "baseline.json").unlink()
    else:
        text = (bundle / "baseline.json").read_text()
        (bundle / "baseline.json").write_text(text.replace("1000", "1001", 1))

    with pytest.raises(TamperedBundle):
        load_bundle(bundle)


def test_a_value_on_an_edge_lies_below_it() -> None:
    """Bins are open below and closed above."""
    assert counts_in_bins(np.array([-5.0, 0.0, 0.1, 1.0, 7.0]), np.array([0.0, 1.0])) == [2, 2, 1]
