"""`streamscore batch`: the same model over a database, a day at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from batch.alert.command import alert
from batch.options import DateOption, again_from, day_of, with_settings
from batch.report.command import report

if TYPE_CHECKING:
    from runtime.settings import Settings
    from runtime.stop import Stop

app = typer.Typer(no_args_is_help=True)

_AgainOption = Annotated[
    bool, typer.Option("--again", help="Score a day also where this version has completed it.")
]


@app.callback()
def prepare() -> None:
    """Score the rows of a database: a day, many days, or every night; report and react."""
    # Before numpy is imported: more native threads than one fight over the cores.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class EngineName(StrEnum):
    """What does the work."""

    PLAIN = "plain"
    SPARK = "spark"


@app.command()
@with_settings
def run(
    settings: "Settings",
    date: DateOption = None,
    again: _AgainOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count and validate only: nothing is written.")
    ] = False,
    engine: Annotated[
        EngineName, typer.Option(help="Score in this process, or on Apache Spark.")
    ] = EngineName.PLAIN,
) -> None:
    """Score the rows of one day into the table `predictions` of a database.

    A chunk of rows and how far the run came are written together: a run that was killed goes on
    where it stood, and a day that is complete is not written again. Rows that the model does not
    take go to the table `rejections`, with the cause.
    """
    day = day_of(settings, date)
    with _at_work(settings) as stop:
        from batch.days import Days
        from batch.work import described
        from runtime.terminal import out

        if dry_run:
            from batch.dry_run import check

            check(settings, day, stop)
            return
        days = Days(settings, stop, engine=engine.value)
        out().print(described(days.score(day, again=again)))


@app.command()
@with_settings
def backfill(
    settings: "Settings",
    first: Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="The first day.")],
    last: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="YYYY-MM-DD",
            help="The last day.  [default: yesterday]",
            show_default=False,
        ),
    ] = None,
    parallel: Annotated[
        int, typer.Option(min=1, max=64, metavar="N", help="Days at once, each in a process.")
    ] = 1,
    again: _AgainOption = False,
    again_since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Score also days whose last run began before then: an --again that goes on.",
        ),
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="Score in this process, or on Apache Spark.")
    ] = EngineName.PLAIN,
) -> None:
    """Score day after day; days that this version of the model has completed are left out.

    Killed, it goes on where it stood when it is started again; with --again it says which
    --again-since makes it go on rather than begin anew.
    """
    from batch.day import days, parse_day

    wanted = list(days(parse_day(first), day_of(settings, last)))
    with _at_work(settings) as stop:
        from batch.backfill import backfill as fill
        from batch.work import Work
        from runtime.terminal import out

        since = again_from(settings, again_since) if again_since or again else None
        work = Work(settings, since, engine.value)
        fill(work, wanted, parallel, stop, out().print)


@app.command()
@with_settings
def schedule(
    settings: "Settings",
    at: Annotated[
        str,
        typer.Option(metavar="HH:MM", help="When yesterday is due, in the settings' time zone."),
    ] = "02:00",
    catch_up: Annotated[
        str, typer.Option(metavar="DAYS", help="How far back missed days are made up for: 7d.")
    ] = "7d",
    health_port: Annotated[
        int | None,
        typer.Option(help="/livez, /readyz, /metrics.  (setting: health.port; from 9464)"),
    ] = None,
) -> None:
    """Score yesterday every night, and days that were missed; runs until it is stopped.

    Which days are missing, the table `runs` tells: nothing else has to be kept, and two schedulers
    on one database never run a day twice. SIGTERM finishes the chunk in hand.
    """
    if health_port is not None:
        health = settings.health.model_copy(update={"port": health_port})
        settings = settings.model_copy(update={"health": health})
    from batch.due import parse_plan

    plan = parse_plan(at, catch_up, settings.batch.time_zone)
    with _at_work(settings) as stop:
        from batch.scheduler import run_scheduler

        run_scheduler(settings, plan, stop)


app.command()(report)
app.command()(alert)


@contextmanager
def _at_work(settings: "Settings") -> Iterator["Stop"]:
    """Logs, one native thread, and an ear for SIGTERM."""
    from threadpoolctl import threadpool_limits

    from runtime.logs import configure_logging
    from runtime.stop import Stop

    configure_logging(settings.log)
    stop = Stop(settings.consumer.shutdown_timeout_s)
    stop.on_signals()
    with threadpool_limits(1):
        yield stop
