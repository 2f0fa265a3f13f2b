"""The routes of the Open Inference Protocol V2.

After github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md.
"""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from model.bundle import Model
from runtime.version import version
from serving.desk import Desk, json_response, predictions_of, refusing, require_media_type
from serving.tensor_answers import inference_response, metadata, wanted_outputs
from serving.tensors import read_request, tensor_events

_BINARY = "inference-header-content-length"  # of the extension for binary tensor data


class TensorRoutes:
    """Answers V2 requests about the model of a desk, and events in tensors by it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """Every route of the protocol."""
        given = [
            Route("/v2", self._server, methods=["GET"]),
            Route("/v2/health/live", self._live, methods=["GET"]),
            Route("/v2/health/ready", self._ready, methods=["GET"]),
        ]
        for root in ("/v2/models/{model_name}", "/v2/models/{model_name}/versions/{model_version}"):
            given += (
                Route(root, self._metadata, methods=["GET"]),
                Route(f"{root}/ready", self._model_ready, methods=["GET"]),
                Route(f"{root}/infer", self._infer, methods=["POST"]),
            )
        return given

    async def _server(self, _: Request) -> Response:
        return json_response({"name": "streamscore", "version": version(), "extensions": []})

    async def _live(self, _: Request) -> Response:
        return json_response({"live": True})

    async def _ready(self, _: Request) -> Response:
        ready = self._desk.is_ready()  # "live" is what the protocol calls it here, too
        return json_response({"live": ready, "ready": ready}, 200 if ready else 503)

    async def _metadata(self, request: Request) -> Response:
        model = self._served(request)
        return json_response(metadata(model.signature, model.name, model.version))

    async def _model_ready(self, request: Request) -> Response:
        model, ready = self._served(request), self._desk.is_ready()
        return json_response({"name": model.name, "ready": ready}, 200 if ready else 503)

    async def _infer(self, request: Request) -> Response:
        model = self._served(request)
        if _BINARY in request.headers:
            msg = f"the header {_BINARY}: binary tensor data is not offered, send tensors as JSON"
            raise HTTPException(400, msg)
        require_media_type(request, ["application/json"])
        body = await self._desk.body(request)
        with refusing():
            asked = read_request(body)
            wanted_outputs(asked, model.signature)
            events = tensor_events(asked, model.signature, self._desk.event_id_field)
        answered = await self._desk.answer(events)
        model = answered.model
        _require(request, model)  # a newer version may have come into use meanwhile
        predictions = predictions_of(answered, "input")
        with refusing():
            wanted = wanted_outputs(asked, model.signature)
        content = inference_response(
            asked, wanted, predictions, name=model.name, version=model.version
        )
        return Response(content, media_type="application/json")

    def _served(self, request: Request) -> Model:
        model = self._desk.model
        _require(request, model)
        return model


def _require(request: Request, model: Model) -> None:
    name = request.path_params["model_name"]
    asked = request.path_params.get("model_version", model.version)
    if (name, asked) != (model.name, model.version):
        raise HTTPException(
            404, f"here is served {model.name!r} in version {model.version!r} alone"
        )
