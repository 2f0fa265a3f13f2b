"""How good predictions are, as sums that add up: of minutes to windows, of restarts to a whole.

Pure functions on arrays. The same figures as scikit-learn's metrics over the same pairs, without
keeping the pairs; a delay's median alone is read off a histogram, within 4 %.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from monitor.snapshot import CalibrationBin

Array = npt.NDArray[Any]

BINS: Final = 10  # of probabilities, all of the same width
_LEAST_PROBABILITY: Final = 1e-15  # as model/metrics.py: a wrong certainty costs 34.5
_LARGEST: Final = 1e100  # an error counts as this at most: its square is still a number
_TWO_LABELS: Final = 2
_DELAYS: Final = np.geomspace(0.01, 90 * 86_400, 401)  # seconds; 8 % from one to the next


class Sums(msgspec.Struct, frozen=True, array_like=True):
    """Of `n` pairs, `numbers` of them of numbers; `errors` are predicted minus true.

    `loss` is that of the logarithm. `bins` are, for each bin of probabilities: how many, the sum
    of what was predicted, and how often it was so. `delays` counts pairs by how much
    later the outcome came.
    """

    n: int = 0
    numbers: int = 0
    errors: float = 0.0
    absolute: float = 0.0
    squares: float = 0.0
    correct: int = 0
    scored: int = 0  # those with probabilities
    loss: float = 0.0
    brier: float = 0.0
    bins: list[tuple[int, float, float]] = []
    delays: dict[int, int] = {}


_SUMMED: Final = tuple(name for name in Sums.__struct_fields__ if name not in {"bins", "delays"})


def regression(predicted: Array, truth: Array) -> Sums:
    """The sums of numbers: two float arrays of one length."""
    with np.errstate(over="ignore"):
        error = np.clip(predicted - truth, -_LARGEST, _LARGEST)
    return Sums(
        n=len(error),
        numbers=len(error),
        errors=float(error.sum()),
        absolute=float(np.abs(error).sum()),
        squares=float(np.square(error).sum()),
    )


def classification(
    predicted: Sequence[str], truth: Sequence[str], probabilities: Sequence[Mapping[str, float]]
) -> Sums:
    """The sums of labels, given as text; `probabilities` is empty for one that came without.

    Two labels: the Brier score and the calibration are those of the second label's probability.
    More: the Brier score sums over the labels, the calibration is that of the answer given.
    """
    correct = sum(map(str.__eq__, predicted, truth))
    scored = [
        (_of_true(given, true), _squared(given, true), *_judged(given, answer, true))
        for answer, true, given in zip(predicted, truth, probabilities, strict=True)
        if given
    ]
    columns = np.array(scored, dtype=np.float64).reshape(-1, 4)
    return Sums(
        n=len(predicted),
        correct=correct,
        scored=len(scored),
        loss=float(-np.log(np.clip(columns[:, 0], _LEAST_PROBABILITY, 1)).sum()),
        brier=float(columns[:, 1].sum()),
        bins=_bins(columns[:, 2], columns[:, 3]) if scored else [],
    )


def with_delays(sums: Sums, seconds: Array) -> Sums:
    """The same with the delays of its pairs; an outcome that came first counts as at once."""
    places = np.searchsorted(_DELAYS, np.maximum(seconds, 0.0))
    at, counts = np.unique(places, return_counts=True)
    delays = dict(zip(at.tolist(), counts.tolist(), strict=True))
    return msgspec.structs.replace(sums, delays=delays)


def total(parts: Iterable[Sums]) -> Sums:
    """All of them together."""
    whole = Sums()
    for part in parts:
        delays = dict(whole.delays)
        for place, count in part.delays.items():
            delays[place] = delays.get(place, 0) + count
        summed = {name: getattr(whole, name) + getattr(part, name) for name in _SUMMED}
        whole = Sums(**summed, bins=_added(whole.bins, part.bins), delays=delays)
    return whole


def metrics(sums: Sums, *, numbers: bool) -> dict[str, float]:
    """MAE, RMSE and bias of `numbers`; else accuracy, and log_loss, brier and ece where known."""
    if numbers:
        if not sums.numbers:
            return {}
        return {
            "mae": sums.absolute / sums.numbers,
            "rmse": math.sqrt(sums.squares / sums.numbers),
            "bias": sums.errors / sums.numbers,
        }
    if not sums.n:
        return {}
    named = {"accuracy": sums.correct / sums.n}
    if sums.scored:
        gaps = sum(abs(predicted - observed) for _, predicted, observed in sums.bins)
        named |= {
            "log_loss": sums.loss / sums.scored,
            "brier": sums.brier / sums.scored,
            "ece": gaps / sums.scored,
        }
    return named


def calibration(sums: Sums) -> list[CalibrationBin]:
    """The bins of probabilities; empty without any."""
    return [
        CalibrationBin(
            low=place / BINS,
            high=(place + 1) / BINS,
            n=n,
            predicted=predicted / n if n else None,
            observed=observed / n if n else None,
        )
        for place, (n, predicted, observed) in enumerate(sums.bins)
    ]


def median_delay(sums: Sums) -> float | None:
    """The median of the delays in seconds, None without any."""
    half, seen = sum(sums.delays.values()) / 2, 0
    for place in sorted(sums.delays):
        seen += sums.delays[place]
        if seen >= half:
            if place == 0:
                return 0.0
            return float(np.sqrt(_DELAYS[place - 1] * _DELAYS[min(place, _DELAYS.size - 1)]))
    return None


def _of_true(given: Mapping[str, float], true: str) -> float:
    return given.get(true, 0.0)


def _squared(given: Mapping[str, float], true: str) -> float:
    whole = sum((p - (label == true)) ** 2 for label, p in given.items()) + (true not in given)
    return whole / 2 if len(given) == _TWO_LABELS and true in given else whole


def _judged(given: Mapping[str, float], answer: str, true: str) -> tuple[float, bool]:
    label = list(given)[1] if len(given) == _TWO_LABELS else answer
    return given.get(label, 0.0), label == true


def _bins(predicted: Array, observed: Array) -> list[tuple[int, float, float]]:
    places = np.clip((predicted * BINS).astype(int), 0, BINS - 1)
    counts, sums, hits = (
        np.bincount(places, weights=weights, minlength=BINS).tolist()
        for weights in (None, predicted, observed)
    )
    return [(int(n), p, o) for n, p, o in zip(counts, sums, hits, strict=True)]


def _added(
    first: list[tuple[int, float, float]], second: list[tuple[int, float, float]]
) -> list[tuple[int, float, float]]:
    if not first or not second:
        return first or second
    return [(a + x, b + y, c + z) for (a, b, c), (x, y, z) in zip(first, second, strict=True)]
