"""Which days are still to be scored: by version, hours, reading of the source, and since when."""

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from batch.assembly import CLOCK
from batch.backfill import Unfinished, backfill
from batch.days import Days
from batch.work import Work
from model.errors import RunStopped
from runtime.settings import Settings
from runtime.stop import Stop

if TYPE_CHECKING:
    from tests.batch.conftest import Bench


@pytest.fixture
def settings(bench: "Bench", bench_settings: Settings) -> Settings:
    """The settings that find the bench, whose flights have a second column of times."""
    bench.make_flights(count=120)
    bench.execute(
        "ALTER TABLE flights ADD COLUMN landed timestamp",
        "UPDATE flights SET landed = at",
    )
    return changed(bench_settings, chunk_rows=50)


class Told(Stop):
    """A stop that ends no process, however long that takes."""

    def request(self, reason: str = "the end") -> None:
        """Stop."""
        self._reason = reason


@pytest.fixture
def stop() -> Stop:
    return Told(0.0)


def changed(settings: Settings, **batch: Any) -> Settings:
    return settings.model_copy(update={"batch": settings.batch.model_copy(update=batch)})


class Seen:
    """Sees when a day's source had been opened, and when its first rows had been scored."""

    def __init__(self) -> None:
        self.opened_at: datetime | None = None
        self.scored_at: datetime | None = None

    def expect(self, total: float) -> None:
        """The source is open."""
        self.opened_at = CLOCK.now()

    def advance(self, count: float = 1) -> None:
        """Rows are scored."""
        self.scored_at = self.scored_at or CLOCK.now()


@pytest.mark.parametrize(
    "change",
    [
        {"stored_time_zone": "Asia/Tokyo"},
        {"time_column": "landed"},
        {"time_zone": "America/New_York"},
    ],
    ids=str,
)
def test_another_reading_is_another_task(
    settings: Settings, stop: Stop, day: date, change: dict[str, str]
) -> None:
    """Given other times than a complete day was read by, then all but the same version find it."""
    Days(settings, stop).score(day, seen=Seen())
    other = changed(settings, **change)

    for reader in (Days(other, stop), Days(changed(other, model="delay:2"), stop)):
        assert reader.missing([day]) == [day]
        assert reader.missing([day], any_version=True) == [day]  # as the scheduler asks
    assert not Days(other, stop).score(day, seen=Seen()).skipped
    assert Days(other, stop).missing([day]) == []
    assert Days(settings, stop).missing([day], any_version=True) == [day]


def test_another_version_alone_is_no_task_of_the_scheduler(
    settings: Settings, stop: Stop, day: date
) -> None:
    """Given a day of an earlier version, then `backfill` scores it, and the scheduler leaves it."""
    Days(settings, stop).score(day, seen=Seen())
    newer = Days(changed(settings, model="delay:2"), stop)

    assert newer.missing([day]) == [day]
    assert newer.missing([day], any_version=True) == []


def test_a_run_counts_from_when_it_read(settings: Settings, stop: Stop, day: date) -> None:
    """Given a time within a run, then its day is not redone since then, but since its start."""
    days, seen, before = Days(settings, stop), Seen(), CLOCK.now()
    run = days.score(day, seen=seen).run
    assert seen.opened_at is not None
    assert seen.scored_at is not None

    assert before < run.started_at < seen.opened_at < seen.scored_at < run.progress_at
    assert days.missing([day], since=before) == []
    assert days.missing([day], since=run.started_at) == []
    assert days.missing([day], since=seen.opened_at) == [day]
    assert days.missing([day], since=seen.scored_at) == [day]


def test_a_run_that_was_gone_on_with_counts_from_its_start(
    settings: Settings, stop: Stop, day: date
) -> None:
    """Given a run that was left before the time and completed after it, then it is redone once."""
    stopping = Told(0.0)
    stopping.request()
    with pytest.raises(RunStopped):
        Days(settings, stopping).score(day, seen=Seen())
    since, days = CLOCK.now(), Days(settings, stop)
    assert days.score(day, again=True, seen=Seen()).run.attempt == 2

    assert days.missing([day], since=since) == [day]
    assert days.score(day, again=True, seen=Seen()).run.attempt == 1
    assert days.missing([day], since=since) == []


@pytest.mark.parametrize("again", [True, False])
def test_a_backfill_that_is_stopped_says_how_it_goes_on(
    settings: Settings, stop: Stop, day: date, *, again: bool
) -> None:
    """Given a stop after the first day, then the hint names the time where one is needed."""
    since = CLOCK.now() if again else None
    span = [day, day + timedelta(days=1), day + timedelta(days=2)]
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if text.startswith(str(day)):
            stop.request()

    with pytest.raises(RunStopped) as caught:
        backfill(Work(settings, since), span, 1, stop, say)

    wanted = f"go on with --again-since {since.isoformat()}" if since else "start it again to go on"
    assert caught.value.hint == wanted
    assert Days(settings, Told(0.0)).missing(span, since=since) == span[1:]
    said.clear()
    backfill(Work(settings, since), span, 1, Told(0.0), said.append)
    assert [text[:10] for text in said[-2:]] == [str(each) for each in span[1:]]


def test_a_backfill_that_failed_says_how_it_goes_on(
    bench: "Bench", settings: Settings, stop: Stop, day: date
) -> None:
    """Given an --again with a day that cannot be scored, then the hint names its time as well."""
    bench.execute("UPDATE flights SET id = 'same'")
    since = CLOCK.now()

    with pytest.raises(Unfinished) as caught:
        backfill(Work(settings, since), [day], 1, stop, lambda _: None)

    assert caught.value.hint.endswith(f"go on with --again-since {since.isoformat()}")
