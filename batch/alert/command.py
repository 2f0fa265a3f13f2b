"""`streamscore batch alert`: exit code 3, and a post, when a condition holds of a day."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from batch.options import DateOption, ModelOption, TargetOption, day_of, settings_of
from runtime.terminal import JsonOption

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from batch.alert.condition import Alert, Finding
    from batch.found import Ran
    from runtime.settings import Settings

HOLDS = 3  # the exit code
_DEADLINE_S = 30.0


def alert(
    when: Annotated[
        str,
        typer.Option(
            metavar="EXPR",
            help="'share(prediction > 60) > 0.15 or rejected > 100'. There are rows, scored, "
            "rejected, mean, minimum, maximum, seconds, complete, usual_rows (the median of the 7 "
            "days before), and share(…), count(…), average(…) over the day's predictions.",
        ),
    ],
    date: DateOption = None,
    webhook: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Post it as JSON when it holds. Tried again for half a minute; its header "
            "Idempotency-Key tells a repetition.",
        ),
    ] = None,
    target: TargetOption = None,
    model: ModelOption = None,
    json: JsonOption = False,
) -> None:
    """Say whether a condition holds of a day's predictions: exit code 3 if it does, 0 if not.

    What cannot be known, such as the mean of no rows, does not hold. A day that was not scored, or
    not completely (unless the condition asks for `complete`), is a failure: exit code 1.
    """
    settings = settings_of(target=target, model=model)
    day = day_of(settings, date)
    from batch.alert.condition import Alert
    from runtime.logs import configure_logging
    from runtime.webhook import Webhook

    configure_logging(settings.log)
    asked = Alert(when)
    receiver = None if webhook is None else Webhook(webhook)
    ran, found = _find(settings, asked, day)
    told = _told(ran, asked, found)
    _show(told, found, as_json=json)
    if found.holds is not True:
        return
    if receiver is not None:
        from batch.alert.post import post

        post(receiver, told, _DEADLINE_S)
    raise typer.Exit(HOLDS)


def _find(settings: "Settings", asked: "Alert", day: "date") -> "tuple[list[Ran], Finding]":
    from batch.assembly import open_target
    from batch.found import find_model, find_runs
    from model.errors import NoRun

    with open_target(settings, create=False).reading() as connection:
        name = find_model(connection, settings.batch.model, day)
        ran = find_runs(connection, name, day, day)
        unfinished = [each for each in ran if not each.is_complete]
        if unfinished and not asked.asks_whether_complete:
            state = unfinished[0].state
            msg = f"{name} has not scored {day} completely: the run is {state}"
            raise NoRun(msg, hint="run it again; or ask for it: --when 'not complete or …'")
        return ran, asked.find(connection, ran)


def _told(ran: "Sequence[Ran]", asked: "Alert", found: "Finding") -> dict[str, Any]:
    versions = dict.fromkeys(each.version for each in ran)
    return {
        "model": ran[0].model,
        "version": ", ".join(versions),
        "day": ran[0].day.isoformat(),
        "when": asked.text,
        "holds": found.holds,
        "values": found.values,
        "run_ids": [each.run_id for each in ran],
    }


def _show(told: dict[str, Any], found: "Finding", *, as_json: bool) -> None:
    from runtime.terminal import out, plain, print_json

    if as_json:
        print_json(told)
        return
    for name, value in found.values.items():
        shown = f"{value:,.6g}" if isinstance(value, float) else value
        out().print(f"{plain(name)} = {'unknown' if value is None else shown}")
    verdict = {True: "holds", False: "does not hold", None: "is unknown: it does not hold"}
    what = f"{told['model']}:{told['version']} on {told['day']}"
    out().print(plain(f"{what}: {told['when']} {verdict[found.holds]}"))
