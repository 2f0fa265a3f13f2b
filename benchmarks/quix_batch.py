"""Quix Streams at its fastest: a `BatchingSink` that predicts on a batch, at least once.

    .bench/quix/bin/python quix_batch.py < job.json

Bytes go through the dataframe untouched, a checkpoint is 10,000 events, orjson does the JSON, one
native thread scores. It runs in a virtualenv of its own and knows nothing of Streamscore.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy: two of them fight with the clients' threads

import json
import sys
from typing import Any

import joblib
import orjson
import pandas as pd
from confluent_kafka import Producer
from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch

BATCH = 10_000


class Scoring(BatchingSink):  # type: ignore[misc] # of a virtualenv that mypy does not see
    """Answers a partition's events of one checkpoint together."""

    def __init__(self, job: dict[str, Any]) -> None:
        super().__init__()
        self._model = joblib.load(job["model"])
        self._features = job["features"]
        self._output = job["output"]
        self._producer = Producer(
            {
                "bootstrap.servers": job["bootstrap_servers"],
                "compression.type": "lz4",
                "linger.ms": 5,
                "queue.buffering.max.messages": 500_000,
            }
        )

    def write(self, batch: SinkBatch) -> None:
        """Score and produce a partition's events; offsets are committed after `flush`."""
        items = list(batch)
        events = [orjson.loads(item.value) for item in items]
        predictions = self._model.predict(pd.DataFrame(events)[self._features]).tolist()
        for item, event, prediction in zip(items, events, predictions, strict=True):
            source = {"partition": batch.partition, "offset": item.offset}
            answer = {"id": event["id"], "prediction": prediction, "source": source}
            self._producer.produce(self._output, key=item.key, value=orjson.dumps(answer))

    def flush(self) -> None:
        """Score a checkpoint, partition by partition, and wait once for all the answers."""
        super().flush()
        if self._producer.flush(60):
            sys.exit("answers were not acknowledged")


def main() -> None:
    """Answer events until SIGTERM."""
    job = json.load(sys.stdin)
    app = Application(
        broker_address=job["bootstrap_servers"],
        consumer_group=job["group"],
        auto_offset_reset="earliest",
        auto_create_topics=False,
        commit_every=BATCH,
        commit_interval=1.0,
        loglevel="WARNING",
    )
    events = app.topic(job["input"], value_deserializer="bytes", key_deserializer="bytes")
    app.dataframe(events).sink(Scoring(job))
    print('{"event": "worker_started"}', file=sys.stderr, flush=True)
    app.run()


if __name__ == "__main__":
    main()
