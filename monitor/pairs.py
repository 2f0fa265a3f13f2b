"""Predictions with their outcomes, and the sums of some of them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from monitor import quality
from monitor.quality import Sums
from monitor.records import key_of


@dataclass(frozen=True, slots=True)
class Pair:
    """A prediction and its outcome; `version` is "name:version", `at` and `delay_s` seconds."""

    version: str
    at: float
    delay_s: float
    predicted: bool | int | float | str
    truth: bool | int | float | str
    probabilities: Mapping[str, float]


def is_number(pair: Pair) -> bool:
    """Whether a pair is one of numbers to subtract rather than of labels to compare."""
    both = (pair.predicted, pair.truth)
    plain = all(isinstance(each, int | float) and not isinstance(each, bool) for each in both)
    return plain and not pair.probabilities


def sums_of(pairs: Sequence[Pair]) -> Sums:
    """The sums of some pairs, numbers and labels apart."""
    numbers = [pair for pair in pairs if is_number(pair)]
    labels = [pair for pair in pairs if not is_number(pair)]
    predicted = np.array([pair.predicted for pair in numbers], dtype=np.float64)
    truth = np.array([pair.truth for pair in numbers], dtype=np.float64)
    compared = quality.classification(
        [key_of(pair.predicted) for pair in labels],
        [key_of(pair.truth) for pair in labels],
        [pair.probabilities for pair in labels],
    )
    whole = quality.total([quality.regression(predicted, truth), compared])
    # A whole number and its label are told apart by the task alone: both readings are kept.
    agreed = sum(key_of(pair.predicted) == key_of(pair.truth) for pair in numbers)
    whole = msgspec.structs.replace(whole, correct=whole.correct + agreed)
    return quality.with_delays(whole, np.array([pair.delay_s for pair in pairs]))
