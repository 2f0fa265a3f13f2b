"""How far a distribution has moved from the baseline's. Pure."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

SOME: Final = 0.1
STRONG: Final = 0.2
_LEAST_SHARE: Final = 1e-4  # an empty bin costs something, not infinity


def population_stability(expected: Sequence[float], counts: Sequence[int]) -> float | None:
    """The population stability index: the sum of (p - q) ln(p / q) over the bins.

    q are the `expected` shares, p those of the `counts`; None without any. Below 0.1 nothing has
    moved, above 0.2 much has (Siddiqi, Credit Risk Scorecards, 2006). A share below 0.0001 counts
    as that.
    """
    total = sum(counts)
    if not total or not expected:
        return None
    pairs = (
        (max(count / total, _LEAST_SHARE), max(share, _LEAST_SHARE))
        for count, share in zip(counts, expected, strict=True)
    )
    return sum((p - q) * math.log(p / q) for p, q in pairs)


def kolmogorov_smirnov(quantiles: Sequence[float], values: npt.NDArray[Any]) -> float | None:
    """The largest distance between two distribution functions, from 0 to 1; None without values.

    One is that of `values` (none NaN), the other goes straight from quantile to quantile of the
    baseline (equally spaced, the least to the largest value), and jumps where several are equal.
    """
    if not len(quantiles) or not len(values):
        return None
    at, ranks = np.asarray(quantiles, dtype=np.float64), np.sort(values)
    distances = [
        np.abs(np.searchsorted(ranks, ranks, side) / len(ranks) - _share_below(at, ranks, side))
        for side in ("left", "right")
    ]
    return float(np.max(distances))


def _share_below(
    quantiles: npt.NDArray[Any],
    values: npt.NDArray[Any],
    side: Any,  # noqa: ANN401 - numpy's "left" or "right"
) -> npt.NDArray[Any]:
    """The baseline's share below each value (left), or up to and including it (right)."""
    after = np.searchsorted(quantiles, values, side)
    last = len(quantiles) - 1
    if not last:
        return after.astype(np.float64)
    before = np.clip(after - 1, 0, last - 1)
    low, high = quantiles[before], quantiles[before + 1]
    width = np.where(high > low, high - low, 1.0)
    part = np.clip((values - low) / width, 0.0, 1.0)
    shares = (before + np.where(high > low, part, 0.0)) / last
    return np.where(after == 0, 0.0, np.where(after > last, 1.0, shares))


def in_words(index: float) -> str:
    """What a population stability index says: none, some or strong."""
    if index < SOME:
        return "none"
    return "some" if index <= STRONG else "strong"
