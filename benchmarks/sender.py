"""Sends events by a schedule, whatever becomes of them: an application with its own process.

    python -m benchmarks.sender < job.json

An event's key is its number. What an application that cares about latency would set: no linger,
acknowledged by all replicas, idempotent. Prints when it began (CLOCK_MONOTONIC, which is the
machine's) and how late it was itself.
"""

import gc
import json
import sys
import time
from pathlib import Path

import numpy as np
from confluent_kafka import Producer

from benchmarks.schedule import Schedule, percentiles

_SHORTEST_S = 0.0002
_FLUSH_S = 30.0


def main() -> None:
    """Send, and report."""
    job = json.load(sys.stdin)
    schedule = Schedule(**job["schedule"])
    values = Path(job["values"]).read_bytes().splitlines()
    producer = Producer(
        {
            "bootstrap.servers": job["bootstrap_servers"],
            "linger.ms": 0,
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
        }
    )
    producer.list_topics(job["topic"], 10)  # connected, before the clock runs
    gc.collect()
    gc.freeze()
    begin = time.monotonic() + 0.05
    late = send(producer, job["topic"], values, schedule, begin)
    if producer.flush(_FLUSH_S):
        sys.exit("events were not acknowledged")
    late_ms = (np.array(late) * 1000)[schedule.skipped :]
    print(json.dumps({"begin": begin, "late": percentiles(late_ms)}))


def send(
    producer: Producer, topic: str, values: list[bytes], schedule: Schedule, begin: float
) -> list[float]:
    """Send every event when it is due, or as soon after as it can; by how many seconds late."""
    late: list[float] = []
    while len(late) < schedule.count:
        now = time.monotonic()
        for number in range(len(late), schedule.due_by(now - begin)):
            late.append(time.monotonic() - begin - schedule.due(number))
            producer.produce(topic, values[number % len(values)], str(number))
        producer.poll(0)
        wait_s = begin + schedule.due(len(late)) - time.monotonic()
        time.sleep(max(_SHORTEST_S, wait_s))
    return late


if __name__ == "__main__":
    main()
