"""What the profile `batch` of docker-compose.yml needs: the year's flights in the source database.

Which database that is, the setting batch.source says. Does nothing that is done already, so it may
run at every start.
"""

import sys

from demo.flight_table import TABLE, fill
from demo.flights import load_flights
from runtime.settings import load_settings


def main() -> None:
    """Fill the table, and say so."""
    address = load_settings().batch.source
    if address is None:
        sys.exit("no database is given: set STREAMSCORE_BATCH__SOURCE")
    written = fill(address, load_flights)
    print(f"{written:,} rows written to {TABLE!r}" if written else f"{TABLE!r} is there already")


if __name__ == "__main__":
    main()
