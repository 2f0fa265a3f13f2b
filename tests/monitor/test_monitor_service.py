"""The monitor on a real Kafka: what it shows is what was written, through restarts of either."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from prometheus_client import CollectorRegistry, generate_latest

from model.signature import Task
from monitor.live import Live
from monitor.service import run_monitor, subject_of
from monitor.snapshot import Snapshot
from runtime.broker import EmbeddedBroker
from runtime.dead_letter import Failure, write_headers
from runtime.settings import Settings, load_settings
from runtime.stop import Stop
from runtime.telemetry import MonitorMetrics
from runtime.topics import Topic, create_topics

if TYPE_CHECKING:
    from tests.conftest import CommandLine, Kafka

DEADLINE_S = 40.0
PARTITIONS = 2


class Watched:
    """A monitor in a thread, and its latest snapshot."""

    def __init__(self, settings: Settings, group: str) -> None:
        self.live, self.stop = Live(), Stop(60)
        self.metrics = MonitorMetrics(CollectorRegistry())
        self.failures: list[BaseException] = []
        self._settings, self._group = settings, group
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            subject = subject_of(self._settings, self._group)
            run_monitor(self._settings, subject, self.live, self.metrics, self.stop)
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            self.failures.append(error)

    def until(self, holds: Callable[[Snapshot], object], timeout_s: float = DEADLINE_S) -> Snapshot:
        """The first snapshot of which it holds."""
        end = time.monotonic() + timeout_s
        seen = None
        while time.monotonic() < end:
            assert not self.failures, self.failures
            number, document = self.live.latest()
            if number:
                seen = msgspec.json.decode(document, type=Snapshot)
                if holds(seen):
                    return seen
            time.sleep(0.05)
        pytest.fail(f"not within {timeout_s} s: {seen}")

    def close(self) -> None:
        self.stop._reason = "the end"  # no last-resort timer, which would end the tests
        self._thread.join(20)
        assert not self._thread.is_alive()
        assert not self.failures, self.failures


@contextmanager
def watching(settings: Settings, group: str) -> Iterator[Watched]:
    watched = Watched(settings, group)
    try:
        yield watched
    finally:
        watched.close()


class Writer:
    """Writes events, predictions, outcomes and dead letters as the service does."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._producer = Producer({"bootstrap.servers": settings.bootstrap_servers})

    def events(self, ids: list[int]) -> None:
        for n in ids:
            self._put(self.settings.topics.input, n, {"id": f"e-{n}"})
        self.flush()

    def predictions(self, ids: list[int], scored_at: str = "2026-01-01T00:00:00Z") -> None:
        for n in ids:
            value = {
                "id": f"e-{n}", "prediction": float(n), "model": "delay", "version": "3",
                "source": {"topic": self.settings.topics.input, "partition": n % PARTITIONS,
                           "offset": n // PARTITIONS},
                "scored_at": scored_at,
            }  # fmt: skip
            self._put(self.settings.topics.output, n, value)
        self.flush()

    def outcomes(self, ids: list[int], error: float = 2.0) -> None:
        topic = self.settings.monitor.outcomes
        assert topic is not None
        for n in ids:
            self._put(topic, n, {"id": f"e-{n}", "outcome": n + error})
        self.flush()

    def dead_letter(self, code: str) -> None:
        failure = Failure(self.settings.topics.input, 1, 7, 0, "g", "validate", code,
                          "the field <b>x</b> is missing", "delay", "3", 1,
                          "2026-01-01T00:00:00.5Z")  # fmt: skip
        topic = f"{self.settings.topics.input}.dlq"
        self._producer.produce(topic, b'{"secret": 1}', headers=write_headers(None, failure))  # type: ignore[arg-type]
        self.flush()

    def flush(self) -> None:
        assert self._producer.flush(30) == 0

    def _put(self, topic: str, n: int, value: dict[str, Any]) -> None:
        self._producer.produce(topic, json.dumps(value).encode(), partition=n % PARTITIONS)


def settings_for(servers: str, name: str, folder: Path, **more: Any) -> Settings:
    settings = load_settings(
        {
            "bootstrap_servers": servers,
            "broker_timeout_s": 5,
            "topics.input": f"{name}-in",
            "topics.output": f"{name}-out",
            "monitor.outcomes": f"{name}-truth",
            "monitor.state": folder / "state.db",
            **more,
        },
        environ={},
        directory=Path("/dev/null"),
    )
    topics = (f"{name}-in", f"{name}-out", f"{name}-truth", f"{name}-in.dlq")
    create_topics(settings, [Topic(topic, PARTITIONS, 1) for topic in topics])
    return settings


@pytest.fixture
def settings(kafka: "Kafka", tmp_path: Path) -> Settings:
    return settings_for(kafka.bootstrap_servers, kafka.topic(), tmp_path)


def metrics_of(seen: Snapshot, window: str = "all") -> dict[str, float]:
    (found,) = [each for each in seen.quality if each.window == window]
    return found.metrics


def test_outcomes_early_late_and_twice_with_a_restart_in_between(settings: Settings) -> None:
    """Given a restart amid the records, then the figures are those computed directly."""
    write = Writer(settings)
    write.events(list(range(40)))
    write.outcomes(list(range(10)), error=2.0)  # early
    with watching(settings, "g") as watched:
        watched.until(lambda seen: seen.outcomes is not None and seen.outcomes.early == 10)
        write.predictions(list(range(30)))
        watched.until(lambda seen: seen.versions and seen.versions[0].count == 30)
    write.outcomes(list(range(20)), error=4.0)  # ten of them for the second time
    write.predictions(list(range(30, 40)))
    with watching(settings, "g") as watched:
        seen = watched.until(
            lambda seen: (
                seen.outcomes is not None
                and seen.outcomes.joined == 20
                and seen.versions[0].count == 40
            )
        )
        exported = generate_latest(watched.metrics.registry).decode()
    errors = [-2.0] * 10 + [-4.0] * 10
    assert metrics_of(seen) == pytest.approx(
        {"mae": 3.0, "bias": -3.0, "rmse": (sum(e * e for e in errors) / 20) ** 0.5}
    )
    assert seen.quality[0].coverage == pytest.approx(20 / 40)
    assert seen.quality[0].n == 20
    assert seen.outcomes is not None
    assert seen.outcomes.duplicates == 10
    assert (
        'streamscore_monitor_quality{metric="mae",model="delay",version="3",window="1h"} 3.0'
        in (exported)
    )


def test_lag_members_and_rebalances_of_the_watched_group(settings: Settings) -> None:
    """What is committed and who has which partitions is the group's own, not the monitor's."""
    write = Writer(settings)
    group = f"{settings.topics.input}-group"
    with watching(settings, group) as watched:
        watched.until(lambda seen: seen.broker.reachable and seen.partitions)
        write.events(list(range(20)))
        seen = watched.until(lambda seen: sum(p.lag_events or 0 for p in seen.partitions) == 20)
        assert [p.committed for p in seen.partitions] == [None, None]
        watched.until(lambda seen: all((p.lag_s or 0) > 0.5 for p in seen.partitions))
        consumer = Consumer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                "group.id": group,
                "client.id": "worker-1",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe([settings.topics.input])
        try:
            end = time.monotonic() + DEADLINE_S
            while len(consumer.assignment()) < PARTITIONS:
                assert time.monotonic() < end
                consumer.poll(0.1)
            places = [TopicPartition(settings.topics.input, n, 6) for n in range(PARTITIONS)]
            consumer.commit(offsets=places, asynchronous=False)
            seen = watched.until(
                lambda seen: seen.group.members and seen.partitions[0].committed == 6
            )
        finally:
            consumer.close()
        exported = generate_latest(watched.metrics.registry).decode()
        after = watched.until(lambda seen: not seen.group.members)
    (member,) = seen.group.members
    assert (member.client, member.partitions) == ("worker-1", [0, 1])
    assert [p.lag_events for p in seen.partitions] == [4, 4]
    assert seen.group.rebalances >= 1
    assert after.partitions[0].committed == 6
    place = f'consumergroup="{group}",partition="0",topic="{settings.topics.input}"'
    assert f"kafka_consumergroup_lag{{{place}}} 4.0" in exported


def test_dead_letters_by_cause_without_their_payload(settings: Settings) -> None:
    """Causes are counted through a restart; a payload is shown only where that is allowed."""
    write = Writer(settings)
    write.dead_letter("missing_feature")
    write.dead_letter("missing_feature")
    write.dead_letter("wrong_type")
    with watching(settings, "g") as watched:
        seen = watched.until(lambda seen: seen.dead_letters.total == 3)
    assert [(c.code, c.count) for c in seen.dead_letters.by_cause] == [
        ("missing_feature", 2), ("wrong_type", 1),
    ]  # fmt: skip
    last = seen.dead_letters.last[0]
    assert (last.partition, last.offset, last.payload) == (1, 7, None)
    assert last.message == "the field <b>x</b> is missing"
    allowed = settings.model_copy(
        update={"monitor": settings.monitor.model_copy(update={"payloads": True})}
    )
    with watching(allowed, "g") as watched:
        watched.until(lambda seen: seen.dead_letters.total == 3)
        write.dead_letter("wrong_type")
        seen = watched.until(lambda seen: seen.dead_letters.total == 4)
    assert seen.dead_letters.last[0].payload == '{"secret": 1}'


def test_latency_batches_and_rates_of_what_goes_by(settings: Settings) -> None:
    """The sample's events find their predictions; those scored at once share their time."""
    write = Writer(settings)
    with watching(settings, "g") as watched:
        watched.until(lambda seen: seen.broker.reachable and seen.partitions)
        next_id = 0
        end = time.monotonic() + DEADLINE_S
        while watched.live.latest()[0] < 400:
            assert time.monotonic() < end, "the sample never met a prediction"
            some = list(range(next_id, next_id + 6))
            next_id += 6
            write.events(some)
            write.predictions(some, scored_at=f"t-{next_id}")
            time.sleep(0.2)
            seen = msgspec.json.decode(watched.live.latest()[1], type=Snapshot)
            if seen.latency.n and seen.rates.predictions_per_s and seen.rates.events_per_s:
                break
    assert seen.latency.p99_s is not None
    assert 0 <= seen.latency.p99_s < 30
    assert (seen.batches.p50, seen.batches.max) == (6.0, 6)
    assert len(seen.history.t) == len(seen.history.lag_events) > 1


def test_drift_and_distribution_against_the_bundle(
    kafka: "Kafka", flight_store: Path, tmp_path: Path
) -> None:
    """Events and answers are held against the baseline of the model that is named."""
    settings = settings_for(
        kafka.bootstrap_servers,
        kafka.topic(),
        tmp_path,
        store=flight_store,
        **{"monitor.model": "flight-delay@champion"},
    )
    subject = subject_of(settings, "g")
    assert subject.signature is not None
    assert subject.signature.task is Task.REGRESSION
    write = Writer(settings)
    write.predictions(list(range(200)))
    with watching(settings, "g") as watched:
        seen = watched.until(
            lambda seen: seen.distributions and sum(seen.distributions[0].now) == 200
        )
    (answers,) = seen.distributions
    assert answers.psi is not None
    assert len(answers.now) == len(answers.baseline) == len(answers.edges) + 1
    assert [each.name for each in seen.drift.features] == list(subject.signature.names)
    assert (seen.model, seen.task) == ("flight-delay:1", "regression")


@pytest.mark.timeout(120)
def test_a_broker_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    """The snapshot says so, keeps what it knew, and goes on by itself."""
    with EmbeddedBroker(tmp_path / "kafka") as broker:
        settings = settings_for(broker.bootstrap_servers, "away", tmp_path)
        write = Writer(settings)
        write.predictions(list(range(4)))
        with watching(settings, "g") as watched:
            watched.until(lambda seen: seen.versions and seen.versions[0].count == 4)
            broker.stop()
            seen = watched.until(lambda seen: not seen.broker.reachable)
            assert seen.broker.error
            assert seen.versions[0].count == 4
            assert not watched.live.ready().holds
            assert watched.live.alive().holds
            broker.start()
            watched.until(lambda seen: seen.broker.reachable)
            write.predictions(list(range(4, 6)))
            watched.until(lambda seen: seen.versions[0].count == 6)


def test_the_command_serves_and_stops_on_sigterm(
    kafka: "Kafka", streamscore: "CommandLine"
) -> None:
    """It starts without its topics, says what is missing, and ends cleanly, viewers or not."""
    import urllib.request  # noqa: PLC0415 - here alone

    process = streamscore.start(
        "monitor", "--input", "none-in", "--output", "none-out", "--group", "g", "--port", "18765",
        "--bootstrap-servers", kafka.bootstrap_servers,
    )  # fmt: skip
    end = time.monotonic() + DEADLINE_S
    body = ""
    while "streamscore_monitor_broker_up 1.0" not in body:
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        try:
            with urllib.request.urlopen("http://127.0.0.1:18765/metrics", timeout=5) as answer:
                body = answer.read().decode()
        except OSError:
            time.sleep(0.1)
    with urllib.request.urlopen("http://127.0.0.1:18765/events", timeout=5) as viewer:
        line = b""
        while not line.startswith(b"data: {"):
            line = viewer.readline()
        process.terminate()
        viewer.read()  # to its end, which is whole: one that is broken off raises
    assert json.loads(line.removeprefix(b"data: "))["headline"]["state"] == "no_events"
    _, said = process.communicate(timeout=15)
    assert process.returncode == 0
    assert "monitor_stopped" in said


def test_without_a_group_the_command_says_what_to_name(streamscore: "CommandLine") -> None:
    """Exit code 2, and the two ways out."""
    done = streamscore("monitor", "--input", "a", "--output", "b")
    assert done.returncode == 2
    assert "--group" in done.stderr
