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
    """What became of a day; `skipped`: it was complete already, and nothing was written.

    `since`: how many rows more (or, below 0, fewer) the source has than a skipped run has read.
    `taken`: sources whose predictions of the day the run has replaced, with how many rows.
    """

    run: Run
    skipped: bool = False
    since: int = 0
    taken: tuple[tuple[str, int], ...] = ()


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
            began = self.clock.now()  # before the source is read: it is no older than that
            with self.source.day(task.window, self.columns) as snapshot:
                progress.expect(snapshot.nulls + snapshot.rows)
                if last is not None and not last.is_complete and last.task == task:
                    rest = self._behind(writer, last, snapshot, progress)
                    if rest is not None:
                        run = writer.take_over(last, self.clock.now())
                        return Outcome(self._go_on(writer, snapshot.nulls, run, rest, progress))
                    _log.warning("source_changed", day=str(task.window.day), done=last.rows_read)
                run, rest = writer.begin(began), snapshot.chunks(self.chunk_rows)
                return Outcome(self._go_on(writer, snapshot.nulls, run, rest, progress))

    def _behind(
        self, writer: DayWriter, run: Run, snapshot: Snapshot, progress: Progress
    ) -> Chunks | None:
        """The rows behind those that a run has done; None where these are not the same now."""
        try:
            return self._compared(run, snapshot, progress)
        except StreamscoreError as error:
            self._leave(writer, replace(run, progress_at=self.clock.now()), error)
            raise

    def _compared(self, run: Run, snapshot: Snapshot, progress: Progress) -> Chunks | None:
        chunks = snapshot.chunks(self.chunk_rows)
        with_id = max(0, run.rows_read - snapshot.nulls)
        left, digest = with_id, 0
        while left and (rows := next(chunks, None)) is not None:
            done, rest = rows[:left], rows[left:]
            if rest and same_id(done[-1], rest[0]):
                break
            chunks = chain([rest], chunks) if rest else chunks
            digest = digest_of(done, digest)
            left -= len(done)
            progress.advance(len(done))
            self._heed_stop(run)
        if left or digest != run.digest:
            progress.advance(left - with_id)  # they are all to be read again
            return None
        progress.advance(run.rows_read - with_id)
        return chunks

    def _heed_stop(self, run: Run) -> None:
        if self.stopped():
            msg = f"stopped after {run.rows_read} rows of {run.task.window.day}"
            raise RunStopped(msg, hint="the next run goes on from there")

    def _go_on(
        self, writer: DayWriter, nulls: int, run: Run, rest: Chunks, progress: Progress
    ) -> Run:
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
            self._leave(writer, stamped(run), error)
            raise
        return done

    @staticmethod
    def _leave(writer: DayWriter, run: Run, error: StreamscoreError) -> None:
        state = INTERRUPTED if isinstance(error, RunStopped) else FAILED
        with suppress(DatabaseError):  # it may be what failed: the next run finds out itself
            writer.leave(replace(run, state=state), str(error))

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
