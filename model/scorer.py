"""Scores a table so that a row that cannot be scored does not touch its neighbours.

Pure; knows nothing of events, Kafka or clocks.
"""

from dataclasses import dataclass
from pathlib import PurePath
from types import TracebackType

import numpy as np
import numpy.typing as npt

from model.engines import Answers, Engine
from model.rejection import Code, Rejection, Stage
from model.table import Table


@dataclass(frozen=True, slots=True)
class Scores:
    """`answers` to the rows at `positions` (ascending), None without any; the rest `failed`."""

    answers: Answers | None
    positions: npt.NDArray[np.int64]
    failed: dict[int, Rejection]


class Scorer:
    """Scores batches with an engine; whatever fails, fails for its row alone."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self._engine.name

    def score(self, table: Table) -> Scores:
        """Score all rows at once; where that fails, halve until only the cause is left out.

        A row whose answer is not a finite number fails as well.
        """
        done: list[Answers] = []
        positions: list[npt.NDArray[np.int64]] = []
        failed: dict[int, Rejection] = {}
        pending = [(0, table.rows)] if table.rows else []
        while pending:
            start, stop = pending.pop()
            rows = table if stop - start == table.rows else table.take(slice(start, stop))
            try:
                answers = self._engine.answer(rows)
            except MemoryError:
                raise  # the machine's failure, not the event's
            except Exception as error:  # noqa: BLE001 - an estimator may raise anything
                if stop - start == 1:
                    failed[start] = _failure(error)
                else:
                    middle = (start + stop) // 2
                    pending += [(middle, stop), (start, middle)]
                continue
            finite = _finite(answers)
            at = np.arange(start, stop)
            if not finite.all():
                failed.update(dict.fromkeys(at[~finite].tolist(), _NOT_FINITE))
                answers, at = answers.take(finite), at[finite]
            if at.size:
                done.append(answers)
                positions.append(at)
        if not done:
            return Scores(None, np.empty(0, dtype=np.int64), failed)
        return Scores(_joined(done), np.concatenate(positions), failed)


_NOT_FINITE = Rejection(
    Stage.SCORE, Code.NOT_FINITE, "the model's answer to this event is not a finite number"
)


def _finite(answers: Answers) -> npt.NDArray[np.bool_]:
    finite = np.ones(len(answers.prediction), dtype=bool)
    if answers.prediction.dtype.kind == "f":
        finite &= np.isfinite(answers.prediction)
    if answers.probabilities is not None:
        finite &= np.isfinite(answers.probabilities).all(axis=1)
    if answers.score is not None:
        finite &= np.isfinite(answers.score)
    return finite


def _joined(parts: list[Answers]) -> Answers:
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return Answers(
        np.concatenate([part.prediction for part in parts]),
        None
        if first.probabilities is None
        else np.concatenate([p.probabilities for p in parts if p.probabilities is not None]),
        None
        if first.score is None
        else np.concatenate([part.score for part in parts if part.score is not None]),
    )


def _failure(error: Exception) -> Rejection:
    """Names the exception and where it came from; its text may quote the event, so it stays out."""
    message = f"the model raised {type(error).__name__}{_origin(error.__traceback__)}"
    return Rejection(Stage.SCORE, Code.SCORE_FAILED, message)


def _origin(traceback: TracebackType | None) -> str:
    last = traceback
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None:
        return ""
    code = last.tb_frame.f_code
    return f" in {PurePath(code.co_filename).name}:{last.tb_lineno} ({code.co_name})"
