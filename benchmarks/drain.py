"""One run: a contestant answers a backlog that lies there; what did it take, was it right?"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from benchmarks.answers import Copies, Predictions, Stamps, read_topic
from benchmarks.contestants import Contestant, Task, command
from benchmarks.lab import Backlog, BenchmarkError, Lab, name_for, stamped
from benchmarks.process import Running, cpu_s, free_port
from benchmarks.stages import stage_us, with_rest
from runtime.clients import admin_client
from runtime.topics import Topic

_START_S: Final = 90.0
_SLOWEST_PER_S: Final = 2_000.0  # no contestant is given longer than at this rate
_LOOK_S: Final = 0.05
_PATIENCE_S: Final = 15.0
_ASK_S: Final = 10.0

Figures = dict[str, float]


@dataclass(slots=True)
class Usage:
    """What was used while events were answered; `memory` is (answers so far, MiB) over time."""

    cpu_s: float = 0.0
    broker_cpu_s: float = 0.0
    peak_rss_mib: float = 0.0
    all_assigned: float = 0.0
    stages: Figures = field(default_factory=dict)
    memory: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Drained:
    """What a run found, and for a worker of ours the microseconds per event of its stages."""

    figures: Figures
    stages: Figures


def drain(lab: Lab, contestant: Contestant, backlog: Backlog, share: int | None = None) -> Drained:
    """Let a new group answer the backlog, and check the answers.

    With a `share` it is stopped after so many events, or when its time is up: its rate counts.
    Raises BenchmarkError where an answer is wrong or too late.
    """
    name = name_for("run")
    suffix = f".{name}"
    port = free_port() if contestant.is_own and contestant.workers == 1 else None
    task = Task(lab.settings, backlog.case, backlog.topic, name, name, suffix, port)
    letters = Topic(task.letters, backlog.partitions, 1)
    with lab.topics(stamped(name, backlog.partitions), letters):
        wanted = min(share or backlog.count, backlog.count)
        patience_s = math.inf if share is None else _PATIENCE_S
        usage = _run(lab, contestant, task, backlog, wanted, patience_s)
        stamps, answered = _check(contestant, task, backlog, whole=share is None)
    since_ms = usage.all_assigned * 1000 if contestant.workers > 1 else 0.0
    rate, share_counted = stamps.rate(since_ms)
    figures = {
        "events_per_second": rate,
        "share_counted": share_counted,
        "cpu_us_per_event": usage.cpu_s / answered * 1e6,
        "broker_cpu_us_per_event": usage.broker_cpu_s / answered * 1e6,
        "peak_rss_mib": usage.peak_rss_mib,
        "seconds": (stamps.last - stamps.first) / 1000,
        "events": float(answered),
        **_memory_at(usage, answered),
    }
    return Drained(figures, with_rest(usage.stages, rate) if usage.stages else {})


def _run(  # noqa: PLR0913, PLR0917 - all parts of one run
    lab: Lab,
    contestant: Contestant,
    task: Task,
    backlog: Backlog,
    wanted: int,
    patience_s: float,
) -> Usage:
    deadline = time.monotonic() + _START_S + max(wanted / _SLOWEST_PER_S, _PATIENCE_S)
    usage = Usage()
    with (
        Running(command(contestant, task)) as running,
        _progress(contestant, task, backlog) as done,
    ):
        running.wait_started(_START_S)
        broker_before = _broker_cpu_s(lab)
        enough_at = time.monotonic() + patience_s
        while (count := done()) < wanted:
            if count and time.monotonic() > enough_at:
                break
            running.require_life(deadline)
            usage.memory.append((count, running.memory_mib("VmRSS")))
            time.sleep(_LOOK_S)
        usage.cpu_s = running.cpu_s()
        usage.broker_cpu_s = _broker_cpu_s(lab) - broker_before
        usage.peak_rss_mib = running.memory_mib("VmHWM")
        usage.memory.append((count, running.memory_mib("VmRSS")))
        usage.all_assigned = running.all_assigned
        if task.health_port is not None:
            usage.stages = stage_us(task.health_port, count)
    return usage


@contextmanager
def _progress(contestant: Contestant, task: Task, backlog: Backlog) -> Iterator[Callable[[], int]]:
    """How many events are answered: by commits where those come with the answers."""
    if contestant.is_own:
        consumer = Consumer(
            {"bootstrap.servers": task.settings.bootstrap_servers, "group.id": task.group}
        )
        with closing(consumer):
            yield _Committed(consumer, backlog)
        return
    yield _Written(admin_client(task.settings), task.output, backlog.partitions)


class _Committed:
    def __init__(self, consumer: Consumer, backlog: Backlog) -> None:
        self._consumer = consumer
        self._places = [TopicPartition(backlog.topic, p) for p in range(backlog.partitions)]

    def __call__(self) -> int:
        with suppress(KafkaException):  # the group is new: its coordinator may not be there yet
            places = self._consumer.committed(self._places, _ASK_S)
            return sum(max(0, place.offset) for place in places)
        return 0


class _Written:
    def __init__(self, admin: AdminClient, topic: str, partitions: int) -> None:
        self._admin = admin
        self._places = [TopicPartition(topic, partition) for partition in range(partitions)]

    def __call__(self) -> int:
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = self._admin.list_offsets(dict.fromkeys(self._places, latest))
        return sum(answer.result(_ASK_S).offset for answer in asked.values())


def _check(
    contestant: Contestant, task: Task, backlog: Backlog, *, whole: bool
) -> tuple[Stamps, int]:
    """Read everything that was written; the stamps of it, and how many events it answers."""
    stamps = Stamps()
    check = Copies(backlog) if contestant.kind == "pass-through" else Predictions(backlog)
    for partition, records in read_topic(task.settings, task.output, backlog.partitions):
        stamps.add(records)
        check.add(partition, records)
    for _, records in read_topic(task.settings, task.letters, backlog.partitions):
        if isinstance(check, Copies):
            raise BenchmarkError("a pass-through wrote dead letters")
        check.add_dead_letters(records)
    answered = check.finish() if isinstance(check, Copies) else check.finish(whole=whole)
    if answered < (backlog.count if whole else 1):
        raise BenchmarkError(f"{answered} of {backlog.count} events were answered")
    return stamps, answered


def _broker_cpu_s(lab: Lab) -> float:
    return cpu_s(lab.broker_pid) if lab.broker_pid is not None else 0.0


def _memory_at(usage: Usage, answered: int) -> Figures:
    """The memory in use after a fifth of the events, and at its most after that."""
    fifth = next((mib for count, mib in usage.memory if count >= answered / 5), usage.memory[-1][1])
    later = max(mib for count, mib in usage.memory if count >= answered / 5)
    return {"rss_mib_after_a_fifth": fifth, "rss_mib_later": later}
