"""Predictions on standard output: a line of JSON each, or columns for a person to read.

What is printed counts as done, so each line is written out before the next prediction is taken.
"""

import os
import sys
from typing import Final

from runtime.terminal import plain
from subscriber.prediction import Prediction

_WIDE: Final = 28  # of an id; a longer one pushes the rest of its line to the right
HEADING: Final = f"{'scored at':<23}  {'id':<{_WIDE}}  {'prediction':>12}  {'model':<18}  source"


def print_json_line(prediction: Prediction) -> bool:
    """Write the prediction's JSON and a newline; True, since it is accepted then."""
    _write(prediction.to_json() + b"\n")
    return True


def print_line(prediction: Prediction) -> bool:
    """Write the prediction in columns under `HEADING`; True, since it is accepted then."""
    _write(f"{line(prediction)}\n".encode(errors="replace"))
    return True


def print_heading() -> None:
    """Write the names of the columns."""
    _write(f"{HEADING}\n".encode())


def line(prediction: Prediction) -> str:
    """Give a prediction in columns, its control characters made harmless."""
    scored_at = prediction.scored_at.replace(tzinfo=None).isoformat(" ", "milliseconds")
    model = f"{prediction.model}:{prediction.version}"
    return plain(
        f"{scored_at:<23}  {prediction.id:<{_WIDE}}  {_answer(prediction):>12}  {model:<18}  "
        f"{prediction.reference}"
    )


def _answer(prediction: Prediction) -> str:
    value = prediction.prediction
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    likely = (prediction.probabilities or {}).get(text)
    if likely is not None:
        return f"{text} ({likely:.0%})"
    return text if prediction.score is None else f"{text} ({prediction.score:.3g})"


def _write(text: bytes) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


def give_up_output() -> None:
    """Point standard output at nothing, once its reader is gone: Python flushes it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
