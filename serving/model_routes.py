"""What is served, for people and programs: `/models`, the OpenAPI document and a page to try it."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any, Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from model.bundle import Model
from model.bundle_files import GOLDEN, parse
from model.golden import Golden
from model.schema import event_schema, prediction_schema
from runtime.version import version
from serving.desk import Desk, json_response
from serving.examples import Examples
from serving.openapi import document
from serving.openapi_paths import Served

_PAGE: Final = Path(__file__).with_name("docs.html")
_INLINE: Final = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


class ModelRoutes:
    """Describes the model of a desk; `keys` is whether requests need an API key."""

    def __init__(self, desk: Desk, *, keys: bool) -> None:
        self._desk = desk
        self._keys = keys
        self._described: tuple[Model, bytes] | None = None
        self._page = _PAGE.read_text(encoding="utf-8")
        self._policy = {"content-security-policy": content_security_policy(self._page)}

    def routes(self) -> list[Route]:
        """Every route."""
        return [
            Route("/", self._front, methods=["GET"]),
            Route("/models", self._models, methods=["GET"]),
            Route("/models/{name}", self._model, methods=["GET"]),
            Route("/openapi.json", self._openapi, methods=["GET"]),
            Route("/docs", self._docs, methods=["GET"]),
        ]

    async def _front(self, _: Request) -> Response:
        return RedirectResponse("docs")

    async def _models(self, _: Request) -> Response:
        return json_response({"models": [_named(self._desk.model)]})

    async def _model(self, request: Request) -> Response:
        model = self._desk.model
        if request.path_params["name"] != model.name:
            raise HTTPException(404, f"here is served {model.name!r} alone")
        return json_response(_details(model, self._desk.event_id_field))

    async def _openapi(self, _: Request) -> Response:
        model = self._desk.model
        if self._described is None or self._described[0] is not model:
            self._described = (model, _document(model, self._desk.event_id_field, keys=self._keys))
        return Response(self._described[1], media_type="application/json")

    async def _docs(self, _: Request) -> Response:
        return HTMLResponse(self._page, headers=self._policy)


def content_security_policy(page: str) -> str:
    """Only the page's own script and style run, and it talks to this server alone."""
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for tag, text in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        hashes[tag].append(f"'sha256-{digest}'")
    return (
        f"default-src 'none'; script-src {' '.join(hashes['script'])}; "
        f"style-src {' '.join(hashes['style'])}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _document(model: Model, event_id_field: str, *, keys: bool) -> bytes:
    path = model.path / GOLDEN
    golden = parse(path, path.read_bytes(), Golden)
    examples = Examples.of(model.signature, event_id_field, golden.events)
    served = Served(model.name, model.version, examples)
    return orjson.dumps(document(served, software=version(), keys=keys))


def _named(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "version": model.version,
        "task": model.signature.task.value,
        "engine": model.scorer.engine,
    }


def _details(model: Model, event_id_field: str) -> dict[str, Any]:
    return {
        **_named(model),
        "card": model.card,
        "signature": model.signature.to_dict(),
        "event_schema": event_schema(model.signature, event_id_field),
        "prediction_schema": prediction_schema(model.signature),
    }
