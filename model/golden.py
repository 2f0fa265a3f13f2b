"""Golden rows: events of the sample and the answers that they had when the model was bundled.

They are scored again, on the very way that events take, whenever the bundle is loaded. Knows
nothing of files or folders.
"""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from model.codec import Decoded, EventDecoder
from model.engines import Answers
from model.errors import UnsupportedModel
from model.event import encode_event
from model.scorer import Scorer
from model.signature import Label, Signature, Task
from model.table import Table, table_from_frame

_MOST_ROWS = 100
_RTOL = 1e-6
_ATOL = 1e-9


class Golden(msgspec.Struct, frozen=True):
    """Events and, row by row, the answers that are expected of them."""

    events: list[dict[str, Any]]
    prediction: list[Label]
    probabilities: list[list[float]] | None = None
    score: list[float] | None = None


def make_golden(estimator: Any, signature: Signature, sample: pd.DataFrame) -> Golden:  # noqa: ANN401 - duck-typed
    """Up to 100 rows spread over a sample, with the estimator's own answers to them.

    The answers come straight from the estimator, not through events: so the first comparison
    also proves that the way through events changes nothing.

    Raises:
        UnsupportedModel: the estimator cannot score a row of its sample.

    """
    spread = np.linspace(0, len(sample) - 1, min(len(sample), _MOST_ROWS))
    rows = sample.iloc[np.unique(spread.round().astype(int))][list(signature.names)]
    events = _events(signature, table_from_frame(signature, rows))

    def answers(method: str) -> list[Any]:
        # A copy for each: a step of a pipeline may work in what it is given.
        inputs = rows.copy() if signature.frame else rows.to_numpy(copy=True)
        given: list[Any] = np.asarray(getattr(estimator, method)(inputs)).tolist()
        return given

    try:
        return Golden(
            events=events,
            prediction=answers("predict"),
            probabilities=answers("predict_proba") if signature.probabilities else None,
            score=answers("decision_function") if signature.score else None,
        )
    except (ValueError, TypeError, AttributeError) as error:  # how scikit-learn refuses a table
        msg = f"{type(estimator).__name__} cannot score its sample: {error}"
        hint = "give a fitted estimator and inputs that it takes"
        raise UnsupportedModel(msg, hint=hint) from error


def difference(
    golden: Golden, signature: Signature, decoded: Decoded, scorer: Scorer
) -> str | None:
    """Score the golden rows, decoded, and say where the first answer differs; None: nowhere.

    Labels must be the same, numbers to a relative 1e-6 or an absolute 1e-9.
    """
    for position, rejection in sorted(decoded.rejections.items()):
        return f"golden row {position} is refused: {rejection.message}"
    scores = scorer.score(decoded.table)
    for position, rejection in sorted(scores.failed.items()):
        return f"golden row {position} cannot be scored: {rejection.message}"
    if scores.answers is None:
        return "there are no golden rows"
    return _first_difference(golden, signature, scores.answers)


def decode_golden(golden: Golden, signature: Signature) -> Decoded:
    """The golden rows on the way that events take."""
    decoder = EventDecoder(signature, _free_field(signature))
    return decoder.decode([encode_event(event) for event in golden.events])


def _first_difference(golden: Golden, signature: Signature, answers: Answers) -> str | None:
    exact = signature.task is not Task.REGRESSION
    compared = (
        ("prediction", golden.prediction, answers.prediction, exact),
        ("probabilities", golden.probabilities, answers.probabilities, False),
        ("score", golden.score, answers.score, False),
    )
    for what, expected, given, exactly in compared:
        if expected is None and given is None:
            continue
        if expected is None or given is None or len(expected) != len(given):
            return f"the golden rows have another number of {what}"
        for row, (old, new) in enumerate(zip(expected, given.tolist(), strict=True)):
            if not (old == new if exactly else _close(old, new)):
                return f"golden row {row} has the {what} {new} instead of {old}"
    return None


def _close(old: object, new: object) -> bool:
    expected: npt.NDArray[Any] = np.asarray(old)
    given: npt.NDArray[Any] = np.asarray(new)
    same_shape = expected.shape == given.shape and expected.dtype.kind in "fi"
    return same_shape and np.allclose(given, expected, rtol=_RTOL, atol=_ATOL)


def _free_field(signature: Signature) -> str:
    """Name a field for the id that is no feature, since golden events have none."""
    taken = {feature.path[0] for feature in signature.features}
    field = "id"
    while field in taken:
        field += "_"
    return field


def _events(signature: Signature, table: Table) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = [{} for _ in range(table.rows)]
    for feature, column in zip(signature.features, table.columns, strict=True):
        for event, value in zip(events, column.tolist(), strict=True):
            _set(event, feature.path, None if pd.isna(value) else value)
    return events


def _set(event: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for step in path[:-1]:
        event = event.setdefault(step, {})
    event[path[-1]] = value
