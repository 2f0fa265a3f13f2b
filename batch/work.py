"""What is to be done to each of many days, and what became of one: also between processes."""

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

import orjson

from model.errors import RunStopped, StreamscoreError
from runtime.settings import Settings

if TYPE_CHECKING:
    from batch.days import Days
    from batch.job import Outcome


@dataclass(frozen=True, slots=True)
class Work:
    """How days are scored; `again_since`: also those whose last run began before then."""

    settings: Settings
    again_since: datetime | None = None
    engine: str = "plain"

    @property
    def go_on(self) -> str:
        """What starts it again without doing anything twice, for hints."""
        if self.again_since is None:
            return "start it again to go on"
        return f"go on with --again-since {self.again_since.isoformat()}"

    def to_json(self) -> bytes:
        """For another process's standard input: it may hold secrets, which no argument should."""
        settings = self.settings.model_dump(mode="json")
        since = self.again_since
        return orjson.dumps({"settings": settings, "again_since": since, "engine": self.engine})

    @classmethod
    def from_json(cls, data: bytes) -> "Work":
        """Read what `to_json` wrote."""
        fields = orjson.loads(data)
        since = fields["again_since"]
        return cls(
            settings=Settings.model_validate(fields["settings"]),
            again_since=None if since is None else datetime.fromisoformat(since),
            engine=fields["engine"],
        )


@dataclass(frozen=True, slots=True)
class DayReport:
    """What became of a day, in words for people; `ok`: it is complete."""

    day: str
    text: str
    ok: bool

    def to_json(self) -> bytes:
        """One line."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> "DayReport":
        """Read what `to_json` wrote."""
        return cls(**orjson.loads(data))


def report_on(days: "Days", day: date, *, again: bool) -> DayReport:
    """Score a day, and say what became of it; an error is for its day alone."""
    try:
        return DayReport(str(day), described(days.score(day, again=again)), ok=True)
    except RunStopped as error:
        return DayReport(str(day), f"{day}: {error}", ok=False)
    except StreamscoreError as error:
        hint = f" ({error.hint})" if error.hint else ""
        return DayReport(str(day), f"{day}: {error}{hint}", ok=False)


def described(outcome: "Outcome") -> str:
    """One line on a day that is complete."""
    run = outcome.run
    name = f"{run.task.model}:{run.task.version}"
    if outcome.skipped:
        done = f"{run.task.window.day}: complete already by {name}, {run.rows_scored:,} rows scored"
        return f"{done}; {since(outcome.since)}" if outcome.since else done
    if not run.rows_read:
        return f"{run.task.window.day}: complete by {name}; the source has no rows of this day"
    refused = f", {run.rows_rejected:,} rejected" if run.rows_rejected else ""
    scored = f"{run.rows_scored:,} rows scored{refused}"
    taken = "".join(
        f"\nwarning: {rows:,} rows of the day had been scored from {source}: their ids are those of"
        " this source too, and its answers stand"
        for source, rows in outcome.taken
    )
    return f"{run.task.window.day}: {scored} by {name} in {run.seconds:.1f} s{taken}"


def since(rows: int) -> str:
    """What has become of a day's source since its run: so many more rows, or fewer."""
    if rows > 0:
        come = "row has" if rows == 1 else "rows have"
        return f"{rows:,} {come} come since: --again scores {'it' if rows == 1 else 'them'}"
    gone = "row has" if rows == -1 else "rows have"
    return f"{-rows:,} {gone} gone since: --again scores the day anew"
