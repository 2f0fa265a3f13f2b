"""Connections that cannot hold the service up: bounded headers, and deadlines for slow clients.

uvicorn limits neither: its only timer is that of an idle connection between two requests.
"""

import asyncio
import contextlib
import os
import socket
import struct
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.problems import MEDIA_TYPE, problem

_LOOK_S: Final = 0.5
_CONTINUE: Final = b"HTTP/1.1 100 "
_AROUND: Final = 10  # bytes on the wire for one of a body in the smallest of chunks, and more


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one connection may take, and how many there may be; times in seconds."""

    header_bytes: int
    read_timeout_s: float
    connections: int
    body_bytes: int


class WholeAnswers:
    """What uvicorn writes an answer to: sends its head together with its body.

    One system call less on each side, which is a tenth of a request, and one packet.
    """

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """Keep the head; send anything else, after it."""
        if self._head is None and not data.startswith(_CONTINUE):
            self._head = data
            return
        if self._head:
            data, self._head = self._head + data, b""
        self._transport.write(data)

    def close(self) -> None:
        """Send what is kept, and close."""
        if self._head:
            self.write(b"")
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether nothing will be sent any more."""
        return self._transport.is_closing()


class LimitedProtocol(HttpToolsProtocol):
    """A connection that is cut off when its client is too slow, or sends headers without end."""

    def __init__(self, limits: ConnectionLimits, **given: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(**given)
        self._limits = limits
        self._received = 0  # bytes of this request's start line and headers
        self.waiting_since: float | None = None  # for the rest of a request
        self.blocked_since: float | None = None  # by an answer that is not read
        self._answering: Any = None  # uvicorn's `cycle` is the newest of pipelined requests

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self.waiting_since = self.loop.time()
        if len(self.connections) > self._limits.connections:
            self._refuse(503, "too many connections", "retry-after: 1\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """Answer it no more."""
        self._give_up()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the headers are too large."""
        if self.transport.is_closing():
            return
        self._received += len(data)
        super().data_received(data)
        if self.headers_too_large():
            self._refuse(431, f"headers take {self._limits.header_bytes} bytes at most")

    def headers_too_large(self) -> bool:
        """Whether what came of the headers so far is too much; they are not complete yet."""
        return self._received > self._limits.header_bytes and not self.transport.is_closing()

    def on_message_begin(self) -> None:
        """The first byte of a request is there: from now on the rest of it is waited for."""
        self.waiting_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Hand the request to the application, unless its headers are too large."""
        size = len(self.url)
        for name, value in self.headers:
            size += len(name) + len(value) + 4
        if size > self._limits.header_bytes:
            self._refuse(431, f"headers take {self._limits.header_bytes} bytes at most")
            raise httptools.HttpParserCallbackError
        # The application limits the body; this, what is around it: sizes of chunks, trailers.
        self._received = -_AROUND * self._limits.body_bytes
        super().on_headers_complete()
        if self.scope["method"] == "POST":  # its answers always have a body, if only an empty one
            cycle: Any = self.cycle
            cycle.transport = WholeAnswers(self.transport)

    def on_message_complete(self) -> None:
        """The request is there."""
        self.waiting_since, self._received = None, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - in our own words
        """Say that this is no HTTP; a client that was refused already has its answer."""
        if not self.transport.is_closing():
            self._refuse(400, "this is no HTTP request that can be read")

    def pause_writing(self) -> None:
        """The client does not read its answer."""
        self.blocked_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self.blocked_since = None
        super().resume_writing()

    def cut_off_if_slow(self, now: float) -> None:
        """End the connection where the client has taken too long."""
        longest = self._limits.read_timeout_s
        if self.blocked_since is not None:
            if now - self.blocked_since > longest:
                self._abort()
        elif self.transport.is_closing():
            self.blocked_since = now  # until the client has read what it was told
        elif self.flow.read_paused:
            self.waiting_since = None if self.waiting_since is None else now  # it is we who wait
        elif self.waiting_since is not None and now - self.waiting_since > longest:
            if not self.is_idle() and self.cycle.response_started:
                self._abort()
            else:
                self._refuse(408, f"the request did not come within {longest:g} s")

    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        cycle: Any = self.cycle  # None before the first one
        return cycle is None or bool(cycle.response_complete)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:  # noqa: ANN401 - uvicorn's
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _give_up(self) -> None:
        """Let the request in hand write no more: its connection is closed."""
        for cycle in (self._answering, self.cycle):
            if cycle is not None:
                cycle.disconnected = True
                cycle.message_event.set()

    def _abort(self) -> None:
        """End it at once: the kernel would keep what is not read, and the connection, for long."""
        self._give_up()
        given = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(given.fileno())) as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _refuse(self, status: int, detail: str, more: str = "") -> None:
        body = orjson.dumps(problem(status, detail))
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n{more}\r\n"
        )
        self._give_up()
        self.transport.write(head.encode() + body)
        self.transport.close()


async def cut_off_slow(connections: set[Any]) -> None:
    """Look after all connections of a server, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_LOOK_S)
        now = loop.time()
        for connection in list(connections):
            cast("LimitedProtocol", connection).cut_off_if_slow(now)
