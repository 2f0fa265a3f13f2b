"""`streamscore topics`: the topics of a scoring service, created before it starts."""

from typing import TYPE_CHECKING, Annotated

import typer

from runtime.terminal import BootstrapOption, JsonOption, err, out, print_json, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtime.topics import Created

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def topics() -> None:
    """Create the topics of a scoring service."""


@app.command()
def create(
    input_: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="TOPIC",
            help="The topic of the events; that of their dead letters is named after it.  "
            "(setting: topics.input)",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="TOPIC",
            help="The topic of the predictions.  (setting: topics.output)",
            show_default=False,
        ),
    ] = None,
    partitions: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Partitions of each.  (setting: topics.partitions)",
            show_default=False,
        ),
    ] = None,
    replication: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Replicas of each.  (setting: topics.replication)", show_default=False
        ),
    ] = None,
    bootstrap_servers: BootstrapOption = None,
    json_: JsonOption = False,
) -> None:
    """Create the input, output and dead-letter topics where they do not exist yet.

    A topic that exists stays as it is, whatever it has; it is told where the number of its
    partitions is another. The dead-letter topic takes larger records than the input topic, as
    headers are added to a dead letter.
    """
    from runtime.logs import configure_logging
    from runtime.settings import load_settings
    from runtime.topics import create_service_topics

    settings = load_settings(
        {
            "topics.input": input_,
            "topics.output": output,
            "topics.partitions": partitions,
            "topics.replication": replication,
            "bootstrap_servers": bootstrap_servers,
        }
    )
    configure_logging(settings.log)
    created = create_service_topics(settings)
    if json_:
        print_json([_as_json(each) for each in created])
    else:
        _show(created)


def _as_json(topic: "Created") -> dict[str, object]:
    return {
        "topic": topic.name,
        "created": topic.created,
        "partitions": topic.partitions,
        "wanted_partitions": topic.wanted,
    }


def _show(created: "Sequence[Created]") -> None:
    rows = [(t.name, "created" if t.created else "existed", t.partitions) for t in created]
    out().print(table(["topic", "", "partitions"], rows))
    for topic in created:
        if topic.differs:
            err().print(
                f"note: {topic.name} has {topic.partitions} partitions where the settings say "
                f"{topic.wanted}; it was left as it is"
            )
    if len({topic.partitions for topic in created[:2]}) > 1:
        err().print(
            "note: input and output differ in their partitions: predictions go by their keys, and "
            "those of events without a key in any order"
        )
