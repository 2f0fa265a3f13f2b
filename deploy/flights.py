"""What `docker compose up` needs of the flights: the model in the store, and events in a file.

usage: flights.py EVENTS.ndjson. Does nothing that is done already, so it may run at every start.
"""

import sys
from pathlib import Path

from demo.flights import MODEL, december_events, load_flights
from demo.training import is_trained, train
from model.event import encode_event
from runtime.settings import load_settings


def main(target: str) -> None:
    """Train and bundle, then write the events; the file appears only once it is complete."""
    settings = load_settings()
    events = Path(target)
    if is_trained(settings) and events.exists():
        print(f"{MODEL} and {events} are there already")
        return
    flights = load_flights()
    if not is_trained(settings):
        print(f"{train(settings, flights)} is in {settings.store}")
    partial = events.with_suffix(".partial")
    with partial.open("wb") as file:
        file.writelines(encode_event(event) + b"\n" for event in december_events(flights))
    partial.replace(events)
    print(f"December's departures are in {events}")


if __name__ == "__main__":
    main(sys.argv[1])
