"""Where everything is measured: a broker, a folder, topics that come and go.

Topics are deleted after their last use: what lies on the disk and in the page cache stays bounded.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.cases import Case
from runtime.broker import EmbeddedBroker
from runtime.clients import admin_client, open_producer, producer_properties
from runtime.settings import Settings, load_settings
from runtime.topics import Topic, create_topics

PARTITIONS: Final = 6
CHUNK: Final = 500  # events that go to one partition before the next has its turn
_STAMPED: Final = {"message.timestamp.type": "LogAppendTime"}
_NOWHERE: Final = Path("/dev/null")  # a folder without streamscore.toml
_NOBODY: Final = "127.0.0.1:1"
_FLUSH_S: Final = 120.0
_UNSENT: Final = 200_000
_DELETE_S: Final = 30.0


class BenchmarkError(Exception):
    """Something did not happen in time, or an answer was wrong: no figure is worth anything."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Events on a topic: `count` of them, the case's values over and over."""

    case: Case
    topic: str
    partitions: int
    count: int

    def positions(
        self, partitions: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Which of the case's values stand there."""
        chunk = offsets // CHUNK * self.partitions + partitions
        return np.asarray((chunk * CHUNK + offsets % CHUNK) % len(self.case.values))

    def sizes(self) -> list[int]:
        """How many events each partition holds."""
        rounds, rest = divmod(self.count, CHUNK * self.partitions)
        return [
            rounds * CHUNK + min(CHUNK, max(0, rest - number * CHUNK))
            for number in range(self.partitions)
        ]


@dataclass(frozen=True, slots=True)
class Lab:
    """A broker and a folder for models; `broker_pid` where the broker is our own."""

    settings: Settings
    folder: Path
    broker_pid: int | None

    @contextmanager
    def topics(self, *topics: Topic) -> Iterator[None]:
        """Create topics, and delete them at the end."""
        create_topics(self.settings, topics)
        try:
            yield
        finally:
            admin = admin_client(self.settings)
            for answer in admin.delete_topics(
                [topic.name for topic in topics], operation_timeout=_DELETE_S
            ).values():
                answer.result(_DELETE_S)

    @contextmanager
    def backlog(self, case: Case, count: int, partitions: int = PARTITIONS) -> Iterator[Backlog]:
        """Publish events, and delete them at the end."""
        topic = name_for(case.name)
        backlog = Backlog(case, topic, partitions, count)
        with self.topics(Topic(topic, partitions, 1)):
            self._publish(backlog)
            yield backlog

    def _publish(self, backlog: Backlog) -> None:
        producer = open_producer(producer_properties(self.settings))
        events = islice(cycle(backlog.case.values), backlog.count)
        partitions = cycle(range(backlog.partitions))
        size = max(map(len, backlog.case.values[:100]))
        unsent = min(_UNSENT, 100_000_000 // size)  # by number and by bytes
        while chunk := [{"value": value} for value in islice(events, CHUNK)]:
            if producer.produce_batch(backlog.topic, chunk, partition=next(partitions)) < len(
                chunk
            ):
                raise BenchmarkError("the backlog does not fit the producer's queue")
            while len(producer) > unsent:
                producer.poll(0.1)
        if producer.flush(_FLUSH_S):
            raise BenchmarkError(f"the backlog was not acknowledged within {_FLUSH_S:g} s")


def name_for(what: str) -> str:
    """A name that nobody else has."""
    return f"bench-{what}-{uuid.uuid4().hex[:8]}"


def stamped(name: str, partitions: int) -> Topic:
    """A topic for answers: the broker's clock says when each came."""
    return Topic(name, partitions, 1, _STAMPED)


@contextmanager
def open_lab(folder: Path, bootstrap_servers: str | None) -> Iterator[Lab]:
    """A lab on the given broker, else on an embedded one."""
    if bootstrap_servers is not None:
        yield Lab(_settings(folder, bootstrap_servers), folder, None)
        return
    with EmbeddedBroker() as broker:
        yield Lab(_settings(folder, broker.bootstrap_servers), folder, broker.pid)


@contextmanager
def lab_without_broker(folder: Path, _bootstrap_servers: str | None = None) -> Iterator[Lab]:
    """A lab for what needs no Kafka: its address answers nobody."""
    yield Lab(_settings(folder, _NOBODY), folder, None)


def _settings(folder: Path, bootstrap_servers: str) -> Settings:
    flags = {"bootstrap_servers": bootstrap_servers, "store": folder / "store"}
    return load_settings(flags, environ={}, directory=_NOWHERE)
