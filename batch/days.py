"""Days scored in this process, one after the other: what every batch command has in common.

Opens the databases and the model once, tries again what may pass, shows how far a day is.
"""

import random
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import date, datetime
from typing import Protocol, TypeVar

import structlog

from batch import runs
from batch.assembly import (
    build_job,
    day_window,
    load,
    open_source,
    open_target,
    resolve_model,
    task,
)
from batch.job import Outcome, Progress, check_day
from batch.runs import Run, Task
from model.errors import DatabaseUnavailable
from runtime.retry import Backoff
from runtime.sections import BatchSettings
from runtime.settings import Settings
from runtime.stop import Stop
from runtime.terminal import out, progress, table

_log = structlog.get_logger("streamscore.batch")

_RETRY_BASE_S = 1.0

T = TypeVar("T")


class Scorer(Protocol):
    """What scores a day: this process (batch/job.py) or Spark (batch/spark/engine.py)."""

    def score_day(self, task: Task, progress: Progress, *, again: bool = False) -> Outcome:
        """Score a day, or what is left of it."""
        ...


class Days:
    """Scores days of the settings' source with one version of the model.

    Raises what the parts of batch/assembly.py raise.
    """

    def __init__(self, settings: Settings, stop: Stop, *, engine: str = "plain") -> None:
        self._settings = settings
        self._stop = stop
        self._engine = engine
        self._ref = resolve_model(settings)
        self._source = self._patiently(lambda: open_source(settings))
        self._target = open_target(settings)
        self._patiently(self._target.prepare)
        self._loaded: Scorer | None = None

    @property
    def model(self) -> str:
        """The version that scores, "name:version"."""
        return f"{self._ref.name}:{self._ref.version}"

    def prepare(self) -> None:
        """Load the model now, and see that the source fits it. Raises ModelError, SourceUnfit."""
        self._scorer()

    def missing(
        self,
        days: Collection[date],
        *,
        any_version: bool = False,
        since: datetime | None = None,
    ) -> list[date]:
        """Those of the days that this version (or any) has not completed (`since` then)."""
        tasks = [self._task(day) for day in sorted(days)]
        if not tasks:
            return []

        def ask() -> dict[date, Run]:
            with self._target.reading() as connection:
                return runs.latest_runs(connection, tasks)

        def is_missing(wanted: Task) -> bool:
            last = found.get(wanted.window.day)
            if last is None or (since is not None and last.progress_at < since):
                return True
            version = last.task.version if any_version else wanted.version
            return not last.completes(replace(wanted, version=version))

        found = self._patiently(ask)
        return [task.window.day for task in tasks if is_missing(task)]

    def score(self, day: date, *, again: bool = False, seen: Progress | None = None) -> Outcome:
        """Score a day unless it is complete; what may pass is tried again.

        `seen` is told of the progress instead of a bar.

        Raises:
            RunTaken: another process is at it.
            RunStopped: it was told to stop.
            DatabaseError, SourceUnfit: as batch/job.py.

        """
        wanted = self._task(day)

        def attempt() -> Outcome:
            done = None if again else self._complete(wanted)
            if done is not None:
                return Outcome(done, skipped=True)
            if seen is not None:
                return self._scorer().score_day(wanted, seen, again=again)
            with progress(str(day), unit="rows") as bar:
                return self._scorer().score_day(wanted, bar, again=again)

        return self._patiently(attempt)

    def _complete(self, wanted: Task) -> Run | None:
        """The run that completed the day: found without loading the model."""
        with self._target.reading() as connection:
            last = runs.latest(connection, wanted)
        return last if last is not None and last.completes(wanted) else None

    def _task(self, day: date) -> Task:
        return task(self._settings, self._ref, self._source, day)

    def _scorer(self) -> Scorer:
        if self._loaded is None:
            model = load(self._settings, self._ref)
            parts = (self._settings, self._source, self._target, model, self._stop.requested)
            if self._engine == "spark":
                from batch.spark.engine import spark_job  # noqa: PLC0415 - an extra

                self._loaded = spark_job(*parts)
            else:
                self._loaded = build_job(*parts)
        return self._loaded

    def _patiently(self, call: Callable[[], T]) -> T:
        return patiently(call, self._settings.batch, self._stop)


def patiently(call: Callable[[], T], settings: BatchSettings, stop: Stop) -> T:
    """Call, and again after a while where a database is away, up to the settings' attempts."""
    cap_s = max(_RETRY_BASE_S, settings.retry_cap_s)
    backoff = Backoff(_RETRY_BASE_S, cap_s, settings.retry_attempts)
    failures = 0
    while True:
        try:
            return call()
        except DatabaseUnavailable as error:
            failures += 1
            if backoff.exhausted(failures) or stop.requested():
                raise
            _log.warning("trying_again", failures=failures, reason=str(error))
            stop.sleep(backoff.delay_s(failures, random.random()))  # noqa: S311 - jitter


def check(settings: Settings, day: date, stop: Stop) -> None:
    """Read and validate a day, and print what it holds; nothing is written anywhere."""
    ref = resolve_model(settings)
    source = patiently(lambda: open_source(settings), settings.batch, stop)
    model = load(settings, ref)
    window = day_window(settings, day)
    with progress(str(day), unit="rows") as bar:
        columns = source.features(model.signature)
        rows = settings.batch.chunk_rows
        found = check_day(source, model.signature, columns, window, rows, bar)
    refused = sum(found.rejected.values())
    out().print(
        f"{day}: {found.rows:,} rows, {found.rows - refused:,} that {model.reference} takes, "
        f"{refused:,} that it does not; nothing was written"
    )
    if refused:
        causes = Counter(found.rejected).most_common()
        cells = [(f"{count:,}", why.code.value, why.message) for why, count in causes]
        out().print(table(("rows", "code", "cause"), cells))
