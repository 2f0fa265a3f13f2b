"""Many days: those that are not complete, one after the other or in several processes."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date

from batch.days import Days
from batch.pool import in_processes
from batch.work import DayReport, Work, report_on
from model.errors import RunStopped, StreamscoreError
from runtime.stop import Stop
from runtime.terminal import progress

_SHOWN = 5  # days that an error names


class Unfinished(StreamscoreError):
    """Some of the days are not complete."""


def backfill(
    work: Work, wanted: Sequence[date], parallel: int, stop: Stop, say: Callable[[str], None]
) -> None:
    """Score the days that are not complete, in their order; `say` is told what became of each.

    A day that fails does not keep the others from being scored. Each of `parallel` processes has
    a day in hand.

    Raises:
        Unfinished: days are left over, for the reasons that were said.
        RunStopped: it was told to stop.
        StreamscoreError: nothing could be begun.

    """
    days = Days(work.settings, stop, engine=work.engine)
    again = work.again_since is not None
    since = f" since {work.again_since.isoformat()}" if work.again_since else ""
    todo = days.missing(wanted, since=work.again_since)
    if done := len(wanted) - len(todo):
        say(f"{done} of {len(wanted)} days are complete already by {days.model}{since}")
    if todo and work.again_since:
        say(f"if it is stopped, {work.go_on}")
    left = []
    with progress("backfill", len(todo), unit="days") as bar:
        if parallel > 1 and len(todo) > 1:
            reports = in_processes(work, todo, min(parallel, len(todo)), stop)
        else:
            reports = _one_by_one(days, todo, stop, again=again)
        for report in reports:
            say(report.text)
            bar.advance()
            if not report.ok:
                left.append(report.day)
    if stop.requested():
        raise RunStopped("stopped before all days were complete", hint=work.go_on)
    if left:
        shown = ", ".join(left[:_SHOWN]) + (", …" if len(left) > _SHOWN else "")
        msg = f"{len(left)} of {len(wanted)} days are not complete: {shown}"
        raise Unfinished(msg, hint=f"mend what is said of them, and {work.go_on}")


def _one_by_one(
    days: Days, todo: Sequence[date], stop: Stop, *, again: bool
) -> Iterator[DayReport]:
    if todo:
        days.prepare()
    for day in todo:
        if stop.requested():
            return
        yield report_on(days, day, again=again)
