"""How fast does one exactly-once worker drain a backlog of flight events?

    python benchmarks/drain.py [--events 1000000] [--rounds 3] [--workers 1]

Starts the embedded broker, publishes the backlog once, and lets a fresh consumer group drain it in
each round. The rate is that of the broker's own timestamps (LogAppendTime) of the predictions,
from the first to the last. Every round is audited: an event that is lost or doubled ends it.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, TopicPartition

from demo.flights import december_events, load_flights
from demo.training import REFERENCE, train
from model.event import encode_event
from runtime.audit import audit_topics
from runtime.broker import EmbeddedBroker
from runtime.clients import open_producer, producer_properties
from runtime.settings import Settings, load_settings
from runtime.topics import Topic, create_topics, dead_letter_topic

PARTITIONS = 6
CHUNK = 2000
READY_S = 60.0
SLOWEST_PER_S = 2000  # a round may take no longer than at this rate


@dataclass(frozen=True, slots=True)
class Round:
    """One drained backlog."""

    events_per_second: float
    cpu_us_per_event: float
    peak_rss_mib: float
    seconds: float


def main() -> None:
    """Measure, and print a table and the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker() as broker:
        settings = load_settings(
            {"bootstrap_servers": broker.bootstrap_servers, "store": Path(folder) / "store"},
            environ={},
        )
        flights = load_flights()
        train(settings, flights)
        values = [encode_event(event) for event in december_events(flights)]
        source = f"flights-{uuid.uuid4().hex[:8]}"
        create_topics(settings, [Topic(source, PARTITIONS, 1)])
        publish(settings, source, values, asked.events)
        rounds = [drain(settings, source, asked.events, asked.workers) for _ in range(asked.rounds)]
    report(asked, rounds)


def publish(settings: Settings, topic: str, values: list[bytes], count: int) -> None:
    """Put the backlog onto the topic, spread over its partitions."""
    producer = open_producer(producer_properties(settings))
    events = islice(cycle(values), count)
    partitions = cycle(range(PARTITIONS))
    while chunk := [{"value": value} for value in islice(events, CHUNK)]:
        producer.produce_batch(topic, chunk, partition=next(partitions))
        while len(producer) > 100 * CHUNK:
            producer.poll(0.1)
    if producer.flush(120):
        sys.exit("the backlog was not acknowledged")


def drain(settings: Settings, source: str, count: int, workers: int) -> Round:
    """One round: a new group and new topics for its answers."""
    name = f"{source}-{uuid.uuid4().hex[:8]}"
    suffix = f".{name}"
    own = settings.model_copy(
        update={"topics": settings.topics.model_copy(update={"dead_letter_suffix": suffix})}
    )
    letters = dead_letter_topic(own, source)
    stamped = {"message.timestamp.type": "LogAppendTime"}
    create_topics(own, [Topic(name, PARTITIONS, 1, stamped), Topic(letters, PARTITIONS, 1)])
    command = [
        *(sys.executable, "-m", "streamscore", "consume", "--model", REFERENCE),
        *("--input", source, "--output", name, "--group", name, "--workers", str(workers)),
        *("--bootstrap-servers", own.bootstrap_servers, "--store", str(own.store)),
    ]
    environ = {**os.environ, "STREAMSCORE_TOPICS__DEAD_LETTER_SUFFIX": suffix}
    process = subprocess.Popen(  # noqa: S603 - our own command line
        command, env=environ, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(own, name, count, process)
        peak_rss_mib = peak_rss(process.pid)
    finally:
        process.terminate()
        _, _, usage = os.wait4(process.pid, 0)  # of its workers, too: it has waited for them
    audit = audit_topics(own, source=source, output=name, dead_letters=letters)
    if not audit.ok or audit.predictions != count:
        sys.exit(f"wrong answers: {audit}")
    first_ms, last_ms = stamps(own, name)
    seconds = (last_ms - first_ms) / 1000
    cpu_s = usage.ru_utime + usage.ru_stime
    return Round(count / seconds, cpu_s / count * 1e6, peak_rss_mib, seconds)


def peak_rss(pid: int) -> float:
    """The highest resident memory of a process and its children so far, in MiB.

    Not from getrusage: after a fork that includes what the parent had.
    """
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    status = Path(f"/proc/{pid}/status").read_text()
    own = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(own.split()[1]) / 1024 + sum(peak_rss(int(child)) for child in children)


def reader(settings: Settings, **properties: object) -> Consumer:
    """A client that only reads."""
    return Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "group.id": "benchmark",
            "enable.auto.commit": False,
            **properties,
        }
    )


def wait_for(settings: Settings, topic: str, count: int, process: subprocess.Popen[bytes]) -> None:
    """Until the topic holds `count` answers (its transactions' ends take offsets too)."""
    deadline = time.monotonic() + READY_S + count / SLOWEST_PER_S
    consumer = reader(settings)
    try:
        while True:
            with suppress(KafkaException):  # a topic that was made just now has no leader yet
                if ends(consumer, topic) >= count and settled(settings, topic, count):
                    return
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the worker ended early, or is too slow")
            time.sleep(0.2)
    finally:
        consumer.close()


def ends(consumer: Consumer, topic: str) -> int:
    """How many offsets the topic's partitions have taken."""
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    return sum(consumer.get_watermark_offsets(place, 10, cached=False)[1] for place in places)


def settled(settings: Settings, topic: str, count: int) -> bool:
    """Whether the group has committed everything."""
    consumer = reader(settings, **{"group.id": topic})
    source = topic.rpartition("-")[0]
    try:
        places = [TopicPartition(source, number) for number in range(PARTITIONS)]
        committed = consumer.committed(places, 10)
        return sum(max(0, place.offset) for place in committed) >= count
    finally:
        consumer.close()


def stamps(settings: Settings, topic: str) -> tuple[int, int]:
    """The broker's time of the first and of the last answer, in ms."""
    consumer = reader(settings, **{"isolation.level": "read_committed"})
    firsts: list[int] = []
    lasts: list[int] = []
    try:
        for number in range(PARTITIONS):
            place = TopicPartition(topic, number)
            low, high = consumer.get_watermark_offsets(place, 10, cached=False)
            for start, kept in ((low, firsts), (max(low, high - 2), lasts)):
                consumer.assign([TopicPartition(topic, number, start)])
                record = consumer.poll(10)
                if record is not None and record.error() is None:
                    kept.append(record.timestamp()[1])
    finally:
        consumer.close()
    return min(firsts), max(lasts)


def report(asked: argparse.Namespace, rounds: list[Round]) -> None:
    """A table for people, then JSON for programs."""
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    print(f"{asked.events:,} flight events, {asked.workers} worker(s), exactly once")
    for number, each in enumerate(rounds, 1):
        print(
            f"  round {number}: {each.events_per_second:9,.0f} events/s"
            f"  {each.cpu_us_per_event:5.1f} CPU µs/event  {each.peak_rss_mib:4.0f} MiB"
        )
    median = statistics.median(each.events_per_second for each in rounds)
    print(f"  median: {median:,.0f} events/s")
    print(json.dumps({"median": median, "rounds": [asdict(each) for each in rounds]}))


if __name__ == "__main__":
    main()
