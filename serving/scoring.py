"""Events in, answers out, by one version of a model: the way of every event, whatever its protocol.

Pure; knows nothing of HTTP. The answers of a batch are those of its events alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from model.bundle import Model
from model.codec import EventDecoder
from model.prediction import PredictionEncoder
from model.rejection import Rejection


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event came from: the id of its request, and its place in it (from 0)."""

    request: str
    index: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The answers to a batch, in the order of its events; `ids` are None where one was refused."""

    model: Model
    results: list[bytes | Rejection]
    ids: list[str | None]


class Scoring:
    """Answers events with one version of a model. Raises as EventDecoder when it is made."""

    def __init__(self, model: Model, event_id_field: str) -> None:
        self.model = model
        self._decoder = EventDecoder(model.signature, event_id_field)
        self._encoder = PredictionEncoder(model.signature, model.name, model.version)

    def answer(self, events: Sequence[bytes], origins: Sequence[Origin], scored_at: str) -> Batch:
        """Score events at once; `scored_at` is an RFC 3339 time in UTC.

        An event that has no id is named after its place: "request/index".
        """
        decoded = self._decoder.decode(events)
        scores = self.model.scorer.score(decoded.table)
        positions = [decoded.positions[row] for row in scores.positions.tolist()]
        given = [decoded.ids[row] for row in scores.positions.tolist()]
        found = [origins[position] for position in positions]
        ids = [
            f"{origin.request}/{origin.index}" if event_id is None else event_id
            for event_id, origin in zip(given, found, strict=True)
        ]
        predictions: list[bytes] = []
        if scores.answers is not None:
            predictions = self._encoder.encode_online(
                scores.answers,
                ids,
                requests=[origin.request for origin in found],
                indices=[origin.index for origin in found],
                scored_at=scored_at,
            )
        if len(predictions) == len(events):
            return Batch(self.model, list(predictions), list(ids))
        refused = dict(decoded.rejections)
        refused |= {decoded.positions[row]: why for row, why in scores.failed.items()}
        answered = dict(zip(positions, zip(predictions, ids, strict=True), strict=True))
        return _in_place(self.model, len(events), answered, refused)


def _in_place(
    model: Model,
    count: int,
    answered: dict[int, tuple[bytes, str]],
    refused: dict[int, Rejection],
) -> Batch:
    results: list[bytes | Rejection] = []
    ids: list[str | None] = []
    for position in range(count):
        prediction, event_id = answered.get(position, (None, None))
        results.append(refused[position] if prediction is None else prediction)
        ids.append(event_id)
    return Batch(model, results, ids)
