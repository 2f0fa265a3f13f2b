"""A day scored on Apache Spark: the same tables and the same answers as by batch/job.py.

The driver cuts the day into parts that Spark's executors read, score and stage on their own, all
of one state of the source. When all are staged, one transaction shows them. A run that is killed
leaves only staged rows, which nobody reads and the next run drops.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batch.answers import AnswerColumns
from batch.assembly import CLOCK
from batch.job import Clock, Outcome, Progress
from batch.runs import Run, Task
from batch.source import Selected, Source
from batch.spark.address import Address
from batch.spark.errors import spark_errors
from batch.spark.plan import count, plan
from batch.spark.session import open_session, require_spark, without_warnings
from batch.spark.staging import Staging, sweep
from batch.spark.task import DONE, PartTask, ShippedBundle
from batch.spark.watch import Watch
from batch.tables import COMPLETE, FAILED, INTERRUPTED
from batch.target import DayWriter, Target
from model.bundle import Model
from model.errors import DatabaseError, RunStopped, StreamscoreError, WrongUsage
from runtime.settings import Settings

if TYPE_CHECKING:
    from pyspark import Accumulator
    from pyspark.sql import DataFrame, SparkSession


def spark_job(
    settings: Settings,
    source: Source,
    target: Target,
    model: Model,
    stopped: Callable[[], bool],
) -> "SparkJob":
    """What scores days on Spark, which starts with the first of them and ends with this process.

    Raises:
        WrongUsage: one of the databases is no PostgreSQL.
        SettingsError: pyspark is not installed.
        SourceUnfit: the source does not fit the model.

    """
    for what, dialect in (("source", source.dialect), ("target", target.database.dialect)):
        if dialect != "postgresql":
            msg = f"--engine spark reads and writes PostgreSQL; the {what} is {dialect}"
            raise WrongUsage(msg, hint="leave --engine out: one process scores any database")
    require_spark()
    columns = source.features(model.signature)
    return SparkJob(settings, source, target, model, columns, CLOCK, stopped)


@dataclass(frozen=True, slots=True)
class SparkJob:
    """Everything that scores days on Spark; `stopped` is asked while it works."""

    settings: Settings
    source: Source
    target: Target
    model: Model
    columns: Sequence[str]
    clock: Clock
    stopped: Callable[[], bool]

    def score_day(self, task: Task, progress: Progress, *, again: bool = False) -> Outcome:
        """Score a day as a whole; with `again` also one that is complete.

        Raises:
            RunTaken: another process is at it.
            RunStopped: `stopped` said so; nothing of the day was written.
            DatabaseError: a database failed; nothing was written.
            SparkError: Spark did not start, or a task of it failed; nothing was written.
            SourceUnfit: the ids do not name the rows.

        """
        writer_of = AnswerColumns(self.model.signature)
        with self.target.day(task, writer_of, self.clock.now()) as writer:
            last = writer.latest()
            if last is not None and last.completes(task) and not again:
                return Outcome(last, skipped=True)
            session = open_session(self.settings.batch)
            began = self.clock.now()  # before the source is read: it is no older than that
            with self.source.selected(task.window) as day:
                run = writer.begin(began)
                return Outcome(self._complete(session, writer, day, run, progress))

    def _complete(
        self,
        session: "SparkSession",
        writer: DayWriter,
        day: Selected,
        run: Run,
        progress: Progress,
    ) -> Run:
        began = self.clock.timer()

        def stamped(run: Run) -> Run:
            return replace(run, seconds=self.clock.timer() - began, progress_at=self.clock.now())

        staging, database = Staging.of(run), self.target.database
        try:
            sweep(database, run)
            try:
                staged, nulls = self._staged(session, day, run, staging, progress)
                done = stamped(replace(staged, state=COMPLETE))
                writer.finish(done, lambda to: staging.bring(to, done, nulls, done.progress_at))
            finally:
                staging.drop(database)
        except StreamscoreError as error:
            state = INTERRUPTED if isinstance(error, RunStopped) else FAILED
            with suppress(DatabaseError):  # it may be what failed: the next run finds out itself
                writer.leave(stamped(replace(run, state=state)), str(error))
            raise
        return done

    def _staged(
        self, session: "SparkSession", day: Selected, run: Run, staging: Staging, progress: Progress
    ) -> tuple[Run, int]:
        """The run as it is once all rows that have an id are staged, and how many have none."""
        counted = count(day)
        progress.expect(counted.nulls + counted.rows)
        progress.advance(counted.nulls)
        with self.target.database.connect() as connection, connection.begin():
            staging.create(connection)
            target = Address.of(connection)
        read, scored = 0, 0
        if counted.rows:
            with spark_errors(self.source.address):
                context = session.sparkContext
                rows_done = context.accumulator(0)
                work = self._task(session, day, counted.rows, staging, target, rows_done)
                watch = Watch(context, run.run_id, rows_done, progress, self.stopped)
                parts = watch.collect(work)
            read = sum(part["read"] for part in parts)
            scored = sum(part["scored"] for part in parts)
        if read != counted.rows:
            raise DatabaseError(f"{read} rows came of {counted.rows}", hint="run it again")
        everything, refused = counted.nulls + read, counted.nulls + read - scored
        with self.target.database.connect() as connection:
            profile = staging.profile(connection)
        moved = replace(
            run,
            rows_read=everything,
            rows_scored=scored,
            rows_rejected=refused,
            profile=profile,
        )
        return moved, counted.nulls

    def _task(  # noqa: PLR0913, PLR0917 - all that a task needs
        self,
        session: "SparkSession",
        day: Selected,
        rows: int,
        staging: Staging,
        target: Address,
        rows_done: "Accumulator[int]",
    ) -> "DataFrame":
        """What is to be computed: a row for each part, with the staging as its effect."""
        chunk_rows = self.settings.batch.chunk_rows
        parts = plan(day, self.columns, rows, session.sparkContext.defaultParallelism)
        source = Address.of(day.connection)
        frame = session.read.jdbc(
            source.jdbc_url(),
            f"({parts.query}) day",
            predicates=parts.predicates(),
            properties={
                **source.jdbc_properties(),
                "fetchsize": str(chunk_rows),
                "sessionInitStatement": parts.session_start(),
            },
        )
        work = PartTask(
            bundle=_shipped(session, self.model, self.settings),
            types=parts.types,
            chunk_rows=chunk_rows,
            staging=staging,
            name=self.target.database.name,
            target=target.parameters,
            rows_done=rows_done,
        )
        with without_warnings():
            return frame.mapInPandas(work, DONE)


def _shipped(session: "SparkSession", model: Model, settings: Settings) -> ShippedBundle:
    files = {
        path.name: path.read_bytes() for path in sorted(model.path.iterdir()) if path.is_file()
    }
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return ShippedBundle(
        digest=digest.hexdigest(),
        allowed_types=settings.model.allowed_types,
        engine=settings.model.engine,
        files=session.sparkContext.broadcast(files),
    )
