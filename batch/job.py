"""Scores one day: reads, scores and writes a chunk at a time, from wherever the last run came to.

Decides what a day needs; how it is read is batch/snapshot.py, how it is written batch/target.py.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from batch.answers import AnswerColumns
from batch.day import Window
from batch.runs import Run, Task
from batch.snapshot import Row, Snapshot, digest_of, same_id
from batch.source import Source
from batch.tables import COMPLETE, FAILED, INTERRUPTED
from batch.target import Chunk, DayWriter, Target
from model.errors import DatabaseError, RunStopped, StreamscoreError
from model.profile import Profile, from_json, merged
from model.profiler import Profiler
from model.rejection import Rejection
from model.rows import NO_ID, decode_rows
from model.signature import Signature

if TYPE_CHECKING:
    from model.bundle import Model

_log = structlog.get_logger("streamscore.batch")

Chunks = Iterator[list[Row]]


class Progress(Protocol):
    """What is told how far a day is: a bar, or nobody."""

    def expect(self, total: float) -> None:
        """There are `total` rows in all."""

    def advance(self, count: float = 1) -> None:
        """`count` more are done."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The time, in UTC, and a timer in seconds."""

    now: Callable[[], datetime]
    timer: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a day; `skipped`: it was complete already, and nothing was written."""

    run: Run
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that scores days: made once, for as many as are wanted.

    `stopped` is asked between chunks.
    """

    source: Source
    target: Target
    model: "Model"
    columns: Sequence[str]
    chunk_rows: int
    clock: Clock
    stopped: Callable[[], bool]

    def score_day(self, task: Task, progress: Progress, *, again: bool = False) -> Outcome:
        """Score a day, or what is left of it; with `again` also one that is complete.

        Raises:
            RunTaken: another process is at it.
            RunStopped: `stopped` said so; what is done stays done.
            DatabaseError: a database failed; what is done stays done.
            SourceUnfit: the ids do not name the rows.

        """
        writer_of = AnswerColumns(self.model.signature)
        with self.target.day(task, writer_of, self.clock.now()) as writer:
            last = writer.latest()
            if last is not None and last.completes(task) and not again:
                return Outcome(last, skipped=True)
            with self.source.day(task.window, self.columns) as snapshot:
                progress.expect(snapshot.nulls + snapshot.rows)
                run, rest = self._started(writer, snapshot, task, last)
                return Outcome(self._go_on(writer, snapshot.nulls, run, rest, progress))

    def _started(
        self, writer: DayWriter, snapshot: Snapshot, task: Task, last: Run | None
    ) -> tuple[Run, Chunks]:
        """The run that scores the day, and the chunks of rows that it still has to score."""
        if last is not None and not last.is_complete and last.task == task:
            rest = self._behind(last, snapshot)
            if rest is not None:
                return writer.take_over(last, self.clock.now()), rest
            _log.warning("source_changed", day=str(task.window.day), rows_done=last.rows_read)
        return writer.begin(self.clock.now()), snapshot.chunks(self.chunk_rows)

    def _behind(self, run: Run, snapshot: Snapshot) -> Chunks | None:
        """The rows behind those that the run has done; None where these are not the same now."""
        chunks = snapshot.chunks(self.chunk_rows)
        left, digest = run.rows_read - snapshot.nulls, 0
        while left > 0:
            rows = next(chunks, None)
            if rows is None:
                return None
            done, rest = rows[:left], rows[left:]
            digest = digest_of(done, digest)
            left -= len(done)
            if rest:
                if same_id(done[-1], rest[0]):
                    return None
                chunks = chain([rest], chunks)
            self._heed_stop(run)
        return chunks if digest == run.digest else None

    def _heed_stop(self, run: Run) -> None:
        if self.stopped():
            msg = f"stopped after {run.rows_read} rows of {run.task.window.day}"
            raise RunStopped(msg, hint="the next run goes on from there")

    def _go_on(
        self, writer: DayWriter, nulls: int, run: Run, rest: Chunks, progress: Progress
    ) -> Run:
        progress.advance(run.rows_read)
        began, before = self.clock.timer(), run.seconds

        def stamped(run: Run) -> Run:
            seconds = before + self.clock.timer() - began
            return replace(run, seconds=seconds, progress_at=self.clock.now())

        try:
            for chunk, moved in self._scored(nulls, run, rest):
                now_at = stamped(moved)
                writer.write(now_at, chunk, now_at.progress_at)
                run = now_at
                progress.advance(len(chunk.ids) + len(chunk.rejected))
                self._heed_stop(run)
            done = stamped(replace(run, state=COMPLETE))
            writer.finish(done)
        except StreamscoreError as error:
            state = INTERRUPTED if isinstance(error, RunStopped) else FAILED
            with suppress(DatabaseError):  # it may be what failed: the next run finds out itself
                writer.leave(stamped(replace(run, state=state)), str(error))
            raise
        return done

    def _scored(self, nulls: int, run: Run, rest: Chunks) -> Iterator[tuple[Chunk, Run]]:
        """Each chunk, scored, and where the run stands once it is written."""
        for start in range(run.rows_read, nulls, self.chunk_rows):
            end = min(start + self.chunk_rows, nulls)
            chunk = Chunk([], None, [(n, None, NO_ID) for n in range(start + 1, end + 1)])
            run = _moved(run, chunk)
            yield chunk, run
        profiler = Profiler(self.model.signature, self.model.baseline)
        for rows in rest:
            chunk = score_rows(self.model, profiler, rows, run.rows_read)
            profile = added(run.profile, chunk.profile)
            digest = digest_of(rows, run.digest)
            run = replace(_moved(run, chunk), digest=digest, profile=profile)
            del rows  # before the next ones are read
            yield chunk, run


