"""`streamscore models`: what is in the store, what aliases stand for, and whether it is whole."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from model.errors import StreamscoreError, WrongUsage
from runtime.terminal import JsonOption, StoreOption, out, plain, print_json, progress, table

if TYPE_CHECKING:
    from model.store import BundleRef, Store
    from runtime.settings import Settings


class Schema(StrEnum):
    """The contracts of a model that others code against."""

    EVENT = "event"
    PREDICTION = "prediction"


models = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="List, show, promote and verify the models in the store.",
)

ReferenceArgument = Annotated[
    str, typer.Argument(metavar="NAME[@ALIAS]", help="Or NAME:VERSION; NAME is its champion.")
]


@models.command("list")
def list_models(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List every version of every model."""
    from model.bundle_files import CARD, read_json

    where = _settings(store).store
    listed: list[dict[str, Any]] = []
    for ref, aliases in _versions(_store(where)):
        card = read_json(ref.path, CARD)
        listed.append(
            {
                "name": ref.name,
                "version": ref.version,
                "aliases": aliases,
                "task": card.get("task"),
                "created_at": card.get("created_at"),
                "metrics": card.get("metrics"),
            }
        )
    if as_json:
        print_json(listed)
        return
    if not listed:
        out().print(plain(f"there are no models in {where}"))
        return
    columns = ("model", "version", "aliases", "task", "created", "metrics")
    rows = (
        (
            each["name"],
            each["version"],
            ", ".join(each["aliases"]),
            each["task"],
            each["created_at"],
            _metrics(each["metrics"]),
        )
        for each in listed
    )
    out().print(table(columns, rows))


@models.command()
def show(
    reference: ReferenceArgument,
    schema: Annotated[
        Schema | None,
        typer.Option(help="Print the JSON Schema of its events or predictions instead."),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a model's card and what its events must hold."""
    from model.bundle_files import CARD, SIGNATURE, read_json

    settings = _settings(store)
    where = _store(settings.store)
    ref = where.resolve(reference)
    card, signature = read_json(ref.path, CARD), read_json(ref.path, SIGNATURE)
    names = where.aliases(ref.name).items()
    aliases = [alias for alias, version in names if version == ref.version]
    if schema is not None:
        print_json(_schema(schema, signature, settings.event_id_field))
    elif as_json:
        shown = {"card": card, "aliases": aliases, "path": ref.path, "signature": signature}
        print_json(shown)
    else:
        _show_card(card, aliases, ref)
        _show_features(signature)


def _show_card(card: dict[str, Any], aliases: list[str], ref: "BundleRef") -> None:
    facts = {
        "model": f"{ref.name}:{ref.version}",
        "aliases": ", ".join(aliases),
        "task": card.get("task"),
        "created": card.get("created_at"),
        "estimator": card.get("estimator"),
        "sample": f"{card.get('rows')} rows, {card.get('golden_rows')} of them golden",
        "saved with": _pairs(card.get("versions")),
        "metrics": _metrics(card.get("metrics")),
        "training": _pairs(card.get("training")),
        "path": ref.path,
    }
    for name, value in facts.items():
        if value:
            out().print(plain(f"{name:<12}{value}"))


def _show_features(signature: dict[str, Any]) -> None:
    columns = ("feature", "kind", "may be null", "field of the event")
    rows = (
        (each["name"], each["kind"], "yes" if each["nullable"] else "no", ".".join(each["path"]))
        for each in signature["features"]
    )
    out().print(table(columns, rows))


def _schema(schema: Schema, signature: dict[str, Any], event_id_field: str) -> dict[str, Any]:
    from model.schema import event_schema, prediction_schema
    from model.signature import Signature

    read = Signature.from_dict(signature)
    if schema is Schema.EVENT:
        return event_schema(read, event_id_field)
    return prediction_schema(read)


@models.command()
def promote(
    reference: Annotated[str, typer.Argument(metavar="NAME:VERSION", help="The version.")],
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="Such as champion or challenger.")],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let an alias stand for a version. Services take it up when they are started again."""
    name, separator, version = reference.partition(":")
    if not separator:
        msg = f"{reference!r} names no version"
        raise WrongUsage(msg, hint=f"it reads like {name.partition('@')[0]}:2")
    where = _store(_settings(store).store)
    before = where.aliases(name).get(alias)
    where.promote(name, version, alias)
    if as_json:
        print_json({"model": reference, "alias": alias, "before": before})
        return
    was = f", which was {name}:{before}" if before and before != version else ""
    out().print(plain(f"{name}@{alias} is {name}:{version}{was}"))


@models.command()
def verify(
    reference: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME[@ALIAS]", help="Or NAME:VERSION; without one, all.", show_default=False
        ),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that bundles are what was saved, and score their golden rows again.

    Exits with 1 if any fails.
    """
    settings = _settings(store)
    where = _store(settings.store)
    refs = [where.resolve(reference)] if reference else [ref for ref, _ in _versions(where)]
    with progress("verifying", len(refs), unit="models") as bar:
        results = []
        for ref in refs:
            results.append(_verify(ref, settings))
            bar.advance()
    if as_json:
        print_json(results)
    elif not results:
        out().print(plain(f"there are no models in {settings.store}"))
    else:
        rows = [(each["model"], each["outcome"], each["message"]) for each in results]
        out().print(table(("model", "outcome", ""), rows))
    if any(each["outcome"] == "failed" for each in results):
        raise typer.Exit(1)


def _verify(ref: "BundleRef", settings: "Settings") -> dict[str, str]:
    from model.bundle import load_model

    name = f"{ref.name}:{ref.version}"
    try:
        model = load_model(name, store=settings.store, allowed_types=settings.model.allowed_types)
    except StreamscoreError as error:
        return {"model": name, "outcome": "failed", "message": f"{error} ({error.hint})"}
    if model.warnings:
        return {"model": name, "outcome": "warning", "message": "; ".join(model.warnings)}
    rows = model.card.get("golden_rows")
    return {"model": name, "outcome": "ok", "message": f"{rows} golden rows score the same"}


def _settings(store: object) -> "Settings":
    from runtime.settings import load_settings

    return load_settings({"store": store})


def _store(path: Path) -> "Store":
    from model.store import Store

    return Store(path)


def _versions(store: "Store") -> Iterator[tuple["BundleRef", list[str]]]:
    for name in store.models():
        aliases = store.aliases(name)
        for version in store.versions(name):
            names = [alias for alias, other in aliases.items() if other == version]
            yield store.resolve(f"{name}:{version}"), names


def _metrics(metrics: object) -> str:
    if not isinstance(metrics, dict):
        return ""
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())


def _pairs(facts: object) -> str:
    if not isinstance(facts, dict):
        return ""
    return ", ".join(f"{str(name).replace('_', ' ')} {value}" for name, value in facts.items())
