"""A desk without a service: it scores what it is handed at once, by the way of every event."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from model.bundle import Model
from model.codec import EventDecoder
from model.prediction import PredictionEncoder
from serving.desk import Answered
from serving.mlflow_routes import MlflowRoutes
from serving.model_routes import ModelRoutes
from serving.tensor_routes import TensorRoutes

if TYPE_CHECKING:
    from model.rejection import Rejection


class LocalDesk:
    """Serves `model`, which a test may change; counts the events it was handed."""

    event_id_field = "id"

    def __init__(self, model: Model) -> None:
        self.model = model
        self.next: Model | None = None
        self.ready = True

    def is_ready(self) -> bool:
        return self.ready

    async def body(self, request: Request) -> bytes:
        return await request.body()

    async def answer(self, events: Sequence[bytes]) -> Answered:
        """Score by the next version, if there is one: it came into use meanwhile."""
        self.model = self.next or self.model
        return score(self.model, events)

    def app(self) -> Starlette:
        given = (TensorRoutes(self), MlflowRoutes(self), ModelRoutes(self, keys=False))
        routes = [route for each in given for route in each.routes()]
        return Starlette(routes=routes, exception_handlers={HTTPException: _problem})


def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = {"type": "about:blank", "title": "refused", "status": error.status_code}
    said |= {"detail": error.detail, "error": error.detail}
    return JSONResponse(said, error.status_code, media_type="application/problem+json")


def score(model: Model, events: Sequence[bytes]) -> Answered:
    """Decoder, scorer and encoder, one after the other."""
    decoded = EventDecoder(model.signature).decode(events)
    scores = model.scorer.score(decoded.table)
    results: dict[int, bytes | Rejection] = dict(decoded.rejections)
    results |= {decoded.positions[row]: why for row, why in scores.failed.items()}
    if scores.answers is not None:
        encoder = PredictionEncoder(model.signature, model.name, model.version)
        at = [decoded.positions[int(row)] for row in scores.positions]
        predictions = encoder.encode(
            scores.answers,
            [f"event-{position}" for position in at],
            topic="http",
            partitions=[0] * len(at),
            offsets=at,
            scored_at="2013-12-01T10:15:00.000000Z",
        )
        results |= dict(zip(at, predictions, strict=True))
    return Answered(model, [results[position] for position in range(len(events))])
