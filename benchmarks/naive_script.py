"""The script that everyone writes first: poll, a DataFrame of one row, predict, produce.

    python naive_script.py < job.json

Offsets are committed automatically, native threads are left at their default. It knows nothing of
Streamscore. `source` is in its answers so that they can be checked.
"""

import json
import signal
import sys
from collections.abc import Iterator

import joblib
import pandas as pd
from confluent_kafka import Consumer, Message, Producer


def main() -> None:
    """Answer events one at a time, until SIGTERM."""
    job = json.load(sys.stdin)
    model = joblib.load(job["model"])
    producer = Producer({"bootstrap.servers": job["bootstrap_servers"]})
    consumer = Consumer(
        {
            "bootstrap.servers": job["bootstrap_servers"],
            "group.id": job["group"],
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([job["input"]])
    print('{"event": "worker_started"}', file=sys.stderr, flush=True)
    for message in messages(consumer):
        event = json.loads(message.value() or b"")
        prediction = model.predict(pd.DataFrame([event])[job["features"]])[0].item()
        source = {"partition": message.partition(), "offset": message.offset()}
        answer = {"id": event["id"], "prediction": prediction, "source": source}
        producer.produce(job["output"], key=message.key(), value=json.dumps(answer))
        producer.poll(0)
    consumer.close()
    producer.flush(10)


def messages(consumer: Consumer) -> Iterator[Message]:
    """Yield what comes, until SIGTERM."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    while not stopped:
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error():
            sys.exit(str(message.error()))
        yield message


if __name__ == "__main__":
    main()
