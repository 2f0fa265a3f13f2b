"""Listening: the application in a thread of its own, which ends within seconds."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from model.errors import SettingsError

_BACKLOG: Final = 128
_CONNECTIONS: Final = 256  # beyond it: 503
_END_S: Final = 2  # in which answers end
_GRACE_S: Final = 3.0
_STUCK_S: Final = 30  # a viewer that takes nothing for so long is cut off
_KEEP_ALIVE_S: Final = 15


@contextmanager
def listening(host: str, port: int, app: Callable[[Callable[[], bool]], ASGIApp]) -> Iterator[str]:
    """Answer at the address that this gives, until left; `app` is told how to see that it ends.

    Raises:
        SettingsError: it cannot listen there.

    """
    with _socket(host, port) as bound:
        server = uvicorn.Server(_config(app(lambda: server.should_exit)))
        thread = threading.Thread(
            target=asyncio.run, args=[server.serve([bound])], name="page", daemon=True
        )
        thread.start()
        shown = f"[{host}]" if ":" in host else host
        try:
            yield f"http://{shown}:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(_END_S + _GRACE_S)


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_END_S,
    )


def _socket(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        with contextlib.ExitStack() as failing:
            failing.callback(bound.close)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; what is accepted has it from here
                bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STUCK_S * 1000)
            bound.bind(address)
            bound.listen(_BACKLOG)
            failing.pop_all()
    except OSError as error:
        msg = f"the monitor cannot listen on {host}:{port}: {error.strerror or error}"
        raise SettingsError(msg, hint="give another --host or --port") from error
    return bound
