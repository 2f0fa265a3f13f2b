"""The batch demo: a database of real flights, three days of it scored, every row accounted for."""

import json
import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

import streamscore as command_line
from demo.flight_table import BROKEN_A_DAY, DAYS, SourceDay, Truth, fill, read_day, with_broken_rows
from demo.nights import Play, Step, StepFailed, demo_settings, run_step, steps
from demo.nights_audit import Night, audit, judge
from demo.processes import environment
from model.errors import DatabaseError, WrongUsage
from runtime.settings import load_settings

if TYPE_CHECKING:
    from tests.conftest import CommandLine

pytestmark = pytest.mark.timeout(600)  # it writes the year, and plays twice

TIMEOUT_S = 240
ROWS = {"2013-12-01": 979, "2013-12-02": 998, "2013-12-03": 965}


def address(file: Path) -> str:
    return f"sqlite:///{file}"


def never() -> pd.DataFrame:
    pytest.fail("the flights are loaded for nothing")


@pytest.fixture
def three_days(december_flights: pd.DataFrame) -> Callable[[], pd.DataFrame]:
    """The beginning of December: enough for the demo, and quick to write."""
    return lambda: december_flights.head(4_000)


@pytest.fixture
def source(tmp_path: Path, three_days: Callable[[], pd.DataFrame]) -> str:
    fill(address(tmp_path / "source.db"), three_days)
    return address(tmp_path / "source.db")


