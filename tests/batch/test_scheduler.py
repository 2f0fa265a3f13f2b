"""`streamscore batch schedule`: no day is missed, none is scored twice, and it stops in order."""

import json
import signal
import socket
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import sqlalchemy as sa

from demo.flights import EVENT_FIELDS, december, load_flights
from tests.batch.watching import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from tests.conftest import CommandLine

ROWS = 40


@pytest.fixture
def settings(flight_store: Path, tmp_path: Path) -> dict[str, str]:
    """A source with rows for each of the last five days; nothing is scored yet."""
    flights = december(load_flights())[list(EVENT_FIELDS)].head(5 * ROWS).copy()
    flights["id"] = [f"flight-{number}" for number in range(len(flights))]
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days_ago = [1 + number // ROWS for number in range(len(flights))]
    times = [midnight - timedelta(days=ago) + timedelta(hours=12) for ago in days_ago]
    flights["departs"] = pd.Series(times, index=flights.index).dt.tz_localize(None)
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'flights.db'}")
    with engine.begin() as connection:
        flights.drop(columns="sched_dep").to_sql(
            "flights", connection, index=False, dtype={"departs": sa.DateTime}
        )
    engine.dispose()
    return {
        "STREAMSCORE_STORE": str(flight_store),
        "STREAMSCORE_BATCH__SOURCE": f"sqlite:///{tmp_path / 'flights.db'}",
        "STREAMSCORE_BATCH__TABLE": "flights",
        "STREAMSCORE_BATCH__TIME_COLUMN": "departs",
        "STREAMSCORE_BATCH__MODEL": "flight-delay@champion",
        "STREAMSCORE_BATCH__TARGET": f"sqlite:///{tmp_path / 'predictions.db'}",
    }


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def ask(port: int, path: str) -> tuple[int, str]:
    """An answer of its health port; (0, "") while there is none."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


def runs(settings: dict[str, str]) -> list[tuple[Any, ...]]:
    """Day, state and rows of each run, by day."""
    file = settings["STREAMSCORE_BATCH__TARGET"].removeprefix("sqlite:///")
    query = "SELECT scored_for, state, rows_scored FROM runs ORDER BY scored_for"
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


def last_days(count: int) -> list[str]:
    today = datetime.now(UTC).date()
    return [str(today - timedelta(days=back)) for back in range(count, 0, -1)]


def test_missed_days_are_made_up_for_and_it_stops_in_order(
    streamscore: "CommandLine", settings: dict[str, str]
) -> None:
    """Started late it scores what is due, tells so on its port, and ends within the deadline."""
    port = free_port()
    arguments = ("batch", "schedule", "--at", "00:00", "--catch-up", "3d")
    running = streamscore.start(*arguments, "--health-port", str(port), env=settings)
    complete = 'streamscore_batch_days_total{result="complete"} 4.0'
    wait_until(lambda: complete in ask(port, "/metrics")[1], "four days are complete")
    wait_until(lambda: ask(port, "/readyz") == (200, '{"ok": true}\n'), "it is ready")
    assert ask(port, "/livez")[0] == 200
    metrics = ask(port, "/metrics")[1]
    assert "streamscore_batch_missing_days 0.0" in metrics
    assert f'streamscore_batch_rows_total{{result="predicted"}} {4 * ROWS}.0' in metrics
    running.send_signal(signal.SIGTERM)
    assert running.wait(DEADLINE_S) == 0
    assert runs(settings) == [(day, "complete", ROWS) for day in last_days(4)]


def test_a_day_that_any_version_has_scored_is_not_missing(
    streamscore: "CommandLine", settings: dict[str, str]
) -> None:
    """What `batch run` did is left as it is; the rest is scored."""
    first, *_ = last_days(2)
    assert streamscore("batch", "run", "--date", first, env=settings).returncode == 0
    port = free_port()
    arguments = ("batch", "schedule", "--at", "00:00", "--catch-up", "1")
    streamscore.start(*arguments, "--health-port", str(port), env=settings)
    wait_until(
        lambda: (
            "missing_days 0.0" in ask(port, "/metrics")[1]
            and len(runs(settings)) == 2
            and runs(settings)[-1][1] == "complete"
        ),
        "yesterday is complete",
    )
    assert [run[0] for run in runs(settings)] == last_days(2)


def test_two_schedulers_never_score_a_day_twice(
    streamscore: "CommandLine", settings: dict[str, str]
) -> None:
    """Started together on one database: each day has one run, which is complete."""
    ports = [free_port(), free_port()]
    env = {**settings, "STREAMSCORE_BATCH__CHUNK_ROWS": "1"}
    for port in ports:
        arguments = ("batch", "schedule", "--at", "00:00", "--catch-up", "4d")
        streamscore.start(*arguments, "--health-port", str(port), env=env)
    wait_until(
        lambda: (
            ask(ports[0], "/readyz")[0] == ask(ports[1], "/readyz")[0] == 200
            and [run[1] for run in runs(settings)] == ["complete"] * 5
        ),
        "all days are complete",
    )
    assert runs(settings) == [(day, "complete", ROWS) for day in last_days(5)]


def test_what_can_never_work_ends_it_at_once(
    streamscore: "CommandLine", settings: dict[str, str]
) -> None:
    """A table that is not there is no reason to wait for the night."""
    env = {**settings, "STREAMSCORE_BATCH__TABLE": "flihgts"}
    done = streamscore("batch", "schedule", "--health-port", str(free_port()), env=env)
    assert done.returncode == 2
    assert "did you mean 'flights'?" in done.stderr


def test_a_source_that_goes_away_is_told_and_waited_for(
    streamscore: "CommandLine", settings: dict[str, str], tmp_path: Path
) -> None:
    """The days that cannot be scored are logged as failed and stay missing; it stays alive."""
    with closing(sqlite3.connect(tmp_path / "flights.db")) as connection, connection:
        connection.execute("UPDATE flights SET id = 'same'")
    port = free_port()
    env = {**settings, "STREAMSCORE_BATCH__CHUNK_ROWS": "5"}
    arguments = ("batch", "schedule", "--at", "00:00", "--catch-up", "0d")
    running = streamscore.start(*arguments, "--health-port", str(port), env=env)
    failed = 'streamscore_batch_days_total{result="failed"} 1.0'
    wait_until(lambda: failed in ask(port, "/metrics")[1], "the day has failed")
    assert "streamscore_batch_missing_days 1.0" in ask(port, "/metrics")[1]
    assert ask(port, "/livez")[0] == 200
    running.terminate()
    _, said = running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 0
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert "day_failed" in [event["event"] for event in events]
