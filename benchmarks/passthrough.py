"""The limit: the scoring worker with decode, score and encode left out.

    python -m benchmarks.passthrough < job.json

Everything else is the worker's own: the loop, the source, the sink of either guarantee, the
settings, the signals, the probes. It loads the model too, so that the two processes differ in what
they do with a batch and in nothing else. The job comes on standard input, as a supervised worker's.
"""

import os

# As `streamscore consume` does, and before numpy is imported: one native thread.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumer.pipeline import Target, by_partition
from consumer.records import Batch, Outgoing, Stages, Tally
from consumer.worker import Job, load_model, run_worker
from runtime.logs import configure_logging
from runtime.stop import Stop

if TYPE_CHECKING:
    from model import Model


@dataclass(frozen=True, slots=True)
class PassThrough:
    """Gives every event back as it came: same key, same bytes, same partition."""

    output: Target

    def run(self, batch: Batch, _now: str, _stage: Stages) -> tuple[Outgoing, Tally]:
        """Group a batch by partition, as the pipeline does."""
        messages = [{"value": record.value(), "key": record.key()} for record in batch.records]
        grouped = by_partition(messages, batch.partitions, self.output)
        return Outgoing(grouped), Tally(len(batch.records), 0, {})


def build(_job: Job, _model: "Model", output: Target, _letters: Target) -> PassThrough:
    """What `run_worker` asks for in place of the pipeline."""
    return PassThrough(output)


def main() -> None:
    """Copy until stopped."""
    job = Job.from_json(sys.stdin.buffer.read())
    configure_logging(job.settings.log)
    stop = Stop(job.settings.consumer.shutdown_timeout_s)
    stop.on_signals()
    run_worker(job, 0, stop, load_model, build)


if __name__ == "__main__":
    main()
