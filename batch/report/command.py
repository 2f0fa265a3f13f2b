"""`streamscore batch report`: a day's predictions as a page that someone reads."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batch.options import (
    DateOption,
    IdOption,
    ModelOption,
    QueryOption,
    SourceOption,
    TableOption,
    TargetOption,
    TimeOption,
    day_of,
    settings_of,
)
from runtime.terminal import StoreOption

if TYPE_CHECKING:
    from datetime import date as Day  # noqa: N812 - `date` is the option

    from batch.report.figures import Report
    from batch.report.reporting import Wanted
    from runtime.settings import Settings


def report(
    date: DateOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="Where to write it.  [default: streamscore-report-MODEL-DAY.html]",
            show_default=False,
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=0, max=1000, metavar="N", help="Rows to act on.")] = 20,
    lowest: Annotated[
        bool, typer.Option("--lowest", help="The lowest predictions are those to act on.")
    ] = False,
    label: Annotated[
        str | None,
        typer.Option(
            help="A classifier's label to act on.  [default: the rarest of the day]",
            show_default=False,
        ),
    ] = None,
    outcome_column: Annotated[
        str | None,
        typer.Option(
            metavar="C",
            help="The source's column with the truth, for the quality; NULL: not known yet.  "
            "(setting: batch.outcome_column)",
        ),
    ] = None,
    target: TargetOption = None,
    model: ModelOption = None,
    source: SourceOption = None,
    table: TableOption = None,
    query: QueryOption = None,
    id_column: IdOption = None,
    time_column: TimeOption = None,
    store: StoreOption = None,
) -> None:
    """Write a page about a day's predictions: how many, is it normal, and what to act on.

    It reads the predictions database; the source as well where it has a column with outcomes. The
    page is one file, without scripts, for a screen, a phone and paper.
    """
    settings = settings_of(
        source=source,
        table=table,
        query=query,
        id_column=id_column,
        time_column=time_column,
        outcome_column=outcome_column,
        target=target,
        model=model,
        store=store,
    )
    day = day_of(settings, date)
    from batch.report.reporting import Wanted
    from runtime.logs import configure_logging

    configure_logging(settings.log)
    _write(settings, day, out, Wanted(top, lowest, label))


def _write(settings: "Settings", day: "Day", out: Path | None, wanted: "Wanted") -> None:
    from batch.assembly import CLOCK
    from batch.report.page import render
    from batch.report.reporting import make_report
    from model.errors import WrongUsage
    from runtime import terminal
    from runtime.version import version

    with terminal.progress("Reading outcomes", unit="rows") as bar:
        made: Report = make_report(settings, day, wanted, bar)
    file = out or Path(f"streamscore-report-{made.model}-{day}.html")
    try:
        file.write_text(render(made, CLOCK.now(), version()), encoding="utf-8")
    except OSError as error:
        raise WrongUsage(f"{file} cannot be written: {error.strerror}", hint="see --out") from None
    for finding in made.findings:
        terminal.out().print(terminal.plain(f"{finding.tone.value}: {finding.text}"))
    terminal.out().print(terminal.plain(file))
