"""BentoML with its adaptive batching: rows of several requests are predicted together.

    BENCH_JOB='{…}' .bench/bentoml/bin/bentoml serve bentoml_flights:Flights --working-dir .

It runs in a virtualenv of its own and knows nothing of Streamscore.
"""

import json
import os
from typing import Any

import bentoml
import joblib
import pandas as pd

_LARGEST = 100  # BentoML's own default


@bentoml.service(workers=1, traffic={"timeout": 60}, metrics={"enabled": False})
class Flights:
    """The model behind `POST /predict`."""

    def __init__(self) -> None:
        job = json.loads(os.environ["BENCH_JOB"])
        self._model = joblib.load(job["model"])
        self._features = job["features"]

    @bentoml.api(batchable=True, max_batch_size=_LARGEST)  # type: ignore[untyped-decorator] # as above
    def predict(self, rows: list[dict[str, Any]]) -> list[float]:
        """A prediction for each row."""
        predicted: list[float] = self._model.predict(pd.DataFrame(rows)[self._features]).tolist()
        return predicted
