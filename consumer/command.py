"""`streamscore consume`: the scoring service on the command line."""

import gc
import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.terminal import BootstrapOption, StoreOption

if TYPE_CHECKING:
    from consumer.worker import Job


class Guarantee(StrEnum):
    """What readers at read_committed see of each event."""

    EXACTLY_ONCE = "exactly_once"
    AT_LEAST_ONCE = "at_least_once"


def consume(
    model: Annotated[
        str,
        typer.Option(metavar="NAME@ALIAS", help="The model that answers (or NAME:VERSION)."),
    ],
    input: Annotated[  # noqa: A002 - the flag's name
        str | None,
        typer.Option(metavar="TOPIC", help="Where events come from.  (setting: topics.input)"),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(metavar="TOPIC", help="Where predictions go.  (setting: topics.output)"),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(help="The consumer group.  (setting: consumer.group; streamscore-NAME)"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes.  (setting: consumer.workers; 1)")
    ] = None,
    guarantee: Annotated[
        Guarantee | None,
        typer.Option(help="(setting: consumer.guarantee; exactly_once)", show_default=False),
    ] = None,
    instance_id: Annotated[
        str | None,
        typer.Option(help="This instance's lasting, unique name.  (setting: instance_id)"),
    ] = None,
    max_batch: Annotated[
        int | None, typer.Option(min=1, help="Events a batch at most.  (setting; 10000)")
    ] = None,
    health_port: Annotated[
        int | None,
        typer.Option(help="/livez, /readyz, /metrics.  (setting: health.port; from 9464)"),
    ] = None,
    bootstrap_servers: BootstrapOption = None,
    store: StoreOption = None,
) -> None:
    """Answer every event of a topic with a prediction, until stopped.

    An event that cannot be scored becomes a dead letter on the topic INPUT.dlq and stops nothing.
    SIGTERM or Ctrl-C finishes the batch in hand, commits it and leaves the group. Start it again,
    or on more machines, to share the partitions of the topic.
    """
    gc.disable()  # imports leave no garbage, and looking for it takes a fifth of the start
    # Before numpy is imported, and for the workers: one native thread a process.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    from consumer.worker import Job, load_model, run_worker
    from runtime.logs import configure_logging
    from runtime.settings import load_settings
    from runtime.stop import Stop

    settings = load_settings(
        {
            "bootstrap_servers": bootstrap_servers,
            "store": store,
            "instance_id": instance_id,
            "topics.input": input,
            "topics.output": output,
            "consumer.group": group,
            "consumer.workers": workers,
            "consumer.guarantee": guarantee.value if guarantee else None,
            "consumer.max_batch": max_batch,
            "health.port": health_port,
        }
    )
    configure_logging(settings.log)
    name = model.partition("@")[0].partition(":")[0]
    job = Job(
        settings=settings,
        input=settings.topics.input,
        output=settings.topics.output,
        model=model,
        group=settings.consumer.group or f"streamscore-{name}",
    )
    if settings.consumer.workers > 1:
        _supervise(job)
        return
    stop = Stop(settings.consumer.shutdown_timeout_s)
    stop.on_signals()
    run_worker(job, 0, stop, load_model)


def _supervise(job: "Job") -> None:
    from consumer.supervisor import Supervisor
    from model.store import Store
    from runtime.topics import dead_letter_topic, require_topics

    # Once here, for one clear error; each worker looks again.
    Store(job.settings.store).resolve(job.model)
    letters = dead_letter_topic(job.settings, job.input)
    require_topics(job.settings, [job.input, job.output, letters])
    gc.enable()
    Supervisor(job, job.settings.consumer.workers).run()
