"""The real service with a model that is slow, hangs or fails; a process of its own.

A bundle holds no code of its own, so that such a model cannot come from a store. What a row does is
told by its distance.
"""

import sys
import time
from dataclasses import replace

import numpy as np

from model.bundle import Model
from model.engines import Answers, Engine
from model.scorer import Scorer
from model.table import Table
from runtime.logs import configure_logging
from runtime.reload import load_with
from runtime.settings import Settings, load_settings
from serving.server import serve

HANG, FAIL, RAISE, NOT_FINITE = 1e6, 2e6, 3e6, 4e6  # miles
SECRET = "secret-payload"


class StrangeEngine:
    """Evaluates by another engine, `seconds` for each batch; some distances go wrong."""

    name = "strange"

    def __init__(self, engine: Engine, seconds: float) -> None:
        self._engine = engine
        self._seconds = seconds

    def answer(self, table: Table) -> Answers:
        distances = table.columns[0]
        time.sleep(3600 if (distances == HANG).any() else self._seconds)
        if (distances == FAIL).any():
            raise MemoryError(SECRET)
        if (distances == RAISE).any():
            raise ValueError("a model's own words")
        answers = self._engine.answer(table)
        wrong = np.where(distances == NOT_FINITE, np.nan, answers.prediction)
        return replace(answers, prediction=wrong)


def main(seconds: float) -> None:
    settings = load_settings()
    configure_logging(settings.log)

    def load(given: Settings, reference: str) -> Model:
        model = load_with(given, reference)
        return replace(model, scorer=Scorer(StrangeEngine(model.scorer._engine, seconds)))

    serve(settings, "delay:1", load)


if __name__ == "__main__":
    main(float(sys.argv[1]))
