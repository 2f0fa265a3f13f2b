"""Rows that come late, days of two sources, and dry runs: told on both databases, never scored."""

import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from prometheus_client import CollectorRegistry

from batch.assembly import CLOCK
from batch.days import Days
from batch.dry_run import check
from batch.due import parse_plan
from batch.report.reporting import Wanted, make_report
from batch.scheduler import _Look, _Nights, _wait_s
from batch.work import described
from model.errors import DatabaseError, RunTaken
from runtime.settings import Settings
from runtime.stop import Stop
from runtime.telemetry import BatchMetrics
from tests.batch.watching import Nobody

if TYPE_CHECKING:
    from batch.runs import Task
    from tests.batch.conftest import Bench

Rows = Callable[..., list[tuple[Any, ...]]]
Captured = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(bench_settings: Settings) -> Settings:
    """The settings that find the bench."""
    return bench_settings


@pytest.fixture
def stop() -> Stop:
    return Stop(10.0)


def everything(bench: "Bench") -> list[Any]:
    return [bench.predictions(), bench.rejections(), bench.rows("SELECT * FROM runs")]


def test_late_rows_are_told_and_left(
    bench: "Bench", settings: Settings, stop: Stop, rows_of: Rows, day: date
) -> None:
    """Given rows that came, or went, since a day was complete, then run and report say how many."""
    bench.make_flights(count=30)
    days = Days(settings, stop)
    days.score(day, seen=Nobody())
    before = everything(bench)
    assert described(days.score(day)).endswith("30 rows scored")
    bench.fill(rows_of(day, 12, prefix="late"))

    told = described(days.score(day))
    report = make_report(settings, day, Wanted(5, lowest=False, label=None), Nobody())

    assert told.endswith("; 12 rows have come since: --again scores them")
    assert "12 rows have come since" in " ".join(each.text for each in report.findings)
    assert days.late([day, day + timedelta(days=1)]) == {day: 12}
    assert everything(bench) == before
    bench.execute("DELETE FROM flights WHERE id LIKE 'f-%'")
    assert "18 rows have gone since" in described(days.score(day))
    assert days.score(day, again=True, seen=Nobody()).run.rows_read == 12
    assert days.late([day]) == {}


def test_a_source_that_cannot_be_counted_keeps_its_day(
    bench: "Bench", settings: Settings, stop: Stop, day: date
) -> None:
    """Given a table that went, then the day is complete still, and the log says what is unknown."""
    bench.make_flights(count=10)
    days = Days(settings, stop)
    days.score(day, seen=Nobody())
    bench.execute("DROP TABLE flights")

    with structlog.testing.capture_logs() as logs:
        assert days.score(day).since == 0

    assert [each["event"] for each in logs] == ["late_rows_unknown"]


def test_rows_of_another_source_are_told(
    bench: "Bench", settings: Settings, stop: Stop, day: date
) -> None:
    """Given ids that another table has too, then run, log and report say whose answers stand."""
    bench.make_flights(count=30)
    bench.execute("CREATE TABLE others AS SELECT * FROM flights")
    first = Days(settings, stop).score(day, seen=Nobody())
    other = settings.model_copy(update={"batch": settings.batch.model_copy(update=OTHERS)})

    with structlog.testing.capture_logs() as logs:
        second = Days(other, stop).score(day, seen=Nobody())
    report = make_report(other, day, Wanted(5, lowest=False, label=None), Nobody())

    assert (first.taken, second.taken) == ((), ((first.run.task.source, 30),))
    assert "warning: 30 rows of the day had been scored from" in described(second)
    assert [each["rows"] for each in logs if each["event"] == "rows_taken_over"] == [30]
    assert (report.today.rows, report.today.scored) == (30, 30)
    assert any("counted once" in each.text for each in report.findings)


OTHERS = {"table": "others"}


