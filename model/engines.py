"""How a fitted estimator is evaluated on a table.

An engine gives raw answers and may raise whatever the estimator raises; `Scorer` isolates the
rows that make it. Knows nothing of events.
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from model.signature import Signature, Task
from model.table import Table, array_from_table, frame_from_table


@dataclass(frozen=True, slots=True)
class Answers:
    """A batch's answers, row by row.

    `prediction`: float64 (regression), int64 (outliers: -1 or 1; clusters) or labels, shape (n,).
    `probabilities`: float64, shape (n, labels). `score`: float64, shape (n,), below 0: an outlier.
    """

    prediction: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float64] | None = None
    score: npt.NDArray[np.float64] | None = None

    def take(self, positions: npt.NDArray[Any]) -> "Answers":
        """The answers of some rows: positions, or a mask."""
        return Answers(
            self.prediction[positions],
            None if self.probabilities is None else self.probabilities[positions],
            None if self.score is None else self.score[positions],
        )


EngineChoice = Literal["auto", "scikit-learn"]  # the quickest that is proved, or the plain one


class NotKnown(Exception):
    """A model of a kind that is not compiled: no fault, scikit-learn evaluates it."""


class Engine(Protocol):
    """Evaluates a table; one answer a row."""

    name: str

    def answer(self, table: Table) -> Answers:
        """The answers to all rows, in order."""
        ...


class ScikitLearnEngine:
    """The estimator itself."""

    name = "scikit-learn"

    def __init__(self, estimator: Any, signature: Signature) -> None:  # noqa: ANN401 - duck-typed
        self._estimator = estimator
        self._signature = signature
        self._labels = frozenset(signature.labels)

    def answer(self, table: Table) -> Answers:
        """The estimator's own answers.

        Raises:
            ValueError: it did not give one answer of its kind a row.
            Exception: whatever the estimator raises.

        """
        signature, estimator = self._signature, self._estimator
        prediction = np.asarray(estimator.predict(estimator_inputs(signature, table)))
        if signature.task is Task.CLASSIFICATION:
            _require(self._labels.issuperset(prediction.ravel().tolist()))
        elif signature.task is Task.REGRESSION:
            prediction = prediction.astype(np.float64, copy=False)
            if prediction.shape == (table.rows, 1):
                prediction = prediction[:, 0]
        else:
            prediction = prediction.astype(np.int64, casting="same_kind", copy=False)
        probabilities = score = None
        if signature.probabilities:
            given = estimator.predict_proba(estimator_inputs(signature, table))
            probabilities = np.asarray(given, dtype=np.float64)
            _require(probabilities.shape == (table.rows, len(signature.labels)))
        if signature.score:
            score = np.asarray(
                estimator.decision_function(estimator_inputs(signature, table)), dtype=np.float64
            )
            _require(score.shape == (table.rows,))
        _require(prediction.shape == (table.rows,))
        return Answers(prediction, probabilities, score)


def estimator_inputs(signature: Signature, table: Table) -> Any:  # noqa: ANN401 - a DataFrame or an array
    """What an estimator is given: a new one each time, for a step with `copy=False` works in it."""
    return frame_from_table(signature, table) if signature.frame else array_from_table(table)


def _require(holds: bool) -> None:  # noqa: FBT001 - a check
    if not holds:
        msg = "the estimator did not give one answer of its kind a row"
        raise ValueError(msg)
