"""Answers to predictions' bytes: the contract that subscribers read (docs/contracts.md).

Numbers are written in bulk and set into the rows by the extension (native/render.c).
Knows nothing of Kafka beyond that an event has a topic, a partition and an offset.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from model._native import render
from model.engines import Answers
from model.schema import label_key
from model.signature import Signature, Task

Segment = bytes | list[str] | list[bytes] | list[int] | int  # of a row: see `render`


class PredictionEncoder:
    """Encodes the predictions of one model version."""

    def __init__(self, signature: Signature, name: str, version: str) -> None:
        self._signature = signature
        self._labels = {label: orjson.dumps(label) for label in signature.labels}
        self._identity = b',"model":%b,"version":%b,"source":' % (
            orjson.dumps(name),
            orjson.dumps(version),
        )
        keys = [orjson.dumps(label_key(label)) for label in signature.labels]
        self._probability_names = [
            (b"," if number else b',"probabilities":{') + key + b":"
            for number, key in enumerate(keys)
        ]

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
        opening = b'{"topic":' + orjson.dumps(topic) + b',"partition":'
        source = (list(partitions), b',"offset":', list(offsets))
        return self._encode(answers, ids, opening, source, scored_at)

    def encode_online(
        self,
        answers: Answers,
        ids: Sequence[str],
        *,
        requests: Sequence[str],
        indices: Sequence[int],
        scored_at: str,
    ) -> list[bytes]:
        """As `encode`, for events that stood at these places of these requests over HTTP."""
        source = (list(requests), b',"index":', list(indices))
        return self._encode(answers, ids, b'{"request":', source, scored_at)

    def _encode(
        self,
        answers: Answers,
        ids: Sequence[str],
        opening: bytes,
        source: tuple[Segment, ...],
        scored_at: str,
    ) -> list[bytes]:
        segments: list[Segment] = [b'{"id":', list(ids), b',"prediction":']
        streams: list[bytes] = []
        if self._signature.task is Task.CLASSIFICATION:
            segments.append([self._labels[label] for label in answers.prediction.tolist()])
        else:
            segments.append(0)
            streams.append(_numbers(answers.prediction))
        if answers.probabilities is not None:
            for name in self._probability_names:
                segments += (name, len(streams))
            segments.append(b"}")
            streams.append(_numbers(answers.probabilities.ravel()))
        elif answers.score is not None:
            segments += (b',"score":', len(streams))
            streams.append(_numbers(answers.score))
        segments += (self._identity + opening, *source)
        segments.append(b'},"scored_at":%b}' % orjson.dumps(scored_at))
        return render(len(ids), tuple(segments), tuple(streams))


def _numbers(values: npt.NDArray[Any]) -> bytes:
    """Finite numbers as the text of a JSON array."""
    return orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
