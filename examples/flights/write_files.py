"""Writes the demo's flights as files, for your own tries with the command line.

    python examples/flights/write_files.py [FOLDER]

flights-training.csv     January to September with the arrival delays: what `train` learns from
flights-december.ndjson  December's departures as events: what `produce` publishes
flights-december.csv     the same as a table, with the arrival delays: the truth to compare with
"""

import argparse
from pathlib import Path

from demo.flights import FEATURES, TARGET, december, december_events, load_flights, training
from model.event import encode_event


def main() -> None:
    """Write the three files and say where."""
    parser = argparse.ArgumentParser(description="Write the demo's flights as CSV and NDJSON.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("flights"))
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    flights = load_flights()

    columns = ["sched_dep", *FEATURES, TARGET]
    training(flights)[columns].to_csv(folder / "flights-training.csv", index=False)
    december(flights)[["id", *columns]].to_csv(folder / "flights-december.csv", index=False)
    with (folder / "flights-december.ndjson").open("wb") as events:
        events.writelines(encode_event(event) + b"\n" for event in december_events(flights))

    for file in sorted(folder.iterdir()):
        print(f"{file}  {file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
