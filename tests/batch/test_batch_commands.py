"""`streamscore batch run` and `backfill`, as their users call them, on SQLite."""

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import sqlalchemy as sa

from demo.flights import EVENT_FIELDS, december, load_flights
from tests.batch.watching import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from tests.conftest import CommandLine

DAYS = ("2013-12-01", "2013-12-02", "2013-12-03", "2013-12-04")


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    """Four days of December, 60 flights each, with the day as a column of text."""
    frame = december(load_flights())[[*EVENT_FIELDS, "arr_delay"]].copy()
    frame["departs"] = frame.pop("sched_dep").dt.tz_localize(None)
    frame["day"] = frame["departs"].dt.strftime("%Y-%m-%d")
    return frame[frame["day"].isin(DAYS)].groupby("day").head(60).reset_index(drop=True)


@pytest.fixture
def source(flights: pd.DataFrame, tmp_path: Path) -> str:
    """A database with the table `flights`, one of whose rows of the third day is broken."""
    file = tmp_path / "flights.db"
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        types = {"departs": sa.DateTime, "id": sa.Text}
        flights.to_sql("flights", connection, index=False, dtype=types)
        broken = flights.loc[flights["day"] == DAYS[2], "id"].min()
        connection.exec_driver_sql("UPDATE flights SET carrier = NULL WHERE id = ?", (broken,))
    engine.dispose()
    return f"sqlite:///{file}"


@pytest.fixture
def settings(source: str, flight_store: Path, tmp_path: Path) -> dict[str, str]:
    """What a team would have in its environment."""
    return {
        "STREAMSCORE_STORE": str(flight_store),
        "STREAMSCORE_BATCH__SOURCE": source,
        "STREAMSCORE_BATCH__TABLE": "flights",
        "STREAMSCORE_BATCH__TIME_COLUMN": "departs",
        "STREAMSCORE_BATCH__MODEL": "flight-delay@champion",
        "STREAMSCORE_BATCH__TARGET": f"sqlite:///{tmp_path / 'predictions.db'}",
    }


