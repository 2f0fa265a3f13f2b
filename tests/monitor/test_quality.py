"""Figures of quality: those of scikit-learn, from sums that add up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    log_loss,
    mean_absolute_error,
    root_mean_squared_error,
)

from monitor import quality

Rows = list[tuple[float, float]]
numbers = st.floats(-1e6, 1e6)
pairs = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=60)
binary = st.lists(st.tuples(st.floats(0.01, 0.99), st.booleans()), min_size=1, max_size=80)


@given(pairs, st.integers(0, 60))
def test_numbers_in_parts_are_scored_as_scikit_learn_scores_the_whole(rows: Rows, cut: int) -> None:
    """MAE, RMSE and bias do not depend on how the pairs were split."""
    predicted, truth = np.array(rows).T
    parts = [
        quality.regression(predicted[some], truth[some])
        for some in (slice(None, cut), slice(cut, None))
    ]
    found = quality.metrics(quality.total(parts), numbers=True)
    assert found["mae"] == pytest.approx(mean_absolute_error(truth, predicted))
    assert found["rmse"] == pytest.approx(root_mean_squared_error(truth, predicted))
    assert found["bias"] == pytest.approx(float(np.mean(predicted - truth)), abs=1e-6)


@given(binary, st.integers(0, 80))
def test_two_labels_are_scored_as_scikit_learn_scores_them(
    rows: list[tuple[float, bool]], cut: int
) -> None:
    """Accuracy, log loss and Brier score, whatever the split."""
    late = np.array([p for p, _ in rows])
    truth = ["late" if is_late else "early" for _, is_late in rows]
    answers = ["late" if p > 0.5 else "early" for p in late]
    given_p = [{"early": 1 - p, "late": p} for p in late.tolist()]
    parts = [
        quality.classification(answers[some], truth[some], given_p[some])
        for some in (slice(None, cut), slice(cut, None))
    ]
    sums = quality.total(parts)
    found = quality.metrics(sums, numbers=False)
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, answers))
    probabilities = np.column_stack([1 - late, late])
    assert found["log_loss"] == pytest.approx(
        log_loss(truth, probabilities, labels=["early", "late"])
    )
    expected = brier_score_loss(truth, late, pos_label="late", labels=["early", "late"])
    assert found["brier"] == pytest.approx(expected)
    assert found["ece"] == pytest.approx(expected_calibration_error(late, truth))
    assert sum(each.n for each in quality.calibration(sums)) == len(rows)


def expected_calibration_error(late: "np.ndarray[tuple[int], np.dtype[np.float64]]",
                               truth: list[str]) -> float:  # fmt: skip
    """Guo et al. 2017: the gap between confidence and frequency, weighted by the bin's share."""
    hit = np.array([each == "late" for each in truth])
    place = np.minimum((late * quality.BINS).astype(int), quality.BINS - 1)
    gaps = [
        abs(late[place == b].mean() - hit[place == b].mean()) * (place == b).mean()
        for b in range(quality.BINS)
        if (place == b).any()
    ]
    return float(sum(gaps))


def test_three_labels_are_scored_as_scikit_learn_scores_them() -> None:
    """The multi-class log loss, and the Brier score as the sum over the labels."""
    rng = np.random.default_rng(0)
    labels = ["a", "b", "c"]
    probabilities = rng.dirichlet([1, 1, 1], 200)
    truth = rng.choice(labels, 200).tolist()
    answers = [labels[place] for place in probabilities.argmax(axis=1)]
    given_p = [dict(zip(labels, row, strict=True)) for row in probabilities.tolist()]
    found = quality.metrics(quality.classification(answers, truth, given_p), numbers=False)
    assert found["log_loss"] == pytest.approx(log_loss(truth, probabilities, labels=labels))
    assert found["brier"] == pytest.approx(
        brier_score_loss(truth, probabilities, labels=labels, scale_by_half=False)
    )


def test_a_label_that_the_model_does_not_know_is_its_full_error() -> None:
    """Nothing is dropped: a truth without a probability costs a wrong certainty."""
    found = quality.metrics(
        quality.classification(["a"], ["new"], [{"a": 1.0, "b": 0.0}]), numbers=False
    )
    assert found["accuracy"] == 0.0
    assert found["log_loss"] == pytest.approx(34.5, abs=0.1)
    assert found["brier"] == pytest.approx(2.0)


@given(st.lists(st.floats(0.02, 1e6), min_size=1, max_size=99))
def test_the_median_delay_is_read_within_a_few_per_cent(delays: list[float]) -> None:
    """A histogram of 8 % wide bins answers for the median, whatever the number of pairs."""
    if len(delays) % 2 == 0:
        delays.append(delays[0])
    sums = quality.with_delays(quality.Sums(n=len(delays)), np.array(delays))
    assert quality.median_delay(sums) == pytest.approx(float(np.median(delays)), rel=0.05)


def test_without_pairs_there_are_no_figures() -> None:
    """Nothing is better than a zero that means nothing."""
    assert quality.metrics(quality.Sums(), numbers=True) == {}
    assert quality.metrics(quality.Sums(), numbers=False) == {}
    assert quality.median_delay(quality.Sums()) is None
    assert quality.calibration(quality.Sums()) == []


def test_an_absurd_number_leaves_figures_that_are_numbers() -> None:
    """A square beyond what a float holds would spoil a window for good."""
    found = quality.metrics(quality.regression(np.array([1e308]), np.array([-1e308])), numbers=True)
    assert np.isfinite(list(found.values())).all()
