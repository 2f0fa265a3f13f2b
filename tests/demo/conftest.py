"""The flights, loaded once for all tests of the demo."""

import pandas as pd
import pytest

from demo.flights import december, load_flights


@pytest.fixture(scope="session")
def flights() -> pd.DataFrame:
    return load_flights()


@pytest.fixture(scope="session")
def december_flights(flights: pd.DataFrame) -> pd.DataFrame:
    return december(flights)
