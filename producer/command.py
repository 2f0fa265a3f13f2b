"""`streamscore produce`: events from a file or standard input onto a topic."""

from typing import TYPE_CHECKING, Annotated

import typer

from runtime.terminal import BootstrapOption, JsonOption

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from model.errors import StreamscoreError
    from producer.files import Event
    from producer.publisher import Publisher
    from runtime.terminal import Bar


def produce(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Events: .ndjson, .jsonl or .json (one object a line), .csv or .parquet; "
            "`-` is NDJSON on standard input.",
            show_default=False,
        ),
    ],
    topic: Annotated[
        str | None,
        typer.Option(
            metavar="TOPIC", help="Where events go.  (setting: topics.input)", show_default=False
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="The field that is each event's key.  [default: none]"),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="R", help="Events per second.  [default: all at once]"),
    ] = None,
    loop: Annotated[
        bool, typer.Option("--loop", help="Begin again at the end of FILE, until stopped.")
    ] = False,
    text: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN", help="A column of a .csv file that is text whatever it looks like."
        ),
    ] = None,
    bootstrap_servers: BootstrapOption = None,
    json_: JsonOption = False,
) -> None:
    """Publish the events of a file, and wait until the broker has acknowledged every one.

    Lines of JSON are sent as they are. In a .csv file an empty field is null, and a column is
    numbers, true/false or text as a whole. Ctrl-C or SIGTERM ends the sending early: what was sent
    is still waited for and counted.
    """
    import time

    from model.errors import StreamscoreError
    from producer.feed import feed, stop_signals
    from producer.publisher import Publisher
    from runtime.logs import configure_logging
    from runtime.settings import load_settings
    from runtime.terminal import out, print_json, progress

    settings = load_settings({"bootstrap_servers": bootstrap_servers})
    configure_logging(settings.log)
    publisher = Publisher(topic or settings.topics.input, settings=settings)
    with stop_signals() as stop:
        events = _events(file, key, text or [], stop, loop=loop)
        started_s = time.monotonic()
        try:
            with publisher, progress(f"publishing {file}", unit="events") as bar:
                complete = feed(_shown(events, bar), publisher, stop=stop, rate_per_s=rate)
        except StreamscoreError as error:
            raise _counted(error, publisher) from error
    summary = f"{publisher.acknowledged} events acknowledged on topic {publisher.topic}"
    if not complete and not loop and file != "-":
        raise StreamscoreError(f"stopped before the end of {file}: {summary}")
    if json_:
        seconds = round(time.monotonic() - started_s, 3)
        counts = {"acknowledged": publisher.acknowledged, "failed": publisher.failed}
        print_json({"topic": publisher.topic, **counts, "seconds": seconds})
    else:
        out().print(summary)


def _events(
    file: str, key: str | None, text: list[str], stop: "threading.Event", *, loop: bool
) -> "Iterator[Event]":
    import itertools
    import sys
    from pathlib import Path

    from model.errors import WrongUsage
    from producer.files import STANDARD_INPUT, read_file, read_ndjson

    if file != STANDARD_INPUT:
        path = Path(file)
        first = read_file(path, key_field=key, text_columns=text)
        if not loop:
            return first
        again = (read_file(path, key_field=key, text_columns=text) for _ in itertools.count())
        return itertools.chain(first, itertools.chain.from_iterable(again))
    if loop:
        raise WrongUsage("standard input can be read only once: --loop needs a file")
    if text:
        raise WrongUsage("--text is for the columns of a .csv file")
    return read_ndjson(sys.stdin.fileno(), "standard input", key, lambda: not stop.is_set())


def _shown(events: "Iterator[Event]", bar: "Bar") -> "Iterator[Event]":
    for event in events:
        yield event
        bar.advance()


def _counted(error: "StreamscoreError", publisher: "Publisher") -> "StreamscoreError":
    """The error, with what became of the events before it where it does not say so itself."""
    from model.errors import InputFileError

    done, failed = publisher.acknowledged, publisher.failed
    if not isinstance(error, InputFileError) and (failed or not done):
        return error
    rest = f", failed: {failed} ({publisher.reason})" if failed else ""
    return type(error)(
        f"{error}; acknowledged on topic {publisher.topic} before it: {done}{rest}",
        hint=error.hint,
    )
