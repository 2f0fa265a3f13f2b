"""The demo's model in the store: found there, or fitted on January to September and bundled."""

from typing import Final

import pandas as pd

import model
from demo.flights import FEATURES, MODEL, WEATHER, december, fit, mean_absolute_error, training
from model.store import Store
from runtime.settings import Settings

REFERENCE: Final = f"{MODEL}@champion"
_SAMPLE: Final = 2_000


def is_trained(settings: Settings) -> bool:
    """Tell whether the store has a flight model already."""
    return MODEL in Store(settings.store).models()


def loadable_model(settings: Settings) -> str:
    """Load the champion as the workers will, and give it as "name:version".

    Raises ModelError where they could not: at once, and once.
    """
    allowed = settings.model.allowed_types
    return model.load(REFERENCE, store=settings.store, allowed_types=allowed).reference


def train(settings: Settings, flights: pd.DataFrame) -> str:
    """Fit the model, measure it on December, bundle it, and give it as "name:version"."""
    estimator = fit(flights)
    unseen = december(flights)
    metrics = {
        "mae": mean_absolute_error(unseen, estimator.predict(unseen[list(FEATURES)])),
        "departure_delay_mae": mean_absolute_error(unseen, unseen["dep_delay"]),
    }
    return model.save(
        estimator,
        training(flights)[list(FEATURES)].sample(_SAMPLE, random_state=0),
        name=MODEL,
        store=Store(settings.store),
        metrics=metrics,
        nullable=dict.fromkeys(WEATHER, True),  # a station may fail, whatever the sample shows
        allowed_types=settings.model.allowed_types,
    )
