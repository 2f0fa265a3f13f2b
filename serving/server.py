"""The HTTP service as a process: builds every part in one place, listens, stops in order.

The order at the end: no new connections, what is in flight is answered, answers that were taken
over are published, the alias is followed no more.
"""

import asyncio
import contextlib
import functools
import gc
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog
import uvicorn
from prometheus_client import CollectorRegistry
from threadpoolctl import threadpool_limits

from model.bundle_files import GOLDEN, parse
from model.errors import SettingsError
from model.golden import Golden
from model.rejection import Rejection
from runtime.access import require_protection
from runtime.reload import Watcher, following
from runtime.sections import ServingSettings
from runtime.settings import Settings
from runtime.telemetry import PublishMetrics, ServingMetrics
from serving.batching import Batcher, Room
from serving.connection import ConnectionLimits, LimitedProtocol, cut_off_slow
from serving.encoding import encode
from serving.mlflow_routes import MlflowRoutes
from serving.model_routes import ModelRoutes
from serving.publish import publishing
from serving.scoring import Batch, Scoring
from serving.service import Publish, Service
from serving.tensor_routes import TensorRoutes

if TYPE_CHECKING:
    from model.bundle import Model

_log = structlog.get_logger("streamscore.serving")

_BACKLOG: Final = 2048
# A request leaves next to no cycles behind; Python's own 700 has a collection look for them all the
# time, through whatever is in flight.
_GC: Final = (20_000, 20, 20)
_GRACE_S: Final = 2.0  # beyond the time in which requests are answered: for publishing


