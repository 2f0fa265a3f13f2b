"""The batch demo from beginning to end: three days of a database, one missed and caught up.

What a step runs is the command line, as a scheduler or a person would run it. Every wait has a
deadline, and a step that fails ends the demo with what it said.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from demo.flight_table import DAYS, TABLE, TIME_COLUMN, TIME_ZONE, fill
from demo.flights import TARGET, load_flights
from demo.nights_audit import Night, audit
from demo.processes import environment
from demo.training import REFERENCE, is_trained, loadable_model, train
from model.errors import StreamscoreError
from runtime.child_process import bound
from runtime.settings import Settings

_STEP_TIMEOUT_S: Final = 600.0
_TAIL_LINES: Final = 12
_HOLDS: Final = 3  # the exit code of `batch alert` where its condition holds
_SQLITE: Final = "sqlite:///"
_BESIDE: Final = ("", "-wal", "-shm", "-journal", ".lock")  # the files of one database

Say = Callable[[str], None]


class StepFailed(StreamscoreError):
    """A command of the demo ended otherwise than it should."""


@dataclass(frozen=True, slots=True)
class Play:
    """What is played: the databases' addresses and the report's file.

    `fresh`: the target is the demo's own, and begins anew each time.
    """

    source: str
    target: str
    report: Path
    fresh: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A command: what happens in plain words, its arguments, and the exit code that is right."""

    says: str
    arguments: tuple[str, ...]
    exit_code: int = 0

    @property
    def shown(self) -> str:
        """The command as it is typed."""
        quoted = (f"'{each}'" if " " in each else each for each in self.arguments)
        return f"streamscore batch {' '.join(quoted)}"


def steps(report: Path) -> list[Step]:
    """The story, command by command."""
    first, _, last = map(str, DAYS)
    return [
        Step(
            f"The night after {first}: its rows are scored and written with how far the run came.",
            ("run", "--date", first),
        ),
        Step(
            "The next night nothing runs: say, the machine is down. The night after it does.",
            ("run", "--date", last),
        ),
        Step(
            "The missed day is caught up with. The others are complete, so they are left alone.",
            ("backfill", "--from", first, "--to", last),
        ),
        Step(
            f"An alert asks for what is not normal: exit code {_HOLDS} says that it holds.",
            ("alert", "--date", last, "--when", "share(prediction > 60) > 0.25 or rejected > 0"),
            _HOLDS,
        ),
        Step(
            "And the page that someone reads in the morning, with the truth, now that it is known.",
            ("report", "--date", last, "--out", str(report), "--top", "10"),
        ),
    ]


def play_nights(play: Play, settings: Settings, say: Say) -> list[Night]:
    """Play the demo; what was found of each day. Raises StreamscoreError where a step fails."""
    _prepare(play, settings, say)
    here = demo_settings(play, settings)
    environ = environment(here, os.environ)
    for step in steps(play.report):
        say("")
        say(step.says)
        say(f"$ {step.shown}")
        for line in run_step(step, environ).splitlines():
            say(f"  {line}")
    if not (play.report.is_file() and play.report.stat().st_size):
        raise StepFailed(f"there is no report at {play.report}, although it was written")
    return audit(play.source, play.target)


def demo_settings(play: Play, settings: Settings) -> Settings:
    """The settings of all steps: the user's, with the databases, table and model of the demo."""
    batch = settings.batch.model_copy(
        update={
            "source": play.source,
            "table": TABLE,
            "query": None,
            "id_column": "id",
            "time_column": TIME_COLUMN,
            "outcome_column": TARGET,
            "target": play.target,
            "model": REFERENCE,
            "time_zone": TIME_ZONE,
            "stored_time_zone": "UTC",
        }
    )
    return settings.model_copy(update={"batch": batch})


def run_step(step: Step, environ: Mapping[str, str]) -> str:
    """Run a command; what it printed. Raises StepFailed with the end of what it said."""
    command = bound([sys.executable, "-m", "streamscore", "batch", *step.arguments])
    try:
        done = subprocess.run(  # noqa: S603 - our own command line
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_STEP_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"`{step.shown}` was not done within {_STEP_TIMEOUT_S:g} s"
        raise StepFailed(msg, hint="is the machine, or a database, too busy?") from error
    if done.returncode != step.exit_code:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-_TAIL_LINES:])
        raise StepFailed(
            f"`{step.shown}` ended with exit code {done.returncode}, not {step.exit_code}; "
            f"it said:\n{said or '(nothing)'}"
        )
    return done.stdout


def _prepare(play: Play, settings: Settings, say: Say) -> None:
    say("A database with the flights of 2013, a few of its rows broken on purpose")
    written = fill(play.source, load_flights)
    say(f"  {written:,} rows written" if written else "  there already")
    say("The model: from January to September it learned how late a flight arrives")
    if not is_trained(settings):
        train(settings, load_flights())
    say(f"  {loadable_model(settings)}")
    play.report.parent.mkdir(parents=True, exist_ok=True)
    play.report.unlink(missing_ok=True)
    if play.fresh:
        for suffix in _BESIDE:
            Path(play.target.removeprefix(_SQLITE) + suffix).unlink(missing_ok=True)
