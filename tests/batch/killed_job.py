"""Scores days in processes that are killed: what test_batch_kills.py starts, and hears from.

Imports and the model are loaded once; each attempt is a fork of that. An attempt dies by SIGKILL,
at a drawn transaction of the target (before it begins, before or after its commit) or, in every
other attempt, at a moment soon after one. Prints how many attempts were killed, as JSON.
"""

import contextlib
import json
import os
import random
import select
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from batch.database import Database
from batch.day import days, window
from batch.job import Clock, Job
from batch.runs import Task
from batch.source import Query, Source
from batch.target import DayWriter, Target
from model.bundle import Model, load_model

UTC_ZONE = ZoneInfo("UTC")
DEADLINE_S = 60.0


class Nobody:
    """Is told of progress, and does not care."""

    def expect(self, total: float) -> None:
        """Do nothing."""

    def advance(self, count: float = 1) -> None:
        """Do nothing."""


def score(given: dict[str, Any], model: Model) -> None:
    """Score all days, as a backfill does."""
    source = Source(
        Database(given["source"]), Query("flights", None, given["id_column"], "at", UTC_ZONE)
    )
    target = Target(Database(given["target"], create=True))
    target.prepare()
    clock = Clock(lambda: datetime.now(UTC), time.perf_counter)
    columns = source.features(model.signature)
    job = Job(source, target, model, columns, given["chunk_rows"], clock, lambda: False)
    first = date.fromisoformat(given["first"])
    for day in days(first, first + timedelta(days=given["days"] - 1)):
        job.score_day(Task(model.name, model.version, source.name, window(day, UTC_ZONE)), Nobody())


def die_at(transaction: int, place: str) -> None:
    """Have this process killed at one of its transactions; where it says "tell", have it told."""
    original = DayWriter._transaction
    seen = 0

    def reached(here: str) -> None:
        if seen == transaction and here == place:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextlib.contextmanager
    def counted(self: DayWriter) -> Iterator[None]:
        nonlocal seen
        seen += 1
        reached("before")
        with original(self):
            yield
            reached("within")
        reached("after")

    DayWriter._transaction = counted  # type: ignore[method-assign]


def tell(pipe: int) -> None:
    """Write a byte after each transaction."""
    original = DayWriter._transaction

    @contextlib.contextmanager
    def told(self: DayWriter) -> Iterator[None]:
        with original(self):
            yield
        os.write(pipe, b".")

    DayWriter._transaction = told  # type: ignore[method-assign]


def attempt(given: dict[str, Any], model: Model, draw: random.Random, number: int) -> bool:
    """One attempt; whether it was killed."""
    at, place = draw.randint(1, 6), draw.choice(["before", "within", "after"])
    moment = draw.uniform(0, 0.008)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            if number % 2:
                die_at(at, place)
            else:
                tell(writing)
            score(given, model)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    ended = read_until_end(reading, enough=None if number % 2 else at)
    if not ended:
        select.select([reading], [], [], moment)  # anywhere in the transaction after that one
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.waitstatus_to_exitcode(status):
        sys.exit("an attempt failed")
    return False


def read_until_end(pipe: int, *, enough: int | None) -> bool:
    """Whether the other end was closed before `enough` bytes came."""
    deadline = time.monotonic() + DEADLINE_S
    count = 0
    while time.monotonic() < deadline:
        if select.select([pipe], [], [], 0.5)[0]:
            got = os.read(pipe, 1)
            if not got:
                return True
            count += 1
            if count == enough:
                return False
    sys.exit("an attempt came to nothing in time")


def main() -> None:
    """Kill, start again, until there were enough kills; then let it come to its end."""
    given = json.load(sys.stdin)
    model = load_model(given["model"], store=given["store"])
    draw = random.Random(given["seed"])
    killed = attempts = 0
    while killed < given["kills"]:
        attempts += 1
        if not attempt(given, model, draw, attempts):
            break  # it is complete
        killed += 1
    score(given, model)
    json.dump({"killed": killed}, sys.stdout)


if __name__ == "__main__":
    main()