def read(settings: dict[str, str], query: str) -> list[tuple[Any, ...]]:
    """Rows of the predictions database."""
    file = settings["STREAMSCORE_BATCH__TARGET"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


def counts(settings: dict[str, str]) -> dict[str, int]:
    """Predictions by day."""
    query = "SELECT scored_for, count(*) FROM predictions GROUP BY scored_for"
    return dict(read(settings, query))


class TestRun:
    def test_a_day_is_scored_once(
        self, streamscore: "CommandLine", settings: dict[str, str]
    ) -> None:
        """It is scored, and said so; a second start finds it complete and writes nothing."""
        first = streamscore("batch", "run", "--date", DAYS[0], env=settings)
        assert (first.returncode, first.stderr) == (0, "")
        assert re.fullmatch(
            r"2013-12-01: 60 rows scored by flight-delay:1 in \d+\.\d s\n", first.stdout
        )
        before = read(settings, "SELECT * FROM runs")
        second = streamscore("batch", "run", "--date", DAYS[0], env=settings)
        assert second.stdout == "2013-12-01: complete already by flight-delay:1, 60 rows scored\n"
        assert read(settings, "SELECT * FROM runs") == before

    def test_again_scores_it_again(
        self, streamscore: "CommandLine", settings: dict[str, str]
    ) -> None:
        """With --again the day is written anew, and no row of the first run is left."""
        streamscore("batch", "run", "--date", DAYS[0], env=settings)
        again = streamscore("batch", "run", "--date", DAYS[0], "--again", env=settings)
        assert again.returncode == 0
        assert counts(settings) == {DAYS[0]: 60}
        assert read(settings, "SELECT count(DISTINCT run_id) FROM predictions") == [(1,)]
        assert read(settings, "SELECT count(*) FROM runs WHERE state = 'complete'") == [(2,)]

    def test_a_row_that_does_not_fit_is_rejected_alone(
        self, streamscore: "CommandLine", settings: dict[str, str]
    ) -> None:
        """Its neighbours are scored, and the cause names the column."""
        done = streamscore("batch", "run", "--date", DAYS[2], env=settings)
        assert "59 rows scored, 1 rejected" in done.stdout
        rows = read(settings, "SELECT code, message, scored_for FROM rejections")
        assert [(code, day) for code, _, day in rows] == [("null_not_allowed", DAYS[2])]
        assert "'carrier' is NULL" in rows[0][1]

    def test_a_dry_run_writes_nothing(
        self, streamscore: "CommandLine", settings: dict[str, str]
    ) -> None:
        """It counts, tells the causes, and leaves no database behind."""
        done = streamscore("batch", "run", "--date", DAYS[2], "--dry-run", env=settings)
        assert done.returncode == 0
        assert "60 rows, 59 that flight-delay:1 takes, 1 that it does not" in done.stdout
        assert "null_not_allowed" in done.stdout
        assert not Path(settings["STREAMSCORE_BATCH__TARGET"].removeprefix("sqlite:///")).exists()

    def test_a_query_stands_for_a_table(
        self, streamscore: "CommandLine", settings: dict[str, str], tmp_path: Path
    ) -> None:
        """A SELECT in a file is read instead; what looks like a parameter in it is none."""
        query = tmp_path / "evening.sql"
        query.write_text("-- late\nSELECT *, ':x 100%' AS note FROM flights WHERE dep_delay > 0;\n")
        late = {**settings, "STREAMSCORE_BATCH__TABLE": "", "STREAMSCORE_BATCH__QUERY": str(query)}
        done = streamscore("batch", "run", "--date", DAYS[0], env=late)
        assert done.returncode == 0, done.stderr
        assert 0 < counts(settings)[DAYS[0]] < 60

    def test_a_day_without_rows_is_complete(
        self, streamscore: "CommandLine", settings: dict[str, str]
    ) -> None:
        """It says so; yesterday is the default."""
        done = streamscore("batch", "run", env=settings)
        assert done.returncode == 0
        assert "the source has no rows of this day" in done.stdout
        assert read(settings, "SELECT state, rows_read FROM runs") == [("complete", 0)]

    @pytest.mark.parametrize(
        ("arguments", "status", "said"),
        [
            (["--table", "flihgts"], 2, "did you mean 'flights'?"),
            (["--id-column", "idd"], 2, "has no column 'idd'"),
            (["--time-column", "departure"], 2, "did you mean 'departs'?"),
            (["--time-column", "distance"], 2, "the time column 'distance' cannot be used"),
            (["--model", "flight-dealy"], 1, "did you mean 'flight-delay'?"),
            (["--model", "flight-delay:7"], 1, "has no version '7'"),
            (["--date", "31.12.2013"], 2, "write it as 2013-12-31"),
            (["--date", "2999-01-01"], 2, "is not over yet in UTC"),
            (["--source", "sqlite:///nowhere.db"], 2, "there is no database nowhere.db"),
            (["--source", "mysql+nothing://u:s3cr3t@h/d"], 2, "cannot be used"),
            (["--source", "nonsense"], 2, "cannot be read"),
            (["--source", "postgresql://u:p@s3cr3t@h/d"], 2, "write an @"),
            (["--target", "sqlite:////nowhere/p.db"], 2, "there is no folder /nowhere"),
            (["--target", "sqlite:////dev/full"], 1, "sqlite:////dev/full"),
            (["--query", "nothing.sql"], 2, "either a table or a query"),
        ],
    )
    def test_what_is_wrong_is_said_and_how_to_mend_it(
        self,
        arguments: list[str],
        status: int,
        said: str,
        streamscore: "CommandLine",
        settings: dict[str, str],
    ) -> None:
        """One error without a traceback or a secret, an exit status, and nothing written."""
        done = streamscore("batch", "run", "--date", DAYS[0], *arguments, env=settings)
        assert done.returncode == status, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert "s3cr3t" not in done.stderr

    def test_a_database_that_does_not_answer_is_told_in_time(
        self, streamscore: "CommandLine", settings: dict[str, str]
    ) -> None:
        """After the attempts that are set; the password is nowhere."""
        env = {**settings, "STREAMSCORE_BATCH__RETRY_ATTEMPTS": "2"}
        address = "postgresql://u:s3cr3t@127.0.0.1:1/flights"
        done = streamscore("batch", "run", "--source", address, env=env)
        assert done.returncode == 1
        assert "postgresql://127.0.0.1:1/flights" in done.stderr
        assert "s3cr3t" not in done.stderr + done.stdout


class TestBackfill:
    def test_days_that_are_complete_are_left_out(
        self, streamscore: "CommandLine", settings: dict[str, str]
    ) -> None:
        """Day after day is scored; of a second backfill nothing is left to do."""
        streamscore("batch", "run", "--date", DAYS[1], env=settings)
        span = ("batch", "backfill", "--from", DAYS[0], "--to", DAYS[3])
        first = streamscore(*span, env=settings)
        assert first.returncode == 0, first.stderr
        lines = first.stdout.splitlines()
        assert lines[0] == "1 of 4 days are complete already by flight-delay:1"
        assert [line[:10] for line in lines[1:]] == [DAYS[0], DAYS[2], DAYS[3]]
        assert counts(settings) == dict(zip(DAYS, (60, 60, 59, 60), strict=True))
        second = streamscore(*span, env=settings)
        assert second.stdout == "4 of 4 days are complete already by flight-delay:1\n"

    def test_several_processes_share_the_days(
        self, streamscore: "CommandLine", settings: dict[str, str]
    ) -> None:
        """All days are scored, each once; with --again also those that were complete."""
        span = ("batch", "backfill", "--from", DAYS[0], "--to", DAYS[3], "--parallel", "2")
        done = streamscore(*span, env=settings)
        assert done.returncode == 0, done.stderr
        again = streamscore(*span, "--again", env=settings)
        assert again.returncode == 0, again.stderr
        hint, *said = again.stdout.splitlines()
        for lines in (done.stdout.splitlines(), said):
            assert sorted(line[:10] for line in lines) == list(DAYS)
        assert hint.startswith("if it is stopped, go on with --again-since ")
        assert counts(settings) == dict(zip(DAYS, (60, 60, 59, 60), strict=True))
        assert read(settings, "SELECT count(DISTINCT run_id) FROM predictions") == [(4,)]

    def test_an_again_that_was_stopped_goes_on(
        self, streamscore: "CommandLine", settings: dict[str, str]
    ) -> None:
        """Given the time that --again named, then only days completed before it are scored."""
        span = ("batch", "backfill", "--from", DAYS[0], "--to", DAYS[3])
        streamscore(*span, env=settings)
        since = datetime.now(UTC).isoformat()
        first = streamscore("batch", "run", "--date", DAYS[1], "--again", env=settings)
        assert first.returncode == 0, first.stderr

        rest = streamscore(*span, "--again-since", since, env=settings)

        done, hint, *days = rest.stdout.splitlines()
        assert done == f"1 of 4 days are complete already by flight-delay:1 since {since}"
        assert hint == f"if it is stopped, go on with --again-since {since}"
        assert [line[:10] for line in days] == [DAYS[0], DAYS[2], DAYS[3]]
        wrong = streamscore(*span, "--again-since", "yesterday", env=settings)
        assert (wrong.returncode, "is no time" in wrong.stderr) == (2, True)

    @pytest.mark.parametrize("parallel", ["1", "2"])
    def test_a_day_that_fails_does_not_keep_the_others(
        self, parallel: str, streamscore: "CommandLine", settings: dict[str, str], tmp_path: Path
    ) -> None:
        """It is named at the end, with an exit status of its own; a rerun makes up for it."""
        with closing(sqlite3.connect(tmp_path / "flights.db")) as connection, connection:
            connection.execute("CREATE TABLE good AS SELECT * FROM flights")
            same = "UPDATE flights SET id = 'same' WHERE day = ?"
            connection.execute(same, (DAYS[1],))
        env = {**settings, "STREAMSCORE_BATCH__CHUNK_ROWS": "20"}
        span = ("batch", "backfill", "--from", DAYS[0], "--to", DAYS[3], "--parallel", parallel)
        done = streamscore(*span, env=env)
        assert done.returncode == 1
        assert f"1 of 4 days are not complete: {DAYS[1]}" in done.stderr
        assert "rows of the day have the same id" in done.stdout
        assert sorted(counts(settings)) == [DAYS[0], DAYS[2], DAYS[3]]

    @pytest.mark.parametrize("parallel", ["1", "2"])
    def test_killed_it_goes_on_where_it_stood(
        self, parallel: str, streamscore: "CommandLine", settings: dict[str, str]
    ) -> None:
        """SIGKILL once the first day is there: the rest is done by the next start."""
        env = {**settings, "STREAMSCORE_BATCH__CHUNK_ROWS": "1"}
        span = ("batch", "backfill", "--from", DAYS[0], "--to", DAYS[3], "--parallel", parallel)
        running = streamscore.start(*span, env=env)
        target = Path(settings["STREAMSCORE_BATCH__TARGET"].removeprefix("sqlite:///"))
        wait_until(lambda: target.exists() and _has_rows(target), "a day is there")
        running.kill()
        running.wait(DEADLINE_S)
        done = streamscore(*span, env=env)
        assert done.returncode == 0, done.stderr + done.stdout
        assert counts(settings) == dict(zip(DAYS, (60, 60, 59, 60), strict=True))
        assert read(settings, "SELECT DISTINCT state FROM runs") == [("complete",)]

    def test_a_span_that_goes_backwards_is_refused(
        self, streamscore: "CommandLine", settings: dict[str, str]
    ) -> None:
        """And named."""
        done = streamscore("batch", "backfill", "--from", DAYS[1], "--to", DAYS[0], env=settings)
        assert done.returncode == 2
        assert "2013-12-02 is after 2013-12-01" in done.stderr


def _has_rows(file: Path) -> bool:
    with closing(sqlite3.connect(file)) as connection:
        try:
            return bool(connection.execute("SELECT count(*) FROM predictions").fetchone()[0])
        except sqlite3.OperationalError:
            return False  # not created yet