def test_the_whole_batch_demo(streamscore: "CommandLine", flight_store: Path) -> None:
    """One command: the year in a database, two nights, a missed one, an alert and a report."""
    play = ("demo-batch", "--store", str(flight_store), "--summary", "summary.json")
    done = streamscore(*play, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    # then each row of the days is a prediction or a rejection, and the broken ones are the latter
    days = json.loads((streamscore.folder / "summary.json").read_text())["days"]
    assert {day["day"]: day["rows"] for day in days} == ROWS
    assert [day["rejected"] for day in days] == [BROKEN_A_DAY] * 3
    assert [day["scored"] + day["rejected"] for day in days] == list(ROWS.values())
    # and the model is worth its while
    assert sum(day["mae"] for day in days) < sum(day["naive_mae"] for day in days)
    # and it was told: what is run, what is caught up, that the alert holds, where the report is
    assert "327,346 rows written" in done.stdout
    assert "$ streamscore batch run --date 2013-12-01" in done.stdout
    assert "2 of 3 days are complete already" in done.stdout
    report = streamscore.folder / ".streamscore" / "demo-report.html"
    assert str(report) in done.stdout.splitlines()[-1]
    assert "2013-12-03" in report.read_text(encoding="utf-8")
    # and once more the flights are there, and the predictions begin anew
    again = streamscore(*play, timeout=TIMEOUT_S)
    assert again.returncode == 0, again.stderr
    assert "there already" in again.stdout
    assert "2 of 3 days are complete already" in again.stdout


def environ_of(play: Play, store: Path) -> dict[str, str]:
    settings = load_settings({"store": store}, environ={}, directory=store.parent)
    return environment(demo_settings(play, settings), os.environ)


def test_the_nights_are_run_by_the_command_line(
    source: str, flight_store: Path, tmp_path: Path
) -> None:
    """The steps run and backfill do to a database what they say."""
    play = Play(source, address(tmp_path / "target.db"), tmp_path / "report.html", fresh=True)
    environ = environ_of(play, flight_store)
    said = [run_step(step, environ) for step in steps(play.report)[:3]]
    assert "974 rows scored, 5 rejected" in said[0]
    assert "2 of 3 days are complete already" in said[2]
    assert [night.wrong for night in audit(play.source, play.target)] == ["", "", ""]


def test_a_step_that_fails_ends_the_demo_with_what_it_said(tmp_path: Path) -> None:
    """No failure is passed over: neither a wrong exit code nor one that should not be 0."""
    play = Play(
        address(tmp_path / "none.db"), address(tmp_path / "t.db"), tmp_path / "r", fresh=True
    )
    environ = environ_of(play, tmp_path / "models")
    step = Step("It fails.", ("run", "--date", "2013-12-01"))
    with pytest.raises(StepFailed, match="ended with exit code") as raised:
        run_step(step, environ)
    assert "it said:\nerror: " in str(raised.value)
    with pytest.raises(StepFailed, match="exit code 0, not 3"):
        run_step(Step("It should hold.", ("--help",), 3), environ)


def test_five_rows_of_each_day_are_broken(december_flights: pd.DataFrame) -> None:
    """One without an id, one without its delay, one without its carrier, and two of one id."""
    rows = with_broken_rows(december_flights)
    assert len(rows) == len(december_flights)
    assert rows["id"].isna().sum() == len(DAYS)
    assert rows["dep_delay"].isna().sum() == len(DAYS)
    assert rows["carrier"].isna().sum() == len(DAYS)
    assert rows["id"].dropna().duplicated(keep=False).sum() == 2 * len(DAYS)


def test_the_table_is_filled_once(
    source: str, three_days: Callable[[], pd.DataFrame], tmp_path: Path
) -> None:
    """What is there stays; a start that was killed before its end left nothing, and begins anew."""
    assert fill(source, never) == 0
    with closing(sqlite3.connect(tmp_path / "source.db")) as connection:
        connection.execute("DELETE FROM flights")
        connection.commit()
    assert fill(source, three_days) == 4_000


def test_a_day_is_that_at_the_airport(source: str) -> None:
    """From midnight to midnight in New York, though the table has its times in UTC."""
    days = [read_day(source, day) for day in DAYS]
    assert [day.rows for day in days] == list(ROWS.values())
    # one row of a day has no id, and two have the same
    assert [len(day.truths) for day in days] == [rows - 2 for rows in ROWS.values()]


def test_another_table_of_that_name_is_left_alone(tmp_path: Path) -> None:
    """A database of the user's own is never written over."""
    with closing(sqlite3.connect(tmp_path / "mine.db")) as connection:
        connection.execute("CREATE TABLE flights (id TEXT, seat TEXT)")
    with pytest.raises(DatabaseError, match="has another table 'flights'") as raised:
        fill(address(tmp_path / "mine.db"), never)
    assert raised.value.hint == "name a database, or a schema, for the demo alone"


@pytest.mark.parametrize("wrong", ["flights.db", "nosuch://database", "sqlite"])
def test_an_address_that_is_none_is_wrong_usage(wrong: str) -> None:
    """It is said how one is written."""
    with pytest.raises(WrongUsage, match="address"):
        fill(wrong, never)


def test_a_database_that_is_not_there_is_told_without_its_password() -> None:
    """What cannot be reached is said in our words."""
    with pytest.raises(DatabaseError, match=r"127\.0\.0\.1") as raised:
        fill("postgresql://flights:s3cret@127.0.0.1:1/flights", never)
    assert "s3cret" not in str(raised.value)


def test_without_the_extra_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command is there without SQLAlchemy, and names the extras that bring it."""
    monkeypatch.chdir(tmp_path)
    for name in ("demo.flight_table", "demo.nights", "demo.nights_audit"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    assert command_line.run(["demo-batch"]) == 2
    assert "pip install 'streamscore[batch,demo]'" in capsys.readouterr().err


SOURCE = SourceDay(4, {"a": Truth(10.0, 12.0), "b": Truth(0.0, -4.0), "c": Truth(None, 3.0)})


def test_a_day_is_judged_by_the_truth() -> None:
    """The errors are those of the rows that were scored."""
    night = judge("2013-12-01", SOURCE, {"a": 11.0, "b": -1.0}, 2)
    assert (night.rows, night.scored, night.rejected, night.strangers) == (4, 2, 2, 0)
    assert (night.mae, night.naive_mae) == (2.0, 3.0)


@pytest.mark.parametrize(
    ("rows", "scored", "rejected", "strangers", "told"),
    [
        (100, 95, 5, 0, ""),
        (100, 94, 5, 0, "100 rows in the source, but 94 predictions and 5 rejections"),
        (100, 96, 4, 0, "4 rejections for 5 broken rows"),
        (100, 95, 5, 2, "2 predictions for rows that are not there"),
    ],
)
def test_what_does_not_add_up_is_told(
    rows: int, scored: int, rejected: int, strangers: int, told: str
) -> None:
    """A lost row, a row that should have been rejected, and a prediction for no row."""
    night = Night("2013-12-01", rows, scored, rejected, strangers, 1.0, 2.0)
    assert night.wrong == (told and f"2013-12-01: {told}")


def test_numbers_that_do_not_add_up_fail_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code tells scripts what the table tells people."""
    monkeypatch.chdir(tmp_path)
    lost = Night("2013-12-01", 979, 973, 5, 0, 1.0, 2.0)
    monkeypatch.setattr("demo.nights.play_nights", lambda *_: [lost])
    assert command_line.run(["demo-batch"]) == 1
    assert "973 predictions and 5 rejections" in capsys.readouterr().err
