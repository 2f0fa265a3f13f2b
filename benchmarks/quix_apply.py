"""Quix Streams, one event at a time: `sdf.apply` with the model in it.

    .bench/quix/bin/python quix_apply.py < job.json

As its documentation shows it: JSON in and out, at least once, native threads at their default. It
runs in a virtualenv of its own and knows nothing of Streamscore.
"""

import json
import sys
from typing import Any

import joblib
import pandas as pd
from quixstreams import Application, message_context


def main() -> None:
    """Answer events until SIGTERM."""
    job = json.load(sys.stdin)
    model = joblib.load(job["model"])
    features = job["features"]

    def answer(event: dict[str, Any]) -> dict[str, Any]:
        prediction = model.predict(pd.DataFrame([event])[features])[0].item()
        context = message_context()
        source = {"partition": context.partition, "offset": context.offset}
        return {"id": event["id"], "prediction": prediction, "source": source}

    app = Application(
        broker_address=job["bootstrap_servers"],
        consumer_group=job["group"],
        auto_offset_reset="earliest",
        auto_create_topics=False,
        loglevel="WARNING",
    )
    events = app.topic(job["input"], value_deserializer="json", key_deserializer="bytes")
    answers = app.topic(job["output"], value_serializer="json", key_serializer="bytes")
    app.dataframe(events).apply(answer).to_topic(answers)
    print('{"event": "worker_started"}', file=sys.stderr, flush=True)
    app.run()


if __name__ == "__main__":
    main()
