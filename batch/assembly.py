"""Puts the parts of the batch commands together from the settings: one place for all of them."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from batch.database import Database
from batch.day import Window, window, zone
from batch.job import Clock, Job
from batch.runs import Task
from batch.source import Query, Source, read_query
from batch.target import Target
from model.errors import WrongUsage
from model.store import BundleRef, Store
from runtime.sections import BatchSettings
from runtime.settings import Settings

if TYPE_CHECKING:
    from model.bundle import Model

_log = structlog.get_logger("streamscore.batch")

CLOCK: Final = Clock(lambda: datetime.now(UTC), time.perf_counter)


def open_source(settings: Settings) -> Source:
    """The source of the settings, checked. Raises WrongUsage, SourceUnfit, DatabaseError."""
    batch = settings.batch
    if batch.source is None:
        hint = "give --source, or set batch.source (STREAMSCORE_BATCH__SOURCE)"
        raise WrongUsage("no source database is given", hint=hint)
    if (batch.table is None) is (batch.query is None):
        raise WrongUsage("either a table or a query is to be read", hint="give --table or --query")
    if batch.time_column is None:
        hint = "give --time-column: the column that tells which day a row belongs to"
        raise WrongUsage("no time column is given", hint=hint)
    query = Query(
        table=batch.table,
        text=None if batch.query is None else read_query(batch.query),
        id_column=batch.id_column,
        time_column=batch.time_column,
        stored_zone=zone(batch.stored_time_zone),
    )
    return Source(Database(batch.source), query)


def open_target(settings: Settings, *, create: bool = True) -> Target:
    """The predictions database of the settings. Raises WrongUsage."""
    if create and settings.batch.target == BatchSettings().target:
        Path(".streamscore").mkdir(exist_ok=True)  # the folder of ours, like the store in it
    return Target(Database(settings.batch.target, create=create))


def resolve_model(settings: Settings) -> BundleRef:
    """Which version is meant, without loading it. Raises WrongUsage, ModelNotFound."""
    if settings.batch.model is None:
        raise WrongUsage("no model is given", hint="give --model NAME@ALIAS, or set batch.model")
    return Store(settings.store).resolve(settings.batch.model)


def load(settings: Settings, ref: BundleRef) -> "Model":
    """Load that version; warnings about it are logged."""
    from model.bundle import load_model  # noqa: PLC0415 - scikit-learn takes a second

    model = load_model(
        f"{ref.name}:{ref.version}",
        store=settings.store,
        allowed_types=settings.model.allowed_types,
        engine=settings.model.engine,
    )
    for warning in model.warnings:
        _log.warning("model_warning", model=model.reference, warning=warning)
    return model


def task(settings: Settings, ref: BundleRef, source: Source, day: date) -> Task:
    """The scoring of a day."""
    return Task(ref.name, ref.version, source.name, day_window(settings, day))


def day_window(settings: Settings, day: date) -> Window:
    """A day in the time zone of the settings."""
    return window(day, zone(settings.batch.time_zone))


def build_job(
    settings: Settings,
    source: Source,
    target: Target,
    model: "Model",
    stopped: Callable[[], bool],
) -> Job:
    """What scores days. Raises SourceUnfit where the source does not fit the model."""
    columns = source.features(model.signature)
    return Job(source, target, model, columns, settings.batch.chunk_rows, CLOCK, stopped)
