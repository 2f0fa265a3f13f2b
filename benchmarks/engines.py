"""Trees alone, a row at a time and in bulk: scikit-learn, the extension, and treelite if installed.

    python -m benchmarks.engines        (treelite: pip install treelite, in a virtualenv of its own)

Prints microseconds a row on one thread, the median of several calls, contestants in turn.
"""

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import importlib
import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.datasets import make_friedman1
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from threadpoolctl import threadpool_limits

from model.ensembles import read_ensemble
from model.evaluators import evaluator

_ROWS: Final = (1, 64, 1_000, 10_000)
_CALLS: Final = 7
Rows = npt.NDArray[np.float64]


def main() -> None:
    """Measure and print."""
    table, target = make_friedman1(15_000, n_features=10, noise=1.0, random_state=0)
    known, unseen = slice(0, 5_000), table[5_000:].astype(np.float32).astype(np.float64)
    models = {
        "boosting, 100 trees of 31 leaves": HistGradientBoostingRegressor(random_state=0),
        "forest, 300 trees": RandomForestRegressor(300, min_samples_leaf=5, random_state=0),
    }
    with threadpool_limits(1):
        for name, estimator in models.items():
            estimator.fit(table[known], target[known])
            contestants = {
                "scikit-learn": estimator.predict,
                "compiled": _compiled(estimator),
                **_treelite(estimator),
            }
            for rows in _ROWS:
                times = _times(contestants, np.ascontiguousarray(unseen[:rows]))
                figures = "  ".join(f"{who} {us:10,.2f}" for who, us in times.items())
                print(f"{name:34} {rows:6,} rows  µs a row: {figures}")


def _compiled(estimator: Any) -> Callable[[Rows], object]:  # noqa: ANN401 - either of the two
    ensemble = read_ensemble(estimator, probabilities=False)
    trees = evaluator(ensemble)

    def predict(rows: Rows) -> object:
        sums = np.empty((len(rows), 1))
        sums[:] = ensemble.start
        trees.add(rows, sums)
        return ensemble.answers(sums)

    return predict


def _treelite(estimator: Any) -> dict[str, Callable[[Rows], object]]:  # noqa: ANN401 - as above
    try:
        treelite = importlib.import_module("treelite")
    except ImportError:
        return {}
    model = treelite.sklearn.import_model(estimator)
    return {"treelite": lambda rows: treelite.gtil.predict(model, rows, nthread=1)}


def _times(contestants: dict[str, Callable[[Rows], object]], rows: Rows) -> dict[str, float]:
    spent: dict[str, list[float]] = {who: [] for who in contestants}
    for _ in range(_CALLS):
        for who, predict in contestants.items():
            began = time.perf_counter()
            predict(rows)
            spent[who].append(time.perf_counter() - began)
    return {who: median(times) / len(rows) * 1e6 for who, times in spent.items()}


if __name__ == "__main__":
    main()
