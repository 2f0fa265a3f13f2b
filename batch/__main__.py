"""A worker of `streamscore batch backfill --parallel`: batch/pool.py speaks with it."""

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import sys
from datetime import date

from threadpoolctl import threadpool_limits

from batch.work import Work, report_on
from model.errors import StreamscoreError
from runtime.lean_pandas import import_lean_pandas
from runtime.logs import configure_logging
from runtime.stop import Stop
from runtime.terminal import print_error


def main() -> int:
    """Score the days on standard input, a line each, and answer each on standard output."""
    work = Work.from_json(sys.stdin.buffer.readline())
    configure_logging(work.settings.log)
    stop = Stop(work.settings.consumer.shutdown_timeout_s, parent=os.getppid())
    stop.on_signals()
    try:
        _serve(work, stop)
    except StreamscoreError as error:
        print_error(str(error), error.hint)
        return error.exit_code
    return 0


def _serve(work: Work, stop: Stop) -> None:
    if work.engine == "plain":  # Spark's own driver works with pyarrow
        import_lean_pandas()
    from batch.days import Days  # noqa: PLC0415 - not before pandas

    again = work.again_since is not None
    with threadpool_limits(1):
        days = Days(work.settings, stop, engine=work.engine)
        for line in sys.stdin.buffer:
            if stop.requested():
                return
            report = report_on(days, date.fromisoformat(line.decode().strip()), again=again)
            sys.stdout.buffer.write(report.to_json() + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
