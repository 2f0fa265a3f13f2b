"""Predictions in, reactions out: iterate them in your own code, or call a webhook or a command.

from subscriber import Subscription

with Subscription("predictions", group="my-app", where="prediction > 60") as predictions:
    for prediction in predictions:
        print(prediction.id, prediction.prediction)
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from subscriber.prediction import Prediction, Source
    from subscriber.subscription import Subscription

__all__ = ["Prediction", "Source", "Subscription"]


def __getattr__(name: str) -> object:
    """Import on first use: the command line asks this package for its `--help` alone, too."""
    if name == "Subscription":
        from subscriber.subscription import Subscription  # noqa: PLC0415 - see above

        return Subscription
    if name in __all__:
        from subscriber import prediction  # noqa: PLC0415 - see above

        return getattr(prediction, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
