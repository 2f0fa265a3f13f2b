"""A scoring service to test: the real command, on real Kafka, with the flight model."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from runtime.settings import Settings
from runtime.topics import Topic, create_topics, dead_letter_topic

DEADLINE_S = 60.0


def wait_until(holds: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll until a condition holds; fail with its name when it does not in time."""
    deadline = time.monotonic() + deadline_s
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {deadline_s:g} s: {what}")
        time.sleep(0.05)


@dataclass
class Flow:
    """An input topic, its output and dead-letter topics, and clients to use them with."""

    settings: Settings
    input: str
    output: str
    dead_letters: str
    partitions: int
    _producer: Producer = field(init=False)

    def __post_init__(self) -> None:
        servers = self.settings.bootstrap_servers
        self._producer = Producer(
            {"bootstrap.servers": servers, "linger.ms": 5, "message.max.bytes": 9_000_000}
        )

    def send(self, value: bytes | None, **message: Any) -> None:
        self._producer.produce(self.input, value=value, **message)
        self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(30) == 0

    def read(self, topic: str, count: int, *, deadline_s: float = DEADLINE_S) -> list[Message]:
        """The first `count` committed records of a topic, and whatever came with them."""
        records: list[Message] = []
        deadline = time.monotonic() + deadline_s
        consumer = self._reader(topic)
        try:
            while len(records) < count:
                if time.monotonic() > deadline:
                    pytest.fail(f"{len(records)} of {count} records on {topic}")
                records += consumer.consume(10_000, 0.2)
        finally:
            consumer.close()
        assert all(record.error() is None for record in records)
        return records

    def _reader(self, topic: str) -> Consumer:
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.bootstrap_servers,
                "group.id": "unused",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        partitions = consumer.list_topics(topic, 10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        return consumer


@dataclass
class Service:
    """A running `streamscore consume`."""

    process: subprocess.Popen[bytes]
    log: Path

    def entries(self, event: str) -> list[dict[str, Any]]:
        """The log entries of one event so far."""
        lines = [json.loads(line) for line in self._lines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]

    def _lines(self) -> list[str]:
        # The last line may be half written.
        return self.log.read_text().split("\n")[:-1]

    def get(self, path: str, worker: int = 0) -> tuple[int, str]:
        """Ask a worker's health port."""
        port = self.entries("worker_started")[worker]["health_port"]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def wait_ready(self) -> None:
        """Until the (only) worker says that events are scored."""
        wait_until(self._is_ready, f"the service is ready; its log:\n{self.log.read_text()}")

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            pytest.fail(f"the service ended:\n{self.log.read_text()}")
        return bool(self.entries("worker_started")) and self.get("/readyz")[0] == 200

    def stop(self, *, within_s: float = 12.0) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)


@dataclass
class Services:
    """Starts services, and ends those that are left with the test."""

    store: Path
    folder: Path
    started: list[Service] = field(default_factory=list)

    def start(
        self, flow: Flow, *flags: str, model: str = "flight-delay@champion", **environ: str
    ) -> Service:
        log = self.folder / f"service-{len(self.started)}.log"
        command = [
            *(sys.executable, "-m", "streamscore", "consume", "--model", model),
            *("--input", flow.input, "--output", flow.output, "--group", f"group-{flow.input}"),
            *("--store", str(self.store), "--bootstrap-servers", flow.settings.bootstrap_servers),
            *flags,
        ]
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, stderr=file, stdout=file, env={**os.environ, **environ}
            )
        self.started.append(Service(process, log))
        return self.started[-1]


@pytest.fixture
def services(flight_store: Path, tmp_path: Path) -> Iterator[Services]:
    """Start `streamscore consume` as often as needed; what runs at the end is ended."""
    services = Services(flight_store, tmp_path)
    yield services
    for service in services.started:
        if service.process.poll() is None:
            service.process.terminate()
            try:
                service.process.wait(15)
            except subprocess.TimeoutExpired:
                service.process.kill()
                service.process.wait(5)


@pytest.fixture
def make_flow(kafka: Any) -> Callable[..., Flow]:
    """Topics of a flow of their own."""

    def make(partitions: int = 3, output_partitions: int | None = None, on: Any = kafka) -> Flow:
        settings: Settings = on.settings()
        source = on.topic(partitions=partitions)
        output = f"{source}-out"
        letters = dead_letter_topic(settings, source)
        create_topics(
            settings,
            [
                Topic(output, output_partitions or partitions, 1, {}),
                Topic(letters, partitions, 1, {"max.message.bytes": "2097152"}),
            ],
        )
        return Flow(settings, source, output, letters, partitions)

    return make
