"""A model's answers as columns of the table `predictions`: values to bind, or text to copy.

Pure. Numbers are what the stream writes of the same answer (model/prediction.py): to the bit.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from model._native import render
from model.engines import Answers
from model.schema import label_key
from model.signature import Signature, Task

COPIED: Final = ("event_id", "prediction", "label", "probabilities", "score")  # in this order

_Segment = bytes | list[str] | list[bytes] | list[int] | int
_NULL: Final = b"\\N"  # as COPY has it


@dataclass(frozen=True, slots=True)
class AnswerColumns:
    """How the answers of one signature are written."""

    signature: Signature

    def values(self, answers: Answers) -> list[list[Any] | None]:
        """Prediction, label, probabilities (JSON text) and score: a list each, None for NULLs."""
        labels = self._labels(answers)
        number: list[Any] | None = None
        if labels is None or not isinstance(self.signature.labels[0], str):
            number = _values(answers.prediction)
        probabilities = None
        if answers.probabilities is not None:
            rows = render(len(answers.prediction), *self._probabilities(answers.probabilities))
            probabilities = b"\n".join(rows).decode().split("\n")
        score = None if answers.score is None else _values(answers.score)
        return [number, labels, probabilities, score]

    def copy_text(self, ids: list[str], answers: Answers) -> bytes:
        r"""The rows for PostgreSQL's COPY in its text format (\N, tabs, backslashes escaped)."""
        labels = self._labels(answers)
        streams: list[bytes] = []
        segments: list[_Segment] = [_copied(ids)]

        def number(values: npt.NDArray[Any] | None) -> None:
            segments.append(b"\t")
            if values is None:
                segments.append(_NULL)
            else:
                segments.append(len(streams))
                streams.append(_numbers(values))

        is_text = labels is not None and isinstance(self.signature.labels[0], str)
        number(None if is_text else answers.prediction)
        segments += (b"\t", _NULL if labels is None else _copied(labels), b"\t")
        if answers.probabilities is None:
            segments.append(_NULL)
        else:
            parts, (numbers,) = self._probabilities(answers.probabilities)
            streams.append(numbers)
            segments += (
                part.replace(b"\\", b"\\\\") if isinstance(part, bytes) else len(streams) - 1
                for part in parts
            )
        number(answers.score)
        segments.append(b"\n")
        return b"".join(render(len(ids), tuple(segments), tuple(streams)))

    def _labels(self, answers: Answers) -> list[str] | None:
        if self.signature.task is not Task.CLASSIFICATION:
            return None
        keys = {label: label_key(label) for label in self.signature.labels}
        return [keys[label] for label in answers.prediction.tolist()]

    def _probabilities(
        self, probabilities: npt.NDArray[Any]
    ) -> tuple[tuple[bytes | int, ...], tuple[bytes]]:
        parts: list[bytes | int] = []
        for label in self.signature.labels:
            parts += ((b"," if parts else b"{") + orjson.dumps(label_key(label)) + b":", 0)
        return (*parts, b"}"), (_numbers(probabilities.ravel()),)


def _values(numbers: npt.NDArray[Any]) -> list[Any]:
    if numbers.dtype.kind in "biu":
        numbers = numbers.astype(np.float64)
    # float32 as the stream writes it, which is the shortest text that means it.
    short = numbers.dtype.kind == "f" and numbers.dtype != np.float64
    values: list[Any] = orjson.loads(_numbers(numbers)) if short else numbers.tolist()
    return values


def _numbers(values: npt.NDArray[Any]) -> bytes:
    if values.dtype.kind == "b":
        values = values.astype(np.float64)
    return orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)


def _copied(texts: list[str]) -> list[bytes]:
    whole = "\n".join(texts)
    if whole.count("\n") >= len(texts) or not {"\\", "\t", "\r"}.isdisjoint(whole):
        texts = [text.translate(_ESCAPES) for text in texts]
        whole = "\n".join(texts)
    return whole.encode().split(b"\n")


_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