def serve(
    settings: Settings,
    reference: str,
    loaded: "Callable[[Settings, str], Model]",
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Answer requests with the model that `reference` names until SIGTERM or SIGINT.

    `ready` is told the address once it listens.

    Raises:
        StreamscoreError: something is missing at the start.

    """
    serving = settings.serving
    require_protection(
        serving.host, keys=serving.api_keys, insecure=serving.insecure, what="serving"
    )
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1))  # more native threads than one fight over cores
        listening = stack.enter_context(_listening(serving))
        model = loaded(settings, reference)
        metrics = ServingMetrics(CollectorRegistry())
        watcher = stack.enter_context(following(reference, model, settings, metrics.model))
        publish: Publish | None = None
        if serving.publish is not None:
            counted = PublishMetrics(metrics.registry)
            publisher = publishing(settings, serving.publish, counted, _GRACE_S)
            publish = stack.enter_context(publisher).offer
        parts = _Parts(settings, watcher, metrics, publish)
        gc.freeze()  # what is there now stays: collections need not walk it each time
        gc.set_threshold(*_GC)
        gc.enable()  # a command turns it off for its start
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(parts, listening, ready))
    _log.info("service_stopped")


@dataclass(slots=True)
class _Parts:
    """What the service is made of, and the scoring by the version that is at work."""

    settings: Settings
    watcher: Watcher
    metrics: ServingMetrics
    publish: Publish | None
    _scoring: Scoring | None = field(default=None, init=False)

    def scoring(self) -> Scoring:
        """What the next batch is scored by."""
        model = self.watcher.model
        if self._scoring is None or self._scoring.model is not model:
            self._scoring = Scoring(model, self.settings.event_id_field)
        return self._scoring

    def see(self, batch: Batch) -> None:
        """Count a batch."""
        refused = sum(isinstance(result, Rejection) for result in batch.results)
        self.metrics.batch_events.observe(len(batch.results))
        self.metrics.events.labels("predicted").inc(len(batch.results) - refused)
        self.metrics.events.labels("refused").inc(refused)

    def room(self) -> Room:
        """How much is taken on."""
        serving = self.settings.serving
        return Room(serving.max_batch, serving.queue_events, serving.request_timeout_s)


async def _run(parts: _Parts, listening: socket.socket, ready: Callable[[str], None]) -> None:
    serving = parts.settings.serving
    batcher = Batcher(parts.scoring, parts.room(), parts.see)
    await _warm_up(parts, batcher)
    server: _Server
    service = Service(
        serving,
        parts.settings.event_id_field,
        lambda: parts.watcher.model,
        lambda: batcher,
        parts.metrics,
        stopping=lambda: server.should_exit,
        publish=parts.publish,
    )
    protocols = (TensorRoutes(service), MlflowRoutes(service))
    described = ModelRoutes(service, keys=bool(serving.api_keys))
    service.add_routes([route for each in (*protocols, described) for route in each.routes()])
    server = _Server(_config(serving, service))
    async with _looking_after(server):
        address = _address(serving, listening)
        _log.info(
            "service_started",
            address=address,
            model=parts.watcher.model.reference,
            engine=parts.watcher.model.scorer.engine,
            api_keys=len(serving.api_keys),
            publish=serving.publish,
        )
        ready(address)
        await server.serve([listening])


async def _warm_up(parts: _Parts, batcher: Batcher) -> None:
    """Score golden rows, so that the first request pays for nothing that happens once."""
    path = parts.watcher.model.path / GOLDEN
    golden = parse(path, path.read_bytes(), Golden)
    events = [encode(event) for event in golden.events][: parts.room().queued_events]
    for some in (events[:1], events[:1], events):
        await batcher.submit("warm-up", some)


def _config(serving: ServingSettings, service: Service) -> uvicorn.Config:
    limits = ConnectionLimits(
        serving.max_header_bytes,
        serving.read_timeout_s,
        serving.max_connections,
        serving.max_body_bytes,
    )
    protocol: Any = functools.partial(LimitedProtocol, limits)
    return uvicorn.Config(
        service,
        http=protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=int(max(1, serving.keep_alive_s)),
        timeout_graceful_shutdown=int(max(1, serving.shutdown_timeout_s)),
        ssl_certfile=serving.tls_certificate,
        ssl_keyfile=serving.tls_key,
    )


class _Server(uvicorn.Server):
    """Ends with status 0 at the first signal, once what is in flight is answered; else at once."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take signals by the event loop: uvicorn would end by the signal that it was sent."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _stop(self, number: signal.Signals) -> None:
        _log.info("stopping", reason=signal.Signals(number).name)
        if self.should_exit:
            os._exit(1)  # told twice: nothing is half done, clients ask again
        self.should_exit = True


@asynccontextmanager
async def _looking_after(server: uvicorn.Server) -> AsyncIterator[None]:
    task = asyncio.create_task(cut_off_slow(server.server_state.connections))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextmanager
def _listening(serving: ServingSettings) -> Iterator[socket.socket]:
    """A socket that listens. Raises SettingsError where the address or a certificate is wrong."""
    _require_certificate(serving)
    try:
        found = socket.getaddrinfo(
            serving.host, serving.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, address = found[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        with contextlib.ExitStack() as failing:
            failing.callback(listening.close)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            failing.pop_all()
    except OSError as error:
        where = f"{serving.host}:{serving.port}"
        msg = f"the service cannot listen on {where}: {error.strerror or error}"
        raise SettingsError(msg, hint="give another --host or --port") from error
    with listening:
        listening.listen(_BACKLOG)
        listening.setblocking(False)  # noqa: FBT003 - its only parameter
        yield listening


def _require_certificate(serving: ServingSettings) -> None:
    if serving.tls_certificate is None or serving.tls_key is None:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(serving.tls_certificate, serving.tls_key, password=lambda: "")
    except OSError as error:  # ssl's own errors are among them
        files = f"{serving.tls_certificate} and {serving.tls_key}"
        msg = f"the certificate and key in {files} cannot be used: {error.strerror or error}"
        hint = "both in PEM, the key without a password, and the one that fits the certificate"
        raise SettingsError(msg, hint=hint) from error


def _address(serving: ServingSettings, listening: socket.socket) -> str:
    scheme = "http" if serving.tls_certificate is None else "https"
    host = f"[{serving.host}]" if ":" in serving.host else serving.host
    return f"{scheme}://{host}:{listening.getsockname()[1]}"


def _loop_factory() -> "Callable[[], asyncio.AbstractEventLoop]":
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
