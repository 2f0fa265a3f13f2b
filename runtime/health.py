"""`/livez`, `/readyz` and `/metrics` of a long-running application, on a port of their own.

Shows states and figures, never payloads. What alive and ready mean, the application says.
"""

import errno
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from model.errors import SettingsError
from runtime.sections import HealthSettings

FIRST_PORT: Final = 9464
_PORTS: Final = 100
_REQUEST_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Condition:
    """One answer of a probe: whether it holds, why not, and what else there is to tell."""

    holds: bool
    reason: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    def with_facts(self, **facts: str) -> "Condition":
        """The same answer with more to tell, shown as fields of their own."""
        return replace(self, facts={**self.facts, **facts})


Probe = Callable[[], Condition]


class HealthServer:
    """Answers probes and scrapes in threads of its own, until `stop`."""

    def __init__(
        self, settings: HealthSettings, *, alive: Probe, ready: Probe, registry: CollectorRegistry
    ) -> None:
        class Handler(_Handler):
            probes = {"/livez": alive, "/readyz": ready}  # noqa: RUF012 - never changed
            metrics = registry

        self._server = _bind(settings, Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="health", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering; returns within seconds."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_REQUEST_TIMEOUT_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


def _bind(settings: HealthSettings, handler: type[BaseHTTPRequestHandler]) -> _Server:
    """Listen on the port that is set, or on the first free one from FIRST_PORT."""
    if settings.port is not None:
        ports = range(settings.port, settings.port + 1)
    else:
        ports = range(FIRST_PORT, FIRST_PORT + _PORTS)
    for port in ports:
        try:
            return _Server((settings.host, port), handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                msg = f"the health port cannot listen on {settings.host}:{port}: {error.strerror}"
                raise SettingsError(msg, hint="set health.host and health.port") from error
    msg = f"the health port {settings.host}:{ports[0]} is in use"
    raise SettingsError(msg, hint="set health.port to a free one, or leave it out")


class _Handler(BaseHTTPRequestHandler):
    probes: dict[str, Probe]
    metrics: CollectorRegistry
    timeout = _REQUEST_TIMEOUT_S
    protocol_version = "HTTP/1.1"
    server_version = "streamscore"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(200, content_type, encode(self.metrics))
        elif path in self.probes:
            condition = self.probes[path]()
            reason = {"reason": condition.reason} if condition.reason else {}
            body = {"ok": condition.holds, **reason, **condition.facts}
            status = 200 if condition.holds else 503
            self._answer(status, "application/json", json.dumps(body).encode() + b"\n")
        else:
            self._answer(404, "application/json", b'{"error": "not found"}\n')

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Probes come every second: they are not logged."""
