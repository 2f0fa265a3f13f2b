"""Answers to predictions' bytes: the contract that subscribers read (docs/contracts.md).

Values are written in bulk and set into a template, since nothing is faster in Python.
Knows nothing of Kafka beyond that an event has a topic, a partition and an offset.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from model.engines import Answers
from model.schema import label_key
from model.signature import Signature, Task


class PredictionEncoder:
    """Encodes the predictions of one model version."""

    def __init__(self, signature: Signature, name: str, version: str) -> None:
        self._signature = signature
        self._labels = {label: orjson.dumps(label) for label in signature.labels}
        self._identity = b',"model":%b,"version":%b,"source":{"topic":' % (
            orjson.dumps(name),
            orjson.dumps(version),
        )
        keys = [orjson.dumps(label_key(label)) for label in signature.labels]
        self._probabilities = b',"probabilities":{%b}' % b",".join(
            key.replace(b"%", b"%%") + b":%b" for key in keys
        )

    def encode(  # noqa: PLR0913 - the fields of the contract
        self,
        answers: Answers,
        ids: Sequence[str],
        *,
        topic: str,
        partitions: Sequence[int],
        offsets: Sequence[int],
        scored_at: str,
    ) -> list[bytes]:
        """One JSON object a row; `scored_at` is an RFC 3339 time in UTC."""
        source = self._identity + orjson.dumps(topic)
        tail = b'},"scored_at":%b}' % orjson.dumps(scored_at)
        template = b'{"id":%%b,"prediction":%%b%%b%b,"partition":%%d,"offset":%%d%b' % (
            source.replace(b"%", b"%%"),
            tail.replace(b"%", b"%%"),
        )
        rows = zip(
            map(orjson.dumps, ids),
            self._predictions(answers),
            self._details(answers),
            partitions,
            offsets,
            strict=True,
        )
        return [template % row for row in rows]

    def _predictions(self, answers: Answers) -> list[bytes]:
        if self._signature.task is Task.CLASSIFICATION:
            labels = self._labels
            return [labels[label] for label in answers.prediction.tolist()]
        return _numbers(answers.prediction)

    def _details(self, answers: Answers) -> list[bytes]:
        """What stands between the prediction and the model's name."""
        if answers.probabilities is not None:
            width = len(self._signature.labels)
            values = _numbers(answers.probabilities.ravel())
            rows = zip(*(values[column::width] for column in range(width)), strict=True)
            return [self._probabilities % row for row in rows]
        if answers.score is not None:
            return [b',"score":%b' % value for value in _numbers(answers.score)]
        return [b""] * len(answers.prediction)


def _numbers(values: npt.NDArray[Any]) -> list[bytes]:
    """Each finite number's JSON text."""
    dumped = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    return dumped[1:-1].split(b",") if values.size else []
