"""How long from an event to the prediction in hand, at a fixed rate.

The sender is a process of its own, the subscriber is this one: it reads at read_committed and
notes when it holds each answer. Both tell the time by the same clock.
"""

import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer, Message, TopicPartition

from benchmarks.cases import Case
from benchmarks.contestants import Contestant, Task, command
from benchmarks.drain import Figures
from benchmarks.lab import PARTITIONS, BenchmarkError, Lab, name_for, stamped
from benchmarks.process import Running, clean_environ
from benchmarks.schedule import Schedule, latencies_ms, percentiles
from runtime.child_process import bound
from runtime.topics import Topic

_START_S: Final = 90.0
_AFTER_S: Final = 30.0
_SETTLE_S: Final = 1.0
_CLOSE: Final = 1e-9


class _Prediction(msgspec.Struct, frozen=True):
    prediction: float


@dataclass(slots=True)
class Heard:
    """What the subscriber got: the answers, and the time at which each batch was in hand."""

    batches: list[tuple[float, list[Message]]]
    count: int = 0


def measure(
    lab: Lab, contestant: Contestant, case: Case, schedules: Sequence[Schedule]
) -> Iterator[tuple[int, Figures]]:
    """One start of the contestant, one rate after the other on it: (rate, figures)."""
    source, output, letters = (name_for(what) for what in ("events", "answers", "unused"))
    suffix = f".{letters}"
    topics = (Topic(source, PARTITIONS, 1), Topic(f"{source}{suffix}", PARTITIONS, 1))
    with lab.topics(*topics, stamped(output, PARTITIONS)):
        task = Task(lab.settings, case, source, output, source, suffix)
        with Running(command(contestant, task)) as running, _subscriber(task) as consumer:
            _wait_assigned(running)
            for schedule in schedules:
                yield schedule.rate, _at_rate(lab, contestant, task, schedule, running, consumer)


def _wait_assigned(running: Running) -> None:
    deadline = time.monotonic() + _START_S
    running.wait_started(_START_S)
    while not running.all_assigned:
        running.require_life(deadline)
        time.sleep(0.05)
    time.sleep(_SETTLE_S)


@contextmanager
def _subscriber(task: Task) -> Iterator[Consumer]:
    consumer = Consumer(
        {
            "bootstrap.servers": task.settings.bootstrap_servers,
            "group.id": "benchmark",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    with closing(consumer):
        consumer.assign([TopicPartition(task.output, number, 0) for number in range(PARTITIONS)])
        yield consumer


def _at_rate(  # noqa: PLR0913, PLR0917 - all parts of one run
    lab: Lab,
    contestant: Contestant,
    task: Task,
    schedule: Schedule,
    running: Running,
    consumer: Consumer,
) -> Figures:
    cpu_before = running.cpu_s()
    gc.collect()
    gc.disable()  # the subscriber is to hold up nothing
    try:
        with _sender(lab, task, schedule) as sender:
            heard = _listen(consumer, schedule, running, sender)
            said, _ = sender.communicate(timeout=_AFTER_S)
    finally:
        gc.enable()
    used_s = running.cpu_s() - cpu_before
    report = json.loads(said)
    arrived = _arrivals(heard, schedule)
    _check(heard, contestant, task.case)
    return {
        **percentiles(latencies_ms(schedule, report["begin"], arrived)),
        **{f"sender_late_{name}": value for name, value in report["late"].items()},
        "cpu_us_per_event": used_s / schedule.count * 1e6,
        "events": float(schedule.count),
    }


@contextmanager
def _sender(lab: Lab, task: Task, schedule: Schedule) -> Iterator[subprocess.Popen[bytes]]:
    values = lab.folder / f"{task.case.name}.ndjson"
    if not values.exists():
        values.write_bytes(b"\n".join(task.case.values))
    job = {
        "bootstrap_servers": task.settings.bootstrap_servers,
        "topic": task.input,
        "values": str(values),
        "schedule": asdict(schedule),
    }
    process = subprocess.Popen(
        bound([sys.executable, "-m", "benchmarks.sender"]),
        env=clean_environ({}),
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        if process.stdin is None:
            raise BenchmarkError("the sender has no standard input")
        process.stdin.write(json.dumps(job).encode())
        process.stdin.close()
        process.stdin = None  # communicate() would flush it
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(_AFTER_S)
        if process.stdout is not None:
            process.stdout.close()


def _listen(
    consumer: Consumer, schedule: Schedule, running: Running, sender: subprocess.Popen[bytes]
) -> Heard:
    heard = Heard([])
    deadline = time.monotonic() + schedule.due(schedule.count) + _AFTER_S
    while heard.count < schedule.count:
        first = consumer.poll(0.1)
        if first is None:
            running.require_life(deadline)
            if sender.poll():
                raise BenchmarkError("the sender failed")
            continue
        records = [first, *consumer.consume(10_000, 0)]
        heard.batches.append((time.monotonic(), records))
        heard.count += len(records)
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{heard.count} of {schedule.count} answers came in time")
    return heard


def _arrivals(heard: Heard, schedule: Schedule) -> npt.NDArray[np.float64]:
    """When each event's answer was in hand: one each."""
    arrived = np.zeros(schedule.count)
    for when, records in heard.batches:
        for record in records:
            if (error := record.error()) is not None:
                raise BenchmarkError(f"the subscriber failed: {error}")
            number = int(record.key() or b"-1")
            if arrived[number]:
                raise BenchmarkError(f"event {number} was answered twice")
            arrived[number] = when
    if not arrived.all():
        raise BenchmarkError("an event was not answered")
    return arrived


def _check(heard: Heard, contestant: Contestant, case: Case) -> None:
    """Every answer is the model's own, or the event's own bytes."""
    decode = msgspec.json.Decoder(_Prediction).decode
    for _, records in heard.batches:
        at = [int(record.key() or b"-1") % len(case.values) for record in records]
        values = [record.value() or b"" for record in records]
        if contestant.kind == "pass-through":
            right = values == [case.values[i] for i in at]
        else:
            given = [decode(value).prediction for value in values]
            right = np.allclose(given, case.expected[at], rtol=_CLOSE, atol=_CLOSE)
        if not right:
            raise BenchmarkError(f"{contestant.name}: an answer is wrong")
