"""The service as an ASGI application: who may ask, what they ask, and what became of it.

`POST /predict` is answered here, by the shortest way; every other route by Starlette. Limits and
access hold for all of them. How events are scored is serving/batching.py.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from http import HTTPStatus
from itertools import count
from typing import Any, Final

import msgspec
import orjson
import structlog
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from model.bundle import Model
from model.rejection import Rejection
from runtime.access import given_key, is_known
from runtime.sections import ServingSettings
from runtime.telemetry import ServingMetrics
from serving.asked import Asked, Message, Receive, Scope, read_body, require_json
from serving.batching import Answer, Batcher, Overloaded, TooLate
from serving.desk import Answered, json_response
from serving.openapi_paths import OPEN_PATHS
from serving.problems import Headers, of_event, problem, response, too_much

_log = structlog.get_logger("streamscore.serving")

Send = Callable[[Message], Awaitable[None]]
Reply = tuple[int, Headers, bytes]
Publish = Callable[[Sequence[bytes], Sequence[str], Sequence[tuple[str, bytes]]], None]

_JSON: Final = (b"content-type", b"application/json")
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_NO_ROUTE: Final = "none"


_asked: ContextVar[Asked] = ContextVar("asked")


class Service:
    """Answers requests by what a batcher scores; `model` is that of the next batch.

    It is a desk for the protocols (serving/desk.py). `stopping` says that it is about to end;
    `publish`, if there is one, takes over each prediction.
    """

    def __init__(  # noqa: PLR0913 - what it is made of
        self,
        settings: ServingSettings,
        event_id_field: str,
        model: Callable[[], Model],
        batcher: Callable[[], Batcher],
        metrics: ServingMetrics,
        *,
        stopping: Callable[[], bool],
        publish: Publish | None = None,
    ) -> None:
        self.event_id_field = event_id_field
        self._settings = settings
        self._model = model
        self._batcher = batcher
        self._metrics = metrics
        self._stopping = stopping
        self._publish = publish
        self._names = f"{secrets.token_hex(6)}-"
        self._numbers = count(1)
        self._in_flight = 0
        metrics.in_flight.set_function(lambda: self._in_flight)
        self._counted: dict[tuple[str, int], Any] = {}
        self._others: Starlette | None = None

    @property
    def model(self) -> Model:
        """The version that the next batch is scored by."""
        return self._model()

    def is_ready(self) -> bool:
        """Whether events would be answered."""
        return not self._stopping()

    def add_routes(self, routes: Sequence[Route]) -> None:
        """Answer these as well as `/predict`, the probes and the metrics."""
        own = [
            Route("/predict", self._predict_by_other_methods, methods=["POST"]),
            Route("/livez", self._live, methods=["GET"]),
            Route("/readyz", self._ready, methods=["GET"]),
            Route("/metrics", self._figures, methods=["GET"]),
        ]
        self._others = Starlette(
            routes=[*own, *routes],
            exception_handlers={HTTPException: _raise, Exception: _raise},
        )
        self._others.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = time.perf_counter()
        self._in_flight += 1
        asked = Asked.of(scope, f"{self._names}{next(self._numbers):x}")
        route = scope["path"] if scope["path"] == "/predict" else _NO_ROUTE
        try:
            try:
                self._require_key(scope["path"], asked.headers)
                if route == "/predict" and scope["method"] == "POST":
                    status, headers, body = await self._predict(asked, receive)
                else:
                    route = self._route(scope) or _NO_ROUTE
                    status, headers, body = await self._by_others(asked, scope, receive)
            except HTTPException as error:
                status, headers, body = _refusal(error)
            except Exception:  # noqa: BLE001 - whatever it is, the client is answered
                _log.exception("request_failed", request=asked.name, route=route)
                said = f"something went wrong here; the log has it as request {asked.name}"
                status, headers, body = response(500, problem(500, said))
            await _answer(
                send, status, [*headers, (b"x-request-id", asked.name.encode()), *asked.trace], body
            )
        finally:
            self._in_flight -= 1
        self._count(route, status, time.perf_counter() - began)

    def _require_key(self, path: str, headers: Mapping[bytes, bytes]) -> None:
        known = self._settings.api_keys
        if not known or path in OPEN_PATHS:
            return
        key = given_key(headers.get(b"authorization"), headers.get(b"x-api-key"))
        if key is None or not is_known(key, known):
            said = "no API key of ours: send Authorization: Bearer KEY, or X-API-Key: KEY"
            raise HTTPException(401, said, {"www-authenticate": 'Bearer realm="streamscore"'})

    async def _predict(self, asked: Asked, receive: Receive) -> Reply:
        require_json(asked)
        body = await read_body(asked, receive, self._settings.max_body_bytes)
        if body.lstrip(b" \t\r\n")[:1] != b"[":
            batch, start, _ = await self._scored(asked, [body])
            result = batch.results[start]
            if isinstance(result, Rejection):
                found = of_event(result)
                return response(found["status"], found)
            return 200, [_JSON], result
        events = self._events(body)
        if not events:
            return 200, [_JSON], b"[]"
        batch, start, end = await self._scored(asked, events)
        return 200, [_JSON], b"[%b]" % b",".join(map(_in_list, batch.results[start:end]))

    def _events(self, body: bytes) -> list[bytes]:
        """The events of a list, byte for byte."""
        try:
            return [bytes(event) for event in _LIST.decode(body)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise HTTPException(400, f"the body is not a JSON list: {_cause(error)}") from None

    async def _scored(self, asked: Asked, events: Sequence[bytes]) -> Answer:
        if len(events) > self._settings.max_rows:
            most = self._settings.max_rows
            raise HTTPException(413, f"{len(events)} events; a request has {most} at most")
        if self._stopping():
            raise too_much("the service is about to stop")
        try:
            answer = await self._batcher().submit(asked.name, events)
        except Overloaded as error:
            raise too_much(str(error)) from None
        except TooLate:
            limit = self._settings.request_timeout_s
            raise HTTPException(504, f"not answered within {limit:g} s") from None
        if self._publish is not None:
            self._offer(asked, answer)
        return answer

    def _offer(self, asked: Asked, answer: Answer) -> None:
        batch, start, end = answer
        predictions, ids = [], []
        for result, event_id in zip(batch.results[start:end], batch.ids[start:end], strict=True):
            if isinstance(result, bytes) and event_id is not None:
                predictions.append(result)
                ids.append(event_id)
        if predictions and self._publish is not None:
            headers = [(name.decode(), value) for name, value in asked.trace]
            self._publish(predictions, ids, headers)

    async def body(self, request: Request) -> bytes:
        """A request's body, within its limits (for serving/desk.py)."""
        return await read_body(_asked.get(), request.receive, self._settings.max_body_bytes)

    async def answer(self, events: Sequence[bytes]) -> Answered:
        """The answers to events, in order (for serving/desk.py)."""
        if not events:
            return Answered(self.model, [])
        batch, start, end = await self._scored(_asked.get(), events)
        return Answered(batch.model, batch.results[start:end])

    def _route(self, scope: Scope) -> str | None:
        for route in self._others.routes if self._others else ():
            if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
                return route.path
        return None

    async def _by_others(self, asked: Asked, scope: Scope, receive: Receive) -> Reply:
        token = _asked.set(asked)
        parts: list[Message] = []

        async def keep(message: Message) -> None:
            parts.append(message)

        try:
            if self._others is None:
                raise HTTPException(404, "there is no such route")
            await self._others(scope, receive, keep)
        finally:
            _asked.reset(token)
        start, *bodies = parts
        body = b"".join(part.get("body", b"") for part in bodies)
        headers = [each for each in start.get("headers", []) if each[0] != b"content-length"]
        return start["status"], headers, body

    async def _predict_by_other_methods(self, _: Request) -> Response:
        raise HTTPException(405, "send events by POST", {"allow": "POST"})

    async def _live(self, _: Request) -> Response:
        return json_response({"ok": True})

    async def _ready(self, _: Request) -> Response:
        if self._stopping():
            return json_response({"ok": False, "reason": "about to stop"}, 503)
        return json_response({"ok": True, "model": self.model.reference})

    async def _figures(self, request: Request) -> Response:
        self._metrics.queued_events.set(self._batcher().queued_events)
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._metrics.registry), media_type=content_type)

    def _count(self, route: str, status: int, seconds: float) -> None:
        counted = self._counted.get((route, status))
        if counted is None:
            counted = self._metrics.requests.labels(route, str(status))
            self._counted[route, status] = counted
        counted.inc()
        self._metrics.request_seconds.observe(seconds)


async def _answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    sized = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": sized})
    await send({"type": "http.response.body", "body": body})


_SAID: Final = {  # where Starlette has the status alone to say
    404: "there is no such route here; GET /docs shows those that there are",
    405: "not by this method; the header Allow has those that are taken",
}


def _refusal(error: HTTPException) -> Reply:
    status, said = error.status_code, error.detail
    if said == HTTPStatus(status).phrase:
        said = _SAID.get(status, said)
    return response(status, problem(status, said), error.headers)


def _in_list(result: bytes | Rejection) -> bytes:
    return orjson.dumps(of_event(result)) if isinstance(result, Rejection) else result


def _cause(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


async def _raise(_: Request, error: Exception) -> Response:
    raise error
