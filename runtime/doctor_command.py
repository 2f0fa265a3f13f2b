"""`streamscore doctor`: what keeps the scoring service from working here, and how to mend it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from model.errors import SettingsError
from runtime.terminal import (
    BootstrapOption,
    JsonOption,
    StoreOption,
    out,
    plain,
    print_json,
    progress,
)

if TYPE_CHECKING:
    from runtime.doctor import Finding
    from runtime.settings import Settings

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    source: Annotated[
        str | None,
        typer.Option(
            "--input", metavar="TOPIC", help="The topic of the events.", show_default=False
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", metavar="TOPIC", help="The topic of the predictions.", show_default=False
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[@ALIAS]",
            help="The model to look at; without it, the champion of each in the store.",
            show_default=False,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="GROUP", help="The consumer group of the service.", show_default=False
        ),
    ] = None,
    bootstrap_servers: BootstrapOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check settings, broker, rights, topics and model, and say how to mend what is wrong.

    Changes nothing. Exits with 1 if a check failed; a warning is no failure.
    """
    flags = {
        "topics.input": source,
        "topics.output": output,
        "consumer.group": group,
        "bootstrap_servers": bootstrap_servers,
        "store": store,
    }
    settings, findings = _settings(flags)
    if settings is not None:
        with progress("looking at broker, topics and model") as bar:
            for finding in _examine(settings, model):
                findings.append(finding)
                bar.advance()
    if as_json:
        _show_json(settings, findings)
    else:
        _show(findings)
    if any(finding.outcome == "fail" for finding in findings):
        raise typer.Exit(1)


def _settings(flags: Mapping[str, object]) -> tuple["Settings | None", list["Finding"]]:
    """The settings, or the finding about what is wrong with them."""
    from runtime import doctor
    from runtime.settings import load_settings

    try:
        settings = load_settings(flags)
    except SettingsError as error:
        return None, [doctor.fail("settings", str(error), error.hint)]
    return settings, [doctor.ok("settings", _in_force(settings))]


def _examine(settings: "Settings", model: str | None) -> Iterator["Finding"]:
    from runtime.doctor_model import examine_models
    from runtime.doctor_probe import examine_broker
    from runtime.topics import HEADROOM_BYTES

    yield from examine_broker(
        settings, group=_group(settings, model), headroom_bytes=HEADROOM_BYTES
    )
    yield from examine_models(settings, model)


def _group(settings: "Settings", model: str | None) -> str | None:
    """The group of the service that runs this model; None where no model says which."""
    if settings.consumer.group or not model:
        return settings.consumer.group
    return f"streamscore-{model.partition('@')[0].partition(':')[0]}"


def _in_force(settings: "Settings") -> str:
    """The settings that differ from their defaults, secrets masked."""
    from runtime.settings import Settings, masked

    ours, defaults = _flat(masked(settings)), _flat(masked(Settings()))
    changed = [f"{name}={value}" for name, value in ours.items() if defaults.get(name) != value]
    return ", ".join(changed) or "all at their defaults"


def _flat(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _show_json(settings: "Settings | None", findings: Sequence["Finding"]) -> None:
    from runtime.doctor import passed
    from runtime.settings import masked

    print_json(
        {
            "ok": passed(findings),
            "checks": findings,
            "settings": None if settings is None else masked(settings),
        }
    )


def _show(findings: Sequence["Finding"]) -> None:
    from rich.text import Text

    console = out()
    for finding in findings:
        mark = Text(f"{finding.outcome.value:<5}", style=_STYLES[finding.outcome])
        console.print(mark, plain(f"{finding.check}: {finding.message}"))
        if finding.hint:
            console.print(" " * 5, plain(f"mend: {finding.hint}"))
    failed = sum(finding.outcome == "fail" for finding in findings)
    warned = sum(finding.outcome == "warn" for finding in findings)
    console.print(f"{len(findings)} checks, {failed} failed, {warned} with a warning")
