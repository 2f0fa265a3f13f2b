"""Models: save one as a bundle, load it, score a table with it.

    import model

    model.save(estimator, X_train.head(1000), name="flight-delay", store=".streamscore/models")
    delays = model.load("flight-delay@champion", store=".streamscore/models")
    delays.score(X_test)

This is the front of the package and its only place with a clock. What it gives is imported when
it is first used, so that `import model.errors` stays light.
"""

import importlib
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from model.bundle import Model
    from model.engines import EngineChoice
    from model.store import Store

__all__ = ["Model", "Store", "load", "save"]

_HOMES = {"Model": "model.bundle", "Store": "model.store"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class, by its name
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_HOMES[name]), name)


def save(  # noqa: PLR0913 - what a sample does not show, each with a default
    estimator: Any,  # noqa: ANN401 - any fitted estimator or pipeline
    sample: "pd.DataFrame",
    *,
    name: str,
    store: "Store | Path | str",
    metrics: Mapping[str, float] | None = None,
    paths: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
    nullable: Mapping[str, bool] | None = None,
    allowed_types: Collection[str] = (),
) -> str:
    """Save a fitted estimator as the next version of a model; gives "name:version".

    `sample` are some hundred of the estimator's inputs, one column per feature; `metrics` go
    onto the model's card. What the sample does not show can be said: `nullable={"temp": True}`,
    `kinds={"distance": "integer"}`, `paths={"dep_delay": "departure.delay_min"}`. The first
    version of a name becomes its champion.

    Raises:
        UnsupportedModel: the estimator or its sample cannot be bundled.
        UntrustedModel: it holds types that are not known to be safe, nor in `allowed_types`.
        WrongUsage: the name or a metric is wrong.

    """
    from model.bundle import save_bundle  # noqa: PLC0415 - scikit-learn takes a second

    return save_bundle(
        estimator,
        sample,
        name=name,
        store=store,
        created_at=datetime.now(UTC),
        metrics=metrics,
        paths=paths,
        kinds=kinds,
        nullable=nullable,
        allowed_types=allowed_types,
    )


def load(
    reference: str,
    *,
    store: "Store | Path | str",
    allowed_types: Collection[str] = (),
    engine: "EngineChoice" = "auto",
) -> "Model":
    """Load "name@alias", "name:version" or "name" (its champion).

    The `engine` "auto" is the quickest that gives the model's own answers to its golden rows;
    "scikit-learn" is the model itself.

    Raises:
        ModelNotFound: the store has no such model, version or alias.
        TamperedBundle: a file is missing, changed or too many.
        UntrustedModel: the model holds types that are not known to be safe.
        IncompatibleBundle: it scores differently with the libraries installed here.

    """
    from model.bundle import load_model  # noqa: PLC0415 - scikit-learn takes a second

    return load_model(reference, store=store, allowed_types=allowed_types, engine=engine)
