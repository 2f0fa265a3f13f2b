"""Who is measured, and how each is started on a backlog."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from benchmarks.cases import Case
from benchmarks.names import BEST, PLAIN
from benchmarks.peers import QUIX
from benchmarks.process import Command
from consumer.worker import Job
from runtime.settings import Settings, load_settings

Kind = Literal["pass-through", "streamscore", "first script", "quix apply", "quix batch"]
Guarantee = Literal["exactly_once", "at_least_once"]


HERE: Final = Path(__file__).parent
_SCRIPTS: Final[dict[Kind, tuple[str, str]]] = {
    "first script": (sys.executable, "naive_script.py"),
    "quix apply": (str(QUIX.bin / "python"), "quix_apply.py"),
    "quix batch": (str(QUIX.bin / "python"), "quix_batch.py"),
}
_SPELLED: Final = {"exactly_once": "exactly once", "at_least_once": "at least once"}


@dataclass(frozen=True, slots=True)
class Contestant:
    """Who answers, with what guarantee, on which engine."""

    kind: Kind
    guarantee: Guarantee = "exactly_once"
    engine: str = ""
    workers: int = 1

    @property
    def name(self) -> str:
        """For tables, and the row's name in the JSON."""
        who = f"streamscore {self.engine}" if self.kind == "streamscore" else self.kind
        many = f", {self.workers} workers" if self.workers > 1 else ""
        return f"{who}{many}, {_SPELLED[self.guarantee]}"

    @property
    def is_own(self) -> bool:
        """Whether it is a worker of ours: it commits what it has done, and keeps the order."""
        return self.kind in {"pass-through", "streamscore"}


PASS_THROUGH: Final = Contestant("pass-through")
PLAIN_ENGINE: Final = Contestant("streamscore", engine=PLAIN)
BEST_ENGINE: Final = Contestant("streamscore", engine=BEST)
FIRST_SCRIPT: Final = Contestant("first script", "at_least_once")
QUIX_APPLY: Final = Contestant("quix apply", "at_least_once")
QUIX_BATCH: Final = Contestant("quix batch", "at_least_once")


def at_least_once(contestant: Contestant) -> Contestant:
    """The same with the weaker guarantee."""
    return replace(contestant, guarantee="at_least_once")


@dataclass(frozen=True, slots=True)
class Task:
    """What a contestant is to do: answer `input` on `output`, as `group`."""

    settings: Settings
    case: Case
    input: str
    output: str
    group: str
    letters_suffix: str = ".dlq"
    health_port: int | None = None

    @property
    def letters(self) -> str:
        """The topic for its dead letters."""
        return f"{self.input}{self.letters_suffix}"


def command(contestant: Contestant, task: Task) -> Command:
    """How it is started."""
    if contestant.kind in _SCRIPTS:
        return _script(contestant, task)
    if contestant.kind == "pass-through":
        settings = worker_settings(contestant, task)
        job = Job(settings, task.input, task.output, task.case.reference, task.group)
        return Command([sys.executable, "-m", "benchmarks.passthrough"], job=job.to_json())
    return _streamscore(contestant, task)


def _streamscore(contestant: Contestant, task: Task) -> Command:
    port = [] if task.health_port is None else ["--health-port", str(task.health_port)]
    arguments = [
        *(sys.executable, "-m", "streamscore", "consume", "--model", task.case.reference),
        *("--input", task.input, "--output", task.output, "--group", task.group),
        *("--workers", str(contestant.workers), "--guarantee", contestant.guarantee),
        *("--bootstrap-servers", task.settings.bootstrap_servers),
        *("--store", str(task.settings.store), *port),
    ]
    environ = {
        "STREAMSCORE_TOPICS__DEAD_LETTER_SUFFIX": task.letters_suffix,
        "STREAMSCORE_LOG__FORMAT": "json",
        **engine_environment(contestant.engine),
    }
    return Command(arguments, environ, workers=contestant.workers)


def worker_settings(contestant: Contestant, task: Task) -> Settings:
    """The settings that the flags and variables of `_streamscore` come to."""
    return load_settings(
        {
            "bootstrap_servers": task.settings.bootstrap_servers,
            "store": task.settings.store,
            "topics.input": task.input,
            "topics.output": task.output,
            "topics.dead_letter_suffix": task.letters_suffix,
            "consumer.guarantee": contestant.guarantee,
            "health.port": task.health_port,
            "log.format": "json",
        },
        environ=engine_environment(contestant.engine),
        directory=task.settings.store,
    )


def engine_environment(engine: str) -> dict[str, str]:
    """What chooses the engine of a worker of ours."""
    return {"STREAMSCORE_MODEL__ENGINE": engine} if engine else {}


def _script(contestant: Contestant, task: Task) -> Command:
    python, script = _SCRIPTS[contestant.kind]
    job = {
        "bootstrap_servers": task.settings.bootstrap_servers,
        "input": task.input,
        "output": task.output,
        "group": task.group,
        "model": str(task.case.dump),
        "features": list(task.case.features),
    }
    return Command([python, str(HERE / script)], job=json.dumps(job).encode())
