"""How far a distribution has moved from the baseline's. Pure."""

import math
from collections.abc import Sequence
from typing import Final

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


def in_words(index: float) -> str:
    """What a population stability index says: none, some or strong."""
    if index < SOME:
        return "none"
    return "some" if index <= STRONG else "strong"
