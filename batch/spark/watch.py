"""A job of Spark under watch: how far it is, and its end when that is wanted."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from batch.job import Progress
from model.errors import RunStopped

if TYPE_CHECKING:
    from pyspark import Accumulator, SparkContext
    from pyspark.sql import DataFrame

_LOOK_S: Final = 0.2
_CANCEL_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Watch:
    """Watches the job that is called `group`; `rows_done` counts what its tasks have done."""

    context: "SparkContext"
    group: str
    rows_done: "Accumulator[int]"
    progress: Progress
    stopped: Callable[[], bool]

    def collect(self, work: "DataFrame") -> list[Any]:
        """The rows of a frame. Raises RunStopped when `stopped` says so, with the job cancelled."""
        pool = ThreadPoolExecutor(1, thread_name_prefix="spark-job")
        rows = pool.submit(self._collect, work)
        try:
            self._follow(rows)
            return rows.result()
        except BaseException:
            self._cancel(rows)
            raise
        finally:
            pool.shutdown(wait=False)

    def _collect(self, work: "DataFrame") -> list[Any]:
        # A group belongs to the thread that starts the job.
        self.context.setJobGroup(self.group, "streamscore", interruptOnCancel=True)
        return work.collect()

    def _cancel(self, rows: "Future[list[Any]]") -> None:
        from py4j.protocol import Py4JError  # noqa: PLC0415 - of an extra

        with suppress(Py4JError, OSError):  # the Java process may be what failed
            self.context.cancelJobGroup(self.group)
        wait([rows], timeout=_CANCEL_TIMEOUT_S)

    def _follow(self, rows: "Future[list[Any]]") -> None:
        told, is_done = 0, False
        while not is_done:
            is_done = bool(wait([rows], timeout=_LOOK_S).done)
            now = int(self.rows_done.value)
            self.progress.advance(now - told)
            told = now
            if not is_done and self.stopped():
                msg = "stopped before the day was complete"
                raise RunStopped(msg, hint="on Spark the next run begins the day again")
