"""Days scored in this process, one after the other: what every batch command has in common.

Opens the databases and the model once, tries again what may pass, shows how far a day is.
"""

import random
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import date, datetime
from typing import Protocol, TypeVar

import structlog

from batch import runs
from batch.assembly import (
    CLOCK,
    build_job,
    load,
    open_source,
    open_target,
    resolve_model,
    task,
)
from batch.found import find_runs
from batch.job import Outcome, Progress
from batch.runs import Run, Task
from model.errors import DatabaseUnavailable, StreamscoreError
from runtime.lean_pandas import import_lean_pandas
from runtime.retry import Backoff
from runtime.sections import BatchSettings
from runtime.settings import Settings
from runtime.stop import Stop
from runtime.terminal import progress

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
        """Those of the days that this version (or any) has not completed.

        With `since`: in a run that began then or later. One that began before, and was gone on
        with, counts as what it was before.
        """
        tasks = [self._task(day) for day in sorted(days)]
        if not tasks:
            return []

        def ask() -> dict[date, Run]:
            with self._target.reading() as connection:
                return runs.latest_runs(connection, tasks)

        def is_missing(wanted: Task) -> bool:
            last = found.get(wanted.window.day)
            if last is None or (since is not None and last.started_at < since):
                return True
            return not last.completes(wanted, any_version=any_version)

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
            self._target.require_free(wanted, CLOCK.now())  # loading the model takes longer
            if seen is not None:
                return self._scorer().score_day(wanted, seen, again=again)
            with progress(str(day), unit="rows") as bar:
                return self._scorer().score_day(wanted, bar, again=again)

        outcome = self._patiently(attempt)
        if outcome.skipped:
            return replace(outcome, since=self._since(outcome.run))
        return replace(outcome, taken=self._patiently(lambda: self._taken(wanted)))

    def late(self, days: Collection[date]) -> dict[date, int]:
        """By how many rows the source has more, or fewer, than was read of days since complete."""
        with self._target.reading() as connection:
            found = [runs.latest(connection, self._task(day)) for day in days]
        digest = self._source.digest  # counts of another query's rows say nothing
        known = [run for run in found if run is not None and run.task.digest == digest]
        complete = [run for run in known if run.is_complete]
        return {run.task.window.day: since for run in complete if (since := self._since(run))}

    def _since(self, run: Run) -> int:
        """A day that is complete stays so, also where its rows cannot be counted just now."""
        try:
            return self._source.count(run.task.window) - run.rows_read
        except StreamscoreError as error:
            day = str(run.task.window.day)
            _log.warning("late_rows_unknown", day=day, reason=str(error), hint=error.hint)
            return 0

    def _taken(self, wanted: Task) -> tuple[tuple[str, int], ...]:
        day = wanted.window.day
        with self._target.reading() as connection:
            ran = find_runs(connection, wanted.model, day, day)
        others = [each for each in ran if each.source != wanted.source and each.rows_taken]
        for each in others:
            rows = each.rows_taken
            _log.warning("rows_taken_over", day=str(day), rows=rows, scored_from=each.source)
        return tuple((each.source, each.rows_taken) for each in others)

    def _complete(self, wanted: Task) -> Run | None:
        """The run that completed the day: found without loading the model."""
        with self._target.reading() as connection:
            last = runs.latest(connection, wanted)
        if last is None or not last.is_complete:
            return None
        if last.task.digest != wanted.digest:
            _log.warning("source_read_anew", day=str(wanted.window.day), source=wanted.source)
        return last if last.completes(wanted) else None

    def _task(self, day: date) -> Task:
        return task(self._settings, self._ref, self._source, day)

    def _scorer(self) -> Scorer:
        if self._loaded is None:
            if self._engine == "plain":  # Spark's own driver works with pyarrow
                import_lean_pandas()
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
