"""`streamscore batch schedule`: yesterday every night, and the days that were missed.

APScheduler says when; which days are missing, the table `runs` says. So nothing but that table has
to outlive the process (docs/decisions/0008), and any number of schedulers may run: a day belongs to
whoever holds its lock, and is complete for the others then.
"""

import math
import random
import threading
from contextlib import ExitStack
from enum import IntEnum
from typing import Final

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from prometheus_client import CollectorRegistry

from batch.assembly import CLOCK, day_window
from batch.days import Days
from batch.due import Plan
from batch.job import Outcome
from batch.work import since
from model.errors import RunStopped, RunTaken, StreamscoreError
from runtime.health import Condition, HealthServer
from runtime.retry import Backoff
from runtime.settings import Settings
from runtime.stop import Stop
from runtime.telemetry import BatchMetrics

_log = structlog.get_logger("streamscore.batch")

_AGAIN: Final = Backoff(base_s=60.0, cap_s=1800.0, attempts=1)  # waits alone: it never gives up
_SOON: Final = Backoff(base_s=1.0, cap_s=60.0, attempts=1)  # for a day that another has in hand
_HUNG_S: Final = 3900.0  # longer than a statement may take (batch/database.py)
_LOOK_S: Final = 0.25


def run_scheduler(settings: Settings, plan: Plan, stop: Stop) -> None:
    """Score what is due, now and every night, until stopped.

    Raises StreamscoreError where the first look shows what cannot work: a model, a table or a
    column that is not there.
    """
    metrics = BatchMetrics(CollectorRegistry())
    night = threading.Event()
    nights = _Nights(settings, plan, stop, metrics)
    with ExitStack() as stack:
        health = HealthServer(
            settings.health, alive=nights.alive, ready=nights.ready, registry=metrics.registry
        )
        health.start()
        stack.callback(health.stop)
        nights.open()
        scheduler = BackgroundScheduler(timezone=plan.where)
        trigger = CronTrigger(hour=plan.at.hour, minute=plan.at.minute, timezone=plan.where)
        scheduler.add_job(night.set, trigger, id="night", misfire_grace_time=None, coalesce=True)
        scheduler.start()
        stack.callback(scheduler.shutdown)
        _log.info(
            "scheduler_started",
            at=f"{plan.at:%H:%M}",
            time_zone=plan.where.key,
            catch_up_days=plan.catch_up,
            health_port=health.port,
        )
        nights.run(night)
    _log.info("scheduler_stopped")


class _Look(IntEnum):
    """What a look at the days that are due came to; the worst of all counts."""

    DONE = 0
    TAKEN = 1
    FAILED = 2


def _wait_s(failures: int, taken: int, drawn: float) -> float:
    """The seconds until the next look, after so many in a row that failed or lost a day."""
    if failures:
        return _AGAIN.delay_s(failures, drawn)
    return _SOON.delay_s(taken, drawn) if taken else math.inf


class _Nights:
    """Scores what is due whenever a night says so, and again while something is left."""

    def __init__(self, settings: Settings, plan: Plan, stop: Stop, metrics: BatchMetrics) -> None:
        self._settings = settings
        self._plan = plan
        self._stop = stop
        self._metrics = metrics
        self._trouble = "the databases were not reached yet"
        self._progress_at = CLOCK.timer()

    def alive(self) -> Condition:
        """Whether it comes round, or a run of its comes on."""
        age_s = CLOCK.timer() - self._progress_at
        return Condition(age_s < _HUNG_S, f"no progress for {age_s:.0f} s" * (age_s >= _HUNG_S))

    def ready(self) -> Condition:
        """Whether the last look at databases and model went well."""
        return Condition(not self._trouble, self._trouble)

    def open(self) -> None:
        """Look for databases and model. Raises StreamscoreError where one cannot be used."""
        Days(self._settings, self._stop)
        self._trouble = ""

    def run(self, night: threading.Event) -> None:
        """Score what is due at once, and then every night; returns when stopped."""
        failures, taken, again_at = 0, 0, 0.0
        while not self._stop.requested():
            self._came_round()
            if night.is_set() or CLOCK.timer() >= again_at:
                night.clear()
                look = self._score_due()
                failures = failures + 1 if look is _Look.FAILED else 0
                taken = taken + 1 if look is _Look.TAKEN else 0
                again_at = CLOCK.timer() + _wait_s(failures, taken, random.random())  # noqa: S311 - jitter
            self._stop.sleep(_LOOK_S)

    def _score_due(self) -> "_Look":
        """Score the days that are due and missing."""
        try:
            days = Days(self._settings, self._stop)  # anew: the alias may name another version
            missing = days.missing(self._plan.due(CLOCK.now()), any_version=True)
            self._trouble = ""
        except StreamscoreError as error:
            self._trouble = str(error)
            _log.error("cannot_look", reason=str(error), hint=error.hint)
            return _Look.FAILED
        left, look = len(missing), _Look.DONE
        self._metrics.missing_days.set(left)
        for day in missing:
            if self._stop.requested():
                break
            try:
                outcome = days.score(day, seen=self)
            except RunStopped:
                break
            except RunTaken as error:
                _log.info("day_taken", day=str(day), reason=str(error))
                look = _Look.TAKEN if look is _Look.DONE else look
                continue
            except StreamscoreError as error:
                self._metrics.days.labels("failed").inc()
                _log.error("day_failed", day=str(day), reason=str(error), hint=error.hint)
                look = _Look.FAILED
                continue
            left -= 1
            self._metrics.missing_days.set(left)
            self._complete(outcome)
        else:
            look = max(look, self._see_what_is_complete(days))
        return look

    def _complete(self, outcome: Outcome) -> None:
        run = outcome.run
        if not outcome.skipped:
            self._metrics.days.labels("complete").inc()
            self._metrics.rows.labels("predicted").inc(run.rows_scored)
            self._metrics.rows.labels("rejected").inc(run.rows_rejected)
        _log.info(
            "day_complete",
            day=str(run.task.window.day),
            model=f"{run.task.model}:{run.task.version}",
            scored=run.rows_scored,
            rejected=run.rows_rejected,
            seconds=round(run.seconds, 1),
        )

    def _see_what_is_complete(self, days: Days) -> "_Look":
        due = self._plan.due(CLOCK.now())
        try:
            missing = set(days.missing(due, any_version=True))
            complete = [day for day in due if day not in missing]
            late = days.late(complete)
        except StreamscoreError as error:
            self._trouble = str(error)
            _log.error("cannot_look", reason=str(error), hint=error.hint)
            return _Look.FAILED
        if complete:
            end = day_window(self._settings, complete[-1]).end
            self._metrics.complete_until_timestamp_seconds.set(end.timestamp())
        for day, rows in late.items():
            _log.warning("late_rows", day=str(day), rows=rows, hint=since(rows))
        self._metrics.late_rows.set(sum(map(abs, late.values())))
        return _Look.DONE

    def expect(self, total: float) -> None:
        """A day that is being scored has so many rows."""

    def advance(self, count: float = 1) -> None:  # noqa: ARG002 - a bar's
        """Some of them are done."""
        self._came_round()

    def _came_round(self) -> None:
        self._progress_at = CLOCK.timer()
        self._metrics.last_progress_timestamp_seconds.set(CLOCK.now().timestamp())
