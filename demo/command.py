"""`streamscore demo`: see it work, on real flights, with nothing but this command."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from model.errors import StreamscoreError
from runtime.terminal import BootstrapOption, StoreOption


class PromiseBroken(StreamscoreError):
    """The audit found an event lost, doubled, misplaced or out of order."""


def demo(
    events: Annotated[
        int | None,
        typer.Option(min=1, help="How many events to publish.  [default: the 27,020 of December]"),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Scoring processes in the group.")
    ] = 2,
    rate: Annotated[
        float, typer.Option(min=0, help="Events a second; 0: as fast as it goes.")
    ] = 2000,
    summary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write the summary as JSON, too."),
    ] = None,
    screenshot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Save the live screen as an SVG."),
    ] = None,
    bootstrap_servers: BootstrapOption = None,
    store: StoreOption = None,
) -> None:
    """See it work: a month of real flights in, their predicted delays out, every one accounted for.

    Starts a broker of its own, trains and bundles the model if the store has none, and publishes
    the December departures as events. A scoring group and a subscriber answer them as processes
    of their own. A few events are broken on purpose: they become dead letters. At the end all is
    stopped and audited; the exit code is 1 if an event was lost or doubled.

    With --bootstrap-servers it plays on that broker, in topics that it deletes at the end.
    """
    from demo.run import Plan, run_demo
    from demo.screen import export_svg, live_screen, summary_table
    from demo.show import show_on
    from runtime.logs import configure_logging
    from runtime.settings import load_settings
    from runtime.terminal import out

    settings = load_settings({"bootstrap_servers": bootstrap_servers, "store": store})
    configure_logging(settings.log)
    plan = Plan(events, workers, rate, own_broker=bootstrap_servers is not None)
    console = out()
    title = f"December 2013, {workers} {'worker' if workers == 1 else 'workers'}"
    with _interrupted_once():
        outcome = run_demo(plan, settings, show_on(console, title=title))
    if summary is not None:
        summary.write_text(outcome.summary.to_json(), encoding="utf-8")
    if screenshot is not None:
        screen = live_screen(outcome.picture, title=title)
        screenshot.write_text(export_svg(screen, title="streamscore demo"), encoding="utf-8")
    console.print(summary_table(outcome.summary))
    if not outcome.audit.ok:
        raise PromiseBroken(f"the audit failed: {outcome.audit.describe()}")


@contextmanager
def _interrupted_once() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and a closed terminal end the block, and nothing disturb its clean-up."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