def test_the_scheduler_tells_late_rows(
    bench: "Bench", settings: Settings, stop: Stop, rows_of: Rows, day: date
) -> None:
    """Given late rows of a day within the catch-up, then log and metric tell; none is scored."""
    bench.make_flights(count=20)
    back = (CLOCK.now().date() - day).days
    plan = parse_plan("00:00", "1d", "UTC")
    metrics = BatchMetrics(CollectorRegistry())
    nights = _Nights(settings, plan, stop, metrics)
    yesterday = CLOCK.now().date() - timedelta(days=1)
    bench.fill(rows_of(yesterday, 10, prefix="new"))
    assert back > 1
    assert nights._score_due() is _Look.DONE
    assert metrics.registry.get_sample_value("streamscore_batch_late_rows") == 0
    bench.fill(rows_of(yesterday, 7, prefix="late"))
    before = everything(bench)

    with structlog.testing.capture_logs() as logs:
        assert nights._score_due() is _Look.DONE

    late = [each for each in logs if each["event"] == "late_rows"]
    assert [(each["day"], each["rows"]) for each in late] == [(str(yesterday), 7)]
    assert metrics.registry.get_sample_value("streamscore_batch_late_rows") == 7
    assert everything(bench) == before


def test_a_day_that_another_holds_is_looked_at_again_soon(
    bench: "Bench", settings: Settings, stop: Stop, rows_of: Rows
) -> None:
    """Given a day that is taken, then it says so before it loads a model, and waits a second."""
    bench.make_flights(count=1)
    yesterday = CLOCK.now().date() - timedelta(days=1)
    bench.fill(rows_of(yesterday, 10))
    days = Days(settings, stop)
    wanted: Task = days._task(yesterday)
    nights = _Nights(settings, parse_plan("00:00", "0d", "UTC"), stop, _metrics())
    with bench.open_target().day(wanted, None, CLOCK.now()):  # type: ignore[arg-type] # unused
        with pytest.raises(RunTaken):
            days.score(yesterday, seen=Nobody())
        assert days._loaded is None
        assert nights._score_due() is _Look.TAKEN

    assert nights._score_due() is _Look.DONE
    waits = [_wait_s(0, taken, 0.5) for taken in range(1, 9)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert _wait_s(1, 0, 0.5) == 60


def _metrics() -> BatchMetrics:
    return BatchMetrics(CollectorRegistry())


def test_a_dry_run_says_what_a_run_would_do(
    bench: "Bench", settings: Settings, rows_of: Rows, day: date, capsys: "Captured"
) -> None:
    """Given no tables, a complete day, late rows, another version, then it says so; no write."""
    stop = Stop(10.0)
    bench.make_flights(count=10)
    check(settings, day, stop)
    said = _words(capsys)
    assert "a run would score the day" in said or "a run would make the target" in said
    Days(settings, stop).score(day, seen=Nobody())
    before = everything(bench)

    check(settings, day, stop)
    assert "the day is complete already by delay:1, and a run would leave it" in _words(capsys)
    bench.fill(rows_of(day, 3, prefix="late"))
    check(settings, day, stop)
    assert "3 rows have come since" in _words(capsys)
    newer = settings.batch.model_copy(update={"model": "delay:2"})
    check(settings.model_copy(update={"batch": newer}), day, stop)
    assert "complete by delay:1; a run would score it anew" in _words(capsys)

    assert everything(bench) == before


def _words(capsys: "Captured") -> str:
    return " ".join(capsys.readouterr().out.split())


def test_a_dry_run_refuses_a_target_that_does_not_fit(
    bench: "Bench", settings: Settings, stop: Stop, day: date
) -> None:
    """Given another table of the name, then the dry run fails as the run would."""
    bench.make_flights(count=3)
    bench.execute("CREATE TABLE runs (id integer)", on=bench.target)

    with pytest.raises(DatabaseError, match="another table 'runs'"):
        check(settings, day, stop)


def test_a_complete_day_is_told_without_a_model() -> None:
    """Given the modules that decide, then neither pandas nor scikit-learn is imported for them."""
    script = (
        "import sys, batch.command, batch.days, batch.work, batch.scheduler;"
        "print(sorted({'pandas', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True, timeout=60
    )
    assert done.stdout == b"[]\n"
