"""Types that PostgreSQL lets its users make: what they hold is text to a model, and to an id."""

from datetime import date
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import psycopg

from batch.database import Database
from batch.day import window
from batch.source import Query, Source

if TYPE_CHECKING:
    from tests.batch.conftest import Postgres

UTC = ZoneInfo("UTC")


def test_enumerations_and_domains_are_read_as_text(postgres: "Postgres") -> None:
    """Numbers come in binary form; that of a type which the driver does not know is its text."""
    with psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
        connection.execute("CREATE DOMAIN short AS varchar(5)")
        connection.execute(
            "CREATE TABLE rated (id mood PRIMARY KEY, at timestamptz, mood mood, name short,"
            " price numeric(5, 2), weight float8)"
        )
        connection.execute(
            "INSERT INTO rated VALUES ('sad', '2013-12-01 12:00+00', 'glad', 'ä', 1.25, 0.1),"
            " ('glad', '2013-12-01 13:00+00', NULL, NULL, NULL, 'NaN')"
        )
    source = Source(Database(postgres.url), Query("rated", None, "id", "at", UTC))
    day = window(date(2013, 12, 1), UTC)
    with source.day(day, ["mood", "name", "weight"]) as snapshot:
        rows = [tuple(row) for chunk in snapshot.chunks(10) for row in chunk]
    first, second = sorted(rows, key=lambda row: str(row[0]))
    assert second == ("sad", "glad", "ä", 0.1)
    assert first[:3] == ("glad", None, None)
