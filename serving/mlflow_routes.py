"""The routes of MLflow's scoring server, so that its clients need not change.

After mlflow.pyfunc.scoring_server of MLflow 3.
"""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from runtime.version import version
from serving.desk import Desk, predictions_of, refusing, require_media_type
from serving.frames import csv_events, json_events, predictions_body

_READERS = {"application/json": json_events, "text/csv": csv_events}


class MlflowRoutes:
    """Answers tables by the model of a desk, and says how it is."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """Every route of that server."""
        return [
            Route("/invocations", self._invocations, methods=["POST"]),
            Route("/ping", self._ping, methods=["GET"]),
            Route("/health", self._ping, methods=["GET"]),
            Route("/version", self._version, methods=["GET"]),
        ]

    async def _invocations(self, request: Request) -> Response:
        read = _READERS[require_media_type(request, list(_READERS))]
        body = await self._desk.body(request)
        with refusing():
            events = read(body, self._desk.model.signature, self._desk.event_id_field)
        answered = await self._desk.answer(events)
        content = predictions_body(predictions_of(answered, "column"))
        headers = {"model-version": answered.model.reference}
        return Response(content, media_type="application/json", headers=headers)

    async def _ping(self, _: Request) -> Response:
        return PlainTextResponse("\n", 200 if self._desk.is_ready() else 503)

    async def _version(self, _: Request) -> Response:
        return PlainTextResponse(version())
