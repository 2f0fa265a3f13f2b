"""Sections that drain nothing: latency at fixed rates, one event alone, the start."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Final

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.cases import Case
from benchmarks.contestants import (
    BEST_ENGINE,
    PLAIN_ENGINE,
    Contestant,
    Task,
    command,
    worker_settings,
)
from benchmarks.lab import PARTITIONS, BenchmarkError, Lab, name_for
from benchmarks.latency import measure
from benchmarks.process import Running, free_port
from benchmarks.throughput import Bench
from consumer.pipeline import Target
from consumer.records import Batch
from consumer.worker import Job, build_pipeline, load_model
from runtime.topics import Topic

_READY_S: Final = 60.0
_LOOK_S: Final = 0.005
_WARM_UP: Final = 50
_LONGEST_S: Final = 3.0
_NOW: Final = "2013-12-01T00:00:00.000000Z"


def measure_latency(bench: Bench) -> None:
    """Every contestant at every rate, round by round; at least once at the middle rate."""
    case, schedules = bench.cases["flight"], bench.plan.schedules
    one = schedules[len(schedules) // 2 :][:1]
    entries = [(each, schedules) for each in bench.plan.latency]
    entries += [(each, one) for each in bench.plan.latency_at_one_rate]
    for number in range(1, bench.plan.latency_rounds + 1):
        for contestant, rates in entries:
            for rate, figures in measure(bench.lab, contestant, case, rates):
                bench.results.add("latency", f"{rate:,} events/s", contestant.name, figures)
                bench.say(
                    f"latency, round {number}: {rate:,} events/s, {contestant.name}: "
                    f"p50 {figures['p50_ms']:.1f} ms, p99 {figures['p99_ms']:.1f} ms"
                )


def measure_startup(bench: Bench) -> None:
    """From exec to the probe's "ready", with the bundle and the topics in place."""
    for number in range(1, bench.plan.starts + 1):
        for contestant in bench.plan.engines:
            seconds = _start_s(bench.lab, contestant, bench.cases["flight"])
            bench.results.add("startup", "flight", contestant.name, {"seconds": seconds})
            bench.say(f"startup, round {number}: {contestant.name}: {seconds:.2f} s")


def _start_s(lab: Lab, contestant: Contestant, case: Case) -> float:
    source, output = name_for("empty"), name_for("answers")
    port = free_port()
    wanted = [Topic(name, PARTITIONS, 1) for name in (source, output, f"{source}.dlq")]
    with lab.topics(*wanted):
        task = Task(lab.settings, case, source, output, source, health_port=port)
        with Running(command(contestant, task)) as running:
            while not _is_ready(port):
                running.require_life(running.began + _READY_S)
                time.sleep(_LOOK_S)
            return time.monotonic() - running.began


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200  # noqa: PLR2004 - HTTP's "OK"
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class _Event:
    """A record that never was in Kafka."""

    data: bytes

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes | None:
        return self.data

    def headers(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return 0, -1

    def topic(self) -> str:
        return "events"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 0


def measure_single(bench: Bench) -> None:
    """One event alone: decode, score, encode in this process, and scikit-learn's own predict."""
    count = bench.plan.single_events
    with threadpool_limits(1):
        for case in bench.cases.values():
            frames = _frames(case, count)
            figures = _timed(lambda i: case.estimator.predict(frames[i]), len(frames))  # noqa: B023 - called at once
            _note(bench, case, "scikit-learn's predict on a row", figures)
            for contestant in (PLAIN_ENGINE, BEST_ENGINE):
                answer = _one_event(bench.lab, contestant, case)
                _note(bench, case, f"streamscore {contestant.engine}", _timed(answer, count))


def _frames(case: Case, count: int) -> list[pd.DataFrame]:
    rows = case.rows(min(count, len(case.values)))
    return [rows.iloc[[i]] for i in range(len(rows))]


def _one_event(lab: Lab, contestant: Contestant, case: Case) -> Callable[[int], object]:
    task = Task(lab.settings, case, "events", "answers", "single")
    job = Job(worker_settings(contestant, task), "events", "answers", case.reference, "single")
    target = Target(same_partitions=True, limit_bytes=1_000_000)
    pipeline = build_pipeline(job, load_model(job), target, target)

    def answer(number: int) -> None:
        value = case.values[number % len(case.values)]
        outgoing, _ = pipeline.run(
            Batch("events", [_Event(value)], [0], [0], None), _NOW, lambda _stage: nullcontext()
        )
        if not outgoing.predictions:
            raise BenchmarkError(f"{contestant.name}: an event alone was not answered")

    return answer


def _timed(call: Callable[[int], object], count: int) -> dict[str, float]:
    """Call so often, or for so long, and leave the warm-up out."""
    taken: list[float] = []
    enough_at = time.monotonic() + _LONGEST_S
    for number in range(count + _WARM_UP):
        if time.monotonic() > enough_at and len(taken) > 2 * _WARM_UP:
            break
        began = time.perf_counter()
        call(number % count)
        taken.append((time.perf_counter() - began) * 1000)
    p50, p99 = np.percentile(taken[_WARM_UP:], [50, 99]).tolist()
    return {"median_ms": p50, "p99_ms": p99}


def _note(bench: Bench, case: Case, name: str, figures: dict[str, float]) -> None:
    bench.results.add("single", case.name, name, figures)
    bench.say(f"single: {case.name}, {name}: {figures['median_ms']:.3f} ms")
