"""Publishes some departures and waits for their predictions: all that an application needs.

    python examples/flights/publish_and_subscribe.py [--count 10]

Settings come as for every command: STREAMSCORE_BOOTSTRAP_SERVERS, streamscore.toml. The scoring
service has to run: see README.md beside this file.
"""

import argparse
import sys
from itertools import islice

from demo.flights import december_events, load_flights
from producer import Publisher
from subscriber import Subscription

IDLE_TIMEOUT_S = 30


def main() -> None:
    """Publish, then print each prediction beside the delay at departure."""
    parser = argparse.ArgumentParser(description="Publish departures, read their predictions.")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--input", default="flights", help="the topic of the events")
    parser.add_argument("--output", default="flight-delays", help="the topic of the predictions")
    given = parser.parse_args()

    departures = {
        event["id"]: event for event in islice(december_events(load_flights()), given.count)
    }
    with Publisher(given.input, key_field="flight") as events:
        for departure in departures.values():
            events.send(departure)
    print(f"{events.acknowledged} events acknowledged")

    with Subscription(given.output, idle_timeout_s=IDLE_TIMEOUT_S) as predictions:
        for prediction in predictions:
            answered = departures.pop(prediction.id, None)
            if answered is not None:
                print(
                    f"{answered['flight']} {answered['origin']}→{answered['dest']} "
                    f"left {answered['dep_delay']:+.0f} min, "
                    f"predicted {prediction.prediction:+.1f} "
                    f"(by {prediction.model}:{prediction.version})"
                )
            if not departures:
                return
    sys.exit(f"{len(departures)} events were not answered: does the scoring service run?")


if __name__ == "__main__":
    main()
