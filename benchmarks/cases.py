"""The models of the benchmark: each with its events, and with what it must answer to them.

Fitted, bundled and dumped anew by each run, with fixed seeds. Knows no Kafka.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
from sklearn.datasets import make_classification, make_friedman1
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import model
from demo.flights import FEATURES, MODEL, december, december_events, load_flights
from demo.training import train
from model.event import encode_event
from runtime.settings import Settings

SEED: Final = 4
_DISTINCT: Final = 10_000
_QUICK_DISTINCT: Final = 500
_QUICK_FLIGHTS: Final = 6_000
_DIGITS: Final = 5  # significant ones of a synthetic feature, as a sensor sends them


@dataclass(frozen=True, slots=True)
class Case:
    """A model and its events: `expected[i]` is scikit-learn's own answer to `values[i]`.

    `dump` is the estimator as joblib wrote it, for those who know nothing of bundles. `bad` are
    the positions of events that must end as dead letters.
    """

    name: str
    reference: str
    values: Sequence[bytes]
    expected: npt.NDArray[Any]
    features: Sequence[str]
    estimator: Any
    dump: Path
    bad: frozenset[int] = frozenset()

    def rows(self, count: int) -> pd.DataFrame:
        """The first events' features, as the estimator takes them."""
        events = [orjson.loads(value) for value in self.values[:count]]
        frame = pd.DataFrame(events)[list(self.features)]
        return frame.infer_objects().astype(
            {name: float for name in frame if frame[name].isna().any()}
        )


def flight(settings: Settings, *, quick: bool) -> Case:
    """The demo's model: December's 27,020 departures, about 240 bytes each."""
    flights = load_flights()
    if quick:
        flights = flights.sample(_QUICK_FLIGHTS, random_state=SEED).sort_index()
    reference = train(settings, flights)
    unseen = december(flights)
    loaded = model.load(reference, store=settings.store)
    estimator = loaded.estimator
    features = list(FEATURES)
    return Case(
        name="flight",
        reference=reference,
        values=[encode_event(event) for event in december_events(flights)],
        expected=np.asarray(estimator.predict(unseen[features])),
        features=features,
        estimator=estimator,
        dump=_dumped(estimator, settings, MODEL),
    )


def logistic(settings: Settings, *, quick: bool) -> Case:
    """A scaler and a logistic regression on 30 numbers, about 600 bytes an event."""
    count = _QUICK_DISTINCT if quick else _DISTINCT
    table, labels = make_classification(
        count, n_features=30, n_informative=12, random_state=SEED, shift=None
    )
    frame = _frame(table)
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, labels)
    return _synthetic("logistic", settings, frame, estimator)


def forest(settings: Settings, *, quick: bool) -> Case:
    """A random forest of 300 trees on 10 numbers, fitted on 5,000 rows."""
    trees, rows = (20, 500) if quick else (300, 5_000)
    count = _QUICK_DISTINCT if quick else _DISTINCT
    table, target = make_friedman1(rows + count, n_features=10, noise=1.0, random_state=SEED)
    frame = _frame(table)
    estimator = RandomForestRegressor(trees, min_samples_leaf=5, random_state=SEED, n_jobs=1)
    estimator.fit(frame[:rows], target[:rows])
    return _synthetic("forest", settings, frame[rows:], estimator)


CASES: Final[Mapping[str, Callable[..., Case]]] = {
    "flight": flight,
    "logistic": logistic,
    "forest": forest,
}


def poisoned(case: Case, every: int = 100) -> Case:
    """One event in `every` is broken: no JSON, a text for a number, a field that is missing."""
    values = list(case.values[: len(case.values) // every * every])
    bad = frozenset(range(every // 2, len(values), every))
    for number, position in enumerate(sorted(bad)):
        values[position] = _broken(values[position], number)
    expected = case.expected[: len(values)]
    return replace(case, values=values, expected=expected, bad=bad)


def padded(case: Case, size: int) -> Case:
    """The same events with a field that no model reads, of about `size` bytes in all."""
    few = min(len(case.values), 2_000)  # they are all held in memory
    noise = np.random.default_rng(SEED)
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz012345", dtype=np.uint8)
    values = []
    for value in case.values[:few]:
        padding = noise.choice(letters, max(0, size - len(value) - 9)).tobytes()
        values.append(value[:-1] + b',"note":"' + padding + b'"}')
    return replace(case, values=values, expected=case.expected[:few])


def broken(value: bytes) -> bytes:
    """A flight with a text where the model takes a number."""
    return value.replace(b'"distance":', b'"distance":"far","was":', 1)


def _broken(value: bytes, number: int) -> bytes:
    match number % 3:
        case 0:
            return value[: len(value) // 2]
        case 1:
            return broken(value)
        case _:
            return value.replace(b'"dep_delay":', b'"late":', 1)


def _frame(table: npt.NDArray[np.float64]) -> pd.DataFrame:
    rounded = [float(f"{value:.{_DIGITS}g}") for value in table.ravel()]
    names = [f"x{number:02}" for number in range(table.shape[1])]
    return pd.DataFrame(np.array(rounded).reshape(table.shape), columns=names)


def _synthetic(name: str, settings: Settings, frame: pd.DataFrame, estimator: Any) -> Case:  # noqa: ANN401 - any estimator
    reference = model.save(estimator, frame.head(1_000), name=name, store=settings.store)
    names = list(map(str, frame.columns))
    rows = (dict(zip(names, row, strict=True)) for row in frame.itertuples(index=False, name=None))
    return Case(
        name=name,
        reference=reference,
        values=[encode_event({"id": f"{name}-{n:05}", **row}) for n, row in enumerate(rows)],
        expected=np.asarray(estimator.predict(frame)),
        features=names,
        estimator=estimator,
        dump=_dumped(estimator, settings, name),
    )


def _dumped(estimator: Any, settings: Settings, name: str) -> Path:  # noqa: ANN401 - any estimator
    path = settings.store.parent / f"{name}.joblib"
    joblib.dump(estimator, path)
    return path
