"""`streamscore demo-batch`: see the batch way, on real flights, with nothing but this command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model.errors import StreamscoreError
from runtime.terminal import StoreOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from demo.nights_audit import Night


class NumbersDiffer(StreamscoreError):
    """Rows of the source, predictions and rejections do not add up."""


def demo_batch(
    source: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The database for the flights.  [default: sqlite:///.streamscore/demo-flights.db]",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The database for the predictions: one that has no others.  "
            "[default: sqlite:///.streamscore/demo-predictions.db, made anew each time]",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        Path, typer.Option(metavar="FILE.html", dir_okay=False, help="Where the report goes.")
    ] = Path(".streamscore/demo-report.html"),
    summary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write the numbers as JSON, too."),
    ] = None,
    store: StoreOption = None,
) -> None:
    """See the batch way: a database of real flights, three days scored, one of them caught up.

    Fills a database with the flights of 2013, trains and bundles the model if the store has none,
    and runs the commands that a night, a missed night and a morning take: run, backfill, alert,
    report. A few rows are broken on purpose: they become rejections. At the end all is counted;
    the exit code is 1 if a row was lost or a step failed.
    """
    from demo.nights import Play, play_nights
    from runtime.logs import configure_logging
    from runtime.settings import load_settings
    from runtime.terminal import out, plain, print_error

    settings = load_settings({"store": store})
    configure_logging(settings.log)
    console = out()
    play = Play(
        source=source or "sqlite:///.streamscore/demo-flights.db",
        target=target or "sqlite:///.streamscore/demo-predictions.db",
        report=report,
        fresh=target is None,
    )
    nights = play_nights(play, settings, lambda text: console.print(plain(text)))
    if summary is not None:
        summary.write_text(_as_json(nights, report), encoding="utf-8")
    console.print()
    console.print(_table(nights))
    wrong = [night.wrong for night in nights if night.wrong]
    for each in wrong:
        print_error(each)
    if wrong:
        raise NumbersDiffer("the numbers do not add up")
    console.print("\nEach row is a prediction or a rejection, once.")
    console.print(plain(f"The report: {report.resolve()}"))


def _as_json(nights: "Sequence[Night]", report: Path) -> str:
    import json

    days = [night.fields() for night in nights]
    return json.dumps({"days": days, "report": str(report)}, indent=2) + "\n"


def _table(nights: "Sequence[Night]") -> "Table":
    from demo.nights_audit import together
    from runtime.terminal import table

    columns = ("day", "rows in the source", "scored", "rejected", "off by (MAE)", "naive guess")
    rows = [
        (
            night.day,
            *(f"{count:,}" for count in (night.rows, night.scored, night.rejected)),
            *(_minutes(value) for value in (night.mae, night.naive_mae)),
        )
        for night in (*nights, together(nights))
    ]
    return table(columns, rows, title="What came of it")


def _minutes(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} min"
