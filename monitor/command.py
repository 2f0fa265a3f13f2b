"""`streamscore monitor`: the live page on the command line."""

import importlib.util
import os
from typing import TYPE_CHECKING, Annotated

import typer

from model.errors import WrongUsage
from runtime.terminal import BootstrapOption, StoreOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp


def monitor(
    input: Annotated[  # noqa: A002 - the flag's name
        str | None,
        typer.Option(metavar="TOPIC", help="Where events come from.  (setting: topics.input)"),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(metavar="TOPIC", help="Where predictions go.  (setting: topics.output)"),
    ] = None,
    outcomes: Annotated[
        str | None,
        typer.Option(
            metavar="TOPIC",
            help='Where the truth arrives, {"id", "outcome"}.  (setting: monitor.outcomes)',
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME@ALIAS",
            help="Whose baseline events and answers are compared with.  (setting: monitor.model)",
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="The consumer group to watch.  (setting: consumer.group; streamscore-NAME)"
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Where it listens.  (setting: monitor.host; 127.0.0.1)")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="0: any free one.  (setting: monitor.port; 8090)")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen beyond this machine without API keys.")
    ] = False,
    bootstrap_servers: BootstrapOption = None,
    store: StoreOption = None,
) -> None:
    """Watch a scoring service: lag, latency, dead letters, quality and drift, until stopped.

    The page is at the address that it listens on. It reads all partitions in a group of its own
    and takes nothing from anyone. What it knows is kept in a file (setting: monitor.state), so
    that a restart goes on where it stood.
    """
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    from prometheus_client import CollectorRegistry

    _require_extra()
    from monitor.app import create_app
    from monitor.listen import listening
    from monitor.live import Live
    from monitor.service import run_monitor, subject_of
    from runtime.access import require_protection
    from runtime.logs import configure_logging
    from runtime.settings import load_settings
    from runtime.stop import Stop
    from runtime.telemetry import MonitorMetrics
    from runtime.terminal import out

    settings = load_settings(
        {
            "bootstrap_servers": bootstrap_servers,
            "store": store,
            "topics.input": input,
            "topics.output": output,
            "consumer.group": group,
            "monitor.outcomes": outcomes,
            "monitor.model": model,
            "monitor.host": host,
            "monitor.port": port,
            "monitor.insecure": insecure or None,
        }
    )
    configure_logging(settings.log)
    watched = settings.consumer.group
    if watched is None:
        if settings.monitor.model is None:
            raise WrongUsage(
                "which consumer group is to be watched?",
                hint="--group GROUP, or --model NAME@ALIAS for the group streamscore-NAME",
            )
        name = settings.monitor.model.partition("@")[0].partition(":")[0]
        watched = f"streamscore-{name}"
    mine = settings.monitor
    require_protection(mine.host, keys=mine.api_keys, insecure=mine.insecure, what="monitor")
    subject = subject_of(settings, watched)
    stop = Stop(mine.shutdown_timeout_s)
    stop.on_signals()
    live, metrics = Live(), MonitorMetrics(CollectorRegistry())

    def app(stopping: "Callable[[], bool]") -> "ASGIApp":
        return create_app(
            live,
            metrics.registry,
            keys=mine.api_keys,
            max_viewers=mine.max_viewers,
            stopping=stopping,
        )

    with listening(mine.host, mine.port, app) as address:
        out().print(f"The page: {address}", soft_wrap=True)
        run_monitor(settings, subject, live, metrics, stop)


def _require_extra() -> None:
    if any(importlib.util.find_spec(name) is None for name in ("river", "starlette", "uvicorn")):
        raise WrongUsage(
            "the monitor needs packages that are not installed",
            hint="install them with: pip install 'streamscore[serving,monitor]'",
        )
