"""`streamscore broker`: the embedded Apache Kafka, in the foreground."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.terminal import err, out, progress

if TYPE_CHECKING:
    from runtime.broker import EmbeddedBroker

_USUAL_PORT = 9092  # where everything else of ours looks for a broker
_LOOK_S = 1.0


def broker(
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Keep the topics here; what is there already is taken up again.  "
            "[default: a temporary folder, gone at the end]",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            metavar="P",
            help="Listen here, on 127.0.0.1 only; 0: any port that is free.  "
            f"[default: {_USUAL_PORT}, or any where that is taken]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run a real Apache Kafka in the foreground, for development and demos, until Ctrl-C.

    Needs no Docker and no Java. The first start fetches Kafka (45 MB) and keeps it for the next.
    Standard output gets one line, the address, as soon as the broker answers.
    """
    from runtime.broker import EmbeddedBroker

    for ending in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C does
        signal.signal(ending, signal.default_int_handler)
    embedded = EmbeddedBroker(data, _choose(port))
    try:
        _start(embedded)
        _announce(embedded, data)
        while not embedded.wait(_LOOK_S):
            pass
        raise embedded.failure("ended by itself")
    except KeyboardInterrupt:
        err().print("stopping")
    finally:
        embedded.stop()


def _choose(port: int | None) -> int | None:
    from runtime.broker import is_free

    if port is None:
        return _USUAL_PORT if is_free(_USUAL_PORT) else None
    return port or None


def _start(embedded: "EmbeddedBroker") -> None:
    from runtime.kafka_jars import class_path, is_fetched

    if not is_fetched():
        err().print("fetching Apache Kafka, once (45 MB)")
        with progress("fetching Apache Kafka", unit="bytes") as bar:
            done = 0

            def update(now: int, total: int) -> None:
                nonlocal done
                bar.expect(total)
                bar.advance(now - done)
                done = now

            class_path(progress=update)
    with progress("starting Apache Kafka"):
        embedded.start()


def _announce(embedded: "EmbeddedBroker", data: Path | None) -> None:
    out().print(embedded.bootstrap_servers)
    kept = "are gone when it stops" if data is None else f"stay in {data}"
    err().print(f"Apache Kafka answers; its topics {kept}. Ctrl-C stops it.")
    if embedded.bootstrap_servers != f"127.0.0.1:{_USUAL_PORT}":
        err().print(f"export STREAMSCORE_BOOTSTRAP_SERVERS={embedded.bootstrap_servers}")
