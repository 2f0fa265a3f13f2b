"""The monitor over HTTP: the page, its snapshots as they come, probes and metrics.

Every viewer is sent the same bytes, made once for each snapshot. A viewer has no queue: one that
reads slowly is sent the latest snapshot once it has taken the last, and misses those in between.
It must not know what a snapshot holds.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.live import Live
from runtime.access import given_key, is_known
from runtime.health import Probe

_PAGE: Final = Path(__file__).with_name("page")
_OPEN: Final = frozenset({"/livez", "/readyz"})
_LOOK_S: Final = 0.1
_BEAT_S: Final = 5.0
_BEAT: Final = b"event: beat\ndata:\n\n"  # an event, so that the page too hears that we are there
_RETRY: Final = b"retry: 1000\n\n"
_POLICY: Final = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'"
)


def create_app(
    live: Live,
    registry: CollectorRegistry,
    *,
    keys: Sequence[str] = (),
    max_viewers: int = 32,
    stopping: Callable[[], bool] = lambda: False,
) -> Starlette:
    """The application; once `stopping` holds, streams end. `keys` are hashes, none asks for none.

    Each app counts its own viewers, so it is for one event loop.
    """
    viewers = Viewers(live, max_viewers, stopping)

    async def page(_: Request) -> Response:
        return FileResponse(_PAGE / "index.html")

    async def snapshot(_: Request) -> Response:
        number, document = live.latest()
        if not number:
            return JSONResponse({"error": "no snapshot yet"}, 503, {"retry-after": "1"})
        return Response(document, media_type="application/json")

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    return Starlette(
        routes=[
            Route("/", page),
            Route("/events", viewers.stream, methods=["GET"]),
            Route("/snapshot", snapshot),
            Route("/livez", _probe(live.alive)),
            Route("/readyz", _probe(live.ready)),
            Route("/metrics", metrics),
            Mount("/static", StaticFiles(directory=_PAGE)),
        ],
        middleware=[Middleware(_Front, keys=tuple(keys))],
    )


class Viewers:
    """Those who follow, up to so many; for one event loop."""

    def __init__(self, live: Live, most: int, stopping: Callable[[], bool]) -> None:
        self._live, self._most, self.stopping = live, most, stopping
        self.count = 0
        self._framed: tuple[int, bytes] = (0, b"")

    async def stream(self, request: Request) -> Response:
        """Snapshots as they come, or 503 where there are as many viewers as are let in."""
        if request.method == "HEAD":
            return Response(media_type=_Stream.media_type)
        if self.count >= self._most:
            error = {
                "error": f"{self._most} viewers are let in at once (setting: monitor.max_viewers)"
            }
            return JSONResponse(error, 503, {"retry-after": "5"})
        return _Stream(self)

    def latest(self) -> tuple[int, bytes]:
        """The number of the latest snapshot, and what every viewer is sent of it."""
        number, document = self._live.latest()
        if number != self._framed[0]:
            self._framed = number, b"id: %d\ndata: %b\n\n" % (number, document)
        return self._framed


class _Stream(Response):
    """Server-sent events to one viewer, until it goes or we do."""

    media_type = "text/event-stream"

    def __init__(self, viewers: Viewers) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._viewers = viewers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        self._viewers.count += 1
        gone = asyncio.ensure_future(_left(receive))
        try:
            await send(start)
            await _send(send, _RETRY)
            await self._follow(send, gone)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._viewers.count -= 1
            gone.cancel()

    async def _follow(self, send: Send, gone: "asyncio.Future[None]") -> None:
        """Send what is new: `send` returns once the viewer has taken what it was sent before."""
        loop = asyncio.get_running_loop()
        shown, beat_at = 0, loop.time() + _BEAT_S
        while not gone.done() and not self._viewers.stopping():
            number, frame = self._viewers.latest()
            if number != shown:
                shown = number
                await _send(send, frame)
            elif loop.time() >= beat_at:
                await _send(send, _BEAT)
            else:
                await asyncio.sleep(_LOOK_S)
                continue
            beat_at = loop.time() + _BEAT_S


class _Front:
    """Before every answer: who may ask, and what a browser may do with it."""

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = _POLICY
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "no-referrer"
                headers["cache-control"] = "no-cache" if "etag" in headers else "no-store"
            await send(message)

        if self._keys and scope["path"] not in _OPEN and not self._let_in(Headers(scope=scope)):
            error = {"error": "an API key is needed: as the password, or Authorization: Bearer …"}
            challenge = {"www-authenticate": 'Basic realm="streamscore monitor", charset="UTF-8"'}
            await JSONResponse(error, 401, challenge)(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)

    def _let_in(self, headers: Headers) -> bool:
        authorization, api_key = headers.get("authorization"), headers.get("x-api-key")
        key = _password(authorization) or given_key(
            authorization.encode() if authorization is not None else None,
            api_key.encode() if api_key is not None else None,
        )
        return key is not None and is_known(key, self._keys)


def _password(authorization: str | None) -> bytes | None:
    """The password of `Authorization: Basic …`, which is how a browser asks its user for a key."""
    scheme, _, pair = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(pair, validate=True).partition(b":")[2]
    except binascii.Error:
        return None


def _probe(probe: Probe) -> Callable[[Request], Response]:
    def answer(_: Request) -> Response:
        condition = probe()
        reason = {"reason": condition.reason} if condition.reason else {}
        body = {"ok": condition.holds, **reason, **condition.facts}
        return JSONResponse(body, 200 if condition.holds else 503)

    return answer


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