def score_rows(model: "Model", profiler: Profiler, rows: Sequence[Row], done: int) -> Chunk:
    """Score rows that have an id, those of one id next to each other; `done` came before them."""
    ids, *columns = _columns(rows)
    decoded = decode_rows(model.signature, ids, columns)
    scores = model.scorer.score(decoded.table)
    refused = dict(decoded.rejections)
    refused |= {int(decoded.positions[row]): why for row, why in scores.failed.items()}
    texts: list[Any] = decoded.ids
    if refused:
        texts = [decoded.ids[row] for row in decoded.positions[scores.positions].tolist()]
    rejected = [(done + row + 1, decoded.ids[row], refused[row]) for row in sorted(refused)]
    profile = profiler.count(decoded.table, scores.positions, scores.answers)
    return Chunk(texts, scores.answers, rejected, profile)


def _columns(rows: Sequence[Row]) -> list[list[Any]]:
    """Rows as columns; a quarter of what zip(*rows) takes for some thousand rows."""
    return [list(map(itemgetter(at), rows)) for at in range(len(rows[0]))]


def _moved(run: Run, chunk: Chunk) -> Run:
    return replace(
        run,
        rows_read=run.rows_read + len(chunk.ids) + len(chunk.rejected),
        rows_scored=run.rows_scored + len(chunk.ids),
        rows_rejected=run.rows_rejected + len(chunk.rejected),
    )


def added(before: object, seen: Profile | None) -> Any:  # noqa: ANN401 - JSON
    """A run's profile with what was seen since; that alone where the run has none that fits."""
    if seen is None:
        return before
    earlier = from_json(before)
    whole = None if earlier is None else merged(earlier, seen)
    return (whole or seen).to_json()


@dataclass(frozen=True, slots=True)
class Found:
    """What a day holds: its rows, and how many of them are refused for which cause."""

    rows: int
    rejected: Counter[Rejection]


def check_day(  # noqa: PLR0913, PLR0917 - what a day is read with
    source: Source,
    signature: Signature,
    columns: Sequence[str],
    window: Window,
    chunk_rows: int,
    progress: Progress,
) -> Found:
    """Read and validate a day, without scoring or writing anything. Raises as `score_day`."""
    with source.day(window, columns) as snapshot:
        progress.expect(snapshot.nulls + snapshot.rows)
        rejected = Counter({NO_ID: snapshot.nulls} if snapshot.nulls else {})
        for rows in snapshot.chunks(chunk_rows):
            ids, *values = _columns(rows)
            rejected.update(decode_rows(signature, ids, values).rejections.values())
            progress.advance(len(rows))
        return Found(snapshot.nulls + snapshot.rows, rejected)
