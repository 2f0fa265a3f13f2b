"""The options that the batch commands share, and the settings that they make."""

from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from runtime.terminal import StoreOption

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date, datetime

    from runtime.settings import Settings

SourceOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The database to read.  (setting: batch.source)",
        show_default=False,
    ),
]
TableOption = Annotated[
    str | None,
    typer.Option(metavar="T", help="The table or view to read.  (setting: batch.table)"),
]
QueryOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="A SELECT to read instead of a table.  (setting: batch.query)"
    ),
]
SourceNameOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What runs know the source by, wherever it is.  (setting: batch.source_name; the "
        "database and the table, or the name of the query's file)",
        show_default=False,
    ),
]
IdOption = Annotated[
    str | None,
    typer.Option(metavar="C", help="The column that names a row.  (setting: batch.id_column; id)"),
]
TimeOption = Annotated[
    str | None,
    typer.Option(
        metavar="C", help="The column that tells a row's day.  (setting: batch.time_column)"
    ),
]
TargetOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The predictions database.  (setting: batch.target; .streamscore/predictions.db)",
        show_default=False,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME@ALIAS",
        help="The model that scores (or NAME:VERSION).  (setting: batch.model)",
    ),
]
DateOption = Annotated[
    str | None,
    typer.Option(
        "--date",
        metavar="YYYY-MM-DD",
        help="The day.  [default: yesterday, in the time zone of the settings]",
        show_default=False,
    ),
]


def settings_of(**batch: Any) -> "Settings":  # noqa: ANN401 - flags as they come
    """The settings, with these flags of the section `batch` on top; `store` is one of its own."""
    from runtime.settings import load_settings

    store = batch.pop("store", None)
    return load_settings({"store": store} | {f"batch.{name}": batch[name] for name in batch})


_FLAGS: Final = {
    "source": SourceOption,
    "table": TableOption,
    "query": QueryOption,
    "source_name": SourceNameOption,
    "id_column": IdOption,
    "time_column": TimeOption,
    "target": TargetOption,
    "model": ModelOption,
    "store": StoreOption,
}


def with_settings(command: "Callable[..., None]") -> "Callable[..., None]":
    """A command that is given settings, as one with the flags that make them, behind its own."""
    _, *own = signature(command).parameters.values()
    flags = [
        Parameter(n, Parameter.KEYWORD_ONLY, default=None, annotation=_FLAGS[n]) for n in _FLAGS
    ]
    taken = [*(each.replace(kind=Parameter.KEYWORD_ONLY) for each in own), *flags]

    def called(**given: Any) -> None:  # noqa: ANN401 - flags as they come
        settings = settings_of(**{name: given.pop(name) for name in _FLAGS})
        command(settings, **given)

    # What typer makes flags of.
    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__annotations__ = {each.name: each.annotation for each in taken}
    called.__dict__["__signature__"] = Signature(taken)
    return called


def again_from(settings: "Settings", given: str | None) -> "datetime":
    """Since when a day must have been completed: the time that was given, or now."""
    from batch.assembly import CLOCK
    from batch.day import parse_time, zone

    return CLOCK.now() if given is None else parse_time(given, zone(settings.batch.time_zone))


def day_of(settings: "Settings", given: str | None) -> "date":
    """The day that was given, or yesterday. Raises WrongUsage for one that is not over yet."""
    from batch.assembly import CLOCK
    from batch.day import parse_day, yesterday, zone
    from model.errors import WrongUsage

    last = yesterday(CLOCK.now(), zone(settings.batch.time_zone))
    day = last if given is None else parse_day(given)
    if day > last:
        where = settings.batch.time_zone
        raise WrongUsage(f"{day} is not over yet in {where}", hint=f"the last whole day is {last}")
    return day
