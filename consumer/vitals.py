"""Whether a worker is alive and ready, and the metrics that Kafka's own statistics feed.

Alive means that the loop makes progress: a client that hangs in a call stops it.
Ready means that the group has given it its place and that a broker answers: a dead broker gives
an empty poll and no error, so the client's statistics are asked.
"""

from collections.abc import Callable
from typing import Any

import orjson

from runtime.health import Condition
from runtime.telemetry import Metrics


class Vitals:
    """A worker's signs of life: written by its loop, read by the probes' threads."""

    def __init__(
        self, metrics: Metrics, topic: str, monotonic: Callable[[], float], silence_s: float
    ) -> None:
        self._metrics = metrics
        self._topic = topic
        self._monotonic = monotonic
        self._silence_s = silence_s
        self._progress_at = monotonic()
        self._joined = False
        self._broker_up = False
        self._stopping = False
        self._lag_of: set[str] = set()

    def progress(self, now: float) -> None:
        """The loop came round; `now` is Unix time in seconds."""
        self._progress_at = self._monotonic()
        self._metrics.last_progress_timestamp_seconds.set(now)

    def assigned(self) -> None:
        """The group gave out partitions, so its coordinator answers: no statistics are needed."""
        self._joined = self._broker_up = True

    def stop(self) -> None:
        """The worker takes no more events."""
        self._stopping = True

    def statistics(self, text: str) -> None:
        """Read librdkafka's statistics: membership, brokers, lag (docs: STATISTICS.md)."""
        statistics = orjson.loads(text)
        brokers = statistics.get("brokers", {}).values()
        self._broker_up = any(b["state"] == "UP" and b["nodeid"] >= 0 for b in brokers)
        group = statistics.get("cgrp", {})
        self._joined = group.get("state") == "up" and group.get("join_state") == "steady"
        self._lag(statistics.get("topics", {}).get(self._topic, {}).get("partitions", {}))

    def _lag(self, partitions: dict[str, dict[str, Any]]) -> None:
        # Not its own `consumer_lag`, which counts from commits that the consumer itself makes.
        lag = {
            number: max(0, partition["ls_offset"] - partition["app_offset"])
            for number, partition in partitions.items()
            if partition.get("fetch_state") == "active"
            and partition["ls_offset"] >= 0
            and partition["app_offset"] >= 0
        }
        for gone in self._lag_of - lag.keys():
            self._metrics.lag.remove(self._topic, gone)
        for number, events in lag.items():
            self._metrics.lag.labels(self._topic, number).set(events)
        self._lag_of = set(lag)

    def alive(self) -> Condition:
        """Whether the loop has come round lately."""
        silent_s = self._monotonic() - self._progress_at
        if silent_s <= self._silence_s:
            return Condition(holds=True)
        return Condition(holds=False, reason=f"no progress for {silent_s:.0f} s")

    def ready(self) -> Condition:
        """Whether events that arrive now are scored."""
        for holds, reason in (
            (not self._stopping, "stopping"),
            (self._broker_up, "no broker answers"),
            (self._joined, "the group has not given out its partitions yet"),
        ):
            if not holds:
                return Condition(holds=False, reason=reason)
        return self.alive()
