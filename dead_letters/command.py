"""`streamscore dead-letters`: list them, show one in full, send chosen ones back."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.terminal import BootstrapOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dead_letters.letter import DeadLetter, Foreign, Selection
    from dead_letters.reader import Reader
    from runtime.settings import Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="List, show and replay dead letters."
)

InputOption = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="TOPIC",
        help="The topic whose events failed.  (setting: topics.input)",
        show_default=False,
    ),
]
TopicOption = Annotated[
    str | None,
    typer.Option(
        "--topic",
        metavar="TOPIC",
        help="The dead-letter topic itself.  [default: INPUT.dlq]",
        show_default=False,
    ),
]
CodeOption = Annotated[
    list[str] | None,
    typer.Option("--code", metavar="CODE", help="Only this cause (repeatable)."),
]
StageOption = Annotated[
    list[str] | None,
    typer.Option(
        "--stage",
        metavar="STAGE",
        help="Only this stage (repeatable).",
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="TIME", help="Failed at or after: 2013-12-01T10:15:00Z, or 2h ago as 2h."
    ),
]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Failed before: as --since.")
]
PartitionOption = Annotated[
    int | None,
    typer.Option("--partition", min=0, help="Only in this partition of the dead-letter topic."),
]
OffsetOption = Annotated[
    str | None,
    typer.Option(
        "--offset", metavar="N[-M]", help="Only at this offset, or from N to M, of that topic."
    ),
]


@app.command("list")
def list_letters(
    input: InputOption = None,  # noqa: A002 - the flag's name
    topic: TopicOption = None,
    code: CodeOption = None,
    stage: StageOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    partition: PartitionOption = None,
    offset: OffsetOption = None,
    maximum: Annotated[
        int, typer.Option("--max", min=1, help="Show at most so many, the latest.")
    ] = 100,
    bootstrap_servers: BootstrapOption = None,
    json_: JsonOption = False,
) -> None:
    """List dead letters, the latest last, and count all of them by cause."""
    from dead_letters.display import print_listing
    from dead_letters.letter import DeadLetter
    from dead_letters.listing import Listing, summary
    from runtime.terminal import print_json

    selection = _selection(code, stage, since, until, partition, offset)
    reader = _reader(_settings(bootstrap_servers), topic, input)
    listing, foreign = Listing(maximum), 0
    for letter in _read(reader, selection):
        if isinstance(letter, DeadLetter):
            listing.add(letter)
        else:
            foreign += 1
    if json_:
        counts = listing.counts.most_common()
        print_json(
            {
                "topic": reader.topic,
                "total": listing.total,
                "counts": [{"stage": s, "code": c, "count": count} for (s, c), count in counts],
                "not_dead_letters": foreign,
                "dead_letters": [summary(each) for each in listing.latest()],
            }
        )
    else:
        print_listing(reader.topic, listing, foreign)


@app.command("show")
def show(
    place: Annotated[
        str,
        typer.Argument(metavar="PARTITION/OFFSET", help="As `list` prints it.", show_default=False),
    ],
    input: InputOption = None,  # noqa: A002 - the flag's name
    topic: TopicOption = None,
    payload: Annotated[
        bool, typer.Option("--payload", help="Print the event itself too: it may be confidential.")
    ] = False,
    bootstrap_servers: BootstrapOption = None,
    json_: JsonOption = False,
) -> None:
    """Show one dead letter in full: why it failed, where it came from, its key and headers."""
    from dead_letters.display import print_details
    from dead_letters.letter import DeadLetter, Selection, parse_place
    from dead_letters.listing import details, readable
    from model.errors import StreamscoreError
    from runtime.terminal import print_json

    partition, offset = parse_place(place)
    reader = _reader(_settings(bootstrap_servers), topic, input)
    wanted = Selection(partition=partition, offsets=(offset, offset))
    letter = next(_read(reader, wanted), None)
    if not isinstance(letter, DeadLetter):
        first, end = reader.held[partition]
        why = f": {letter.reason}" if letter else f", whose offsets are {first} to {end - 1} there"
        raise StreamscoreError(
            f"there is no dead letter at {place} on topic {reader.topic}{why}",
            hint="`streamscore dead-letters list` prints the places of those that are there",
        )
    told = details(letter)
    if payload:
        told["payload"] = readable(letter.value)
    if json_:
        print_json(told)
    else:
        print_details(told)


@app.command("replay")
def replay(
    input: InputOption = None,  # noqa: A002 - the flag's name
    topic: TopicOption = None,
    code: CodeOption = None,
    stage: StageOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    partition: PartitionOption = None,
    offset: OffsetOption = None,
    max_attempts: Annotated[
        int,
        typer.Option("--max-attempts", min=1, help="Leave what was tried so often already."),
    ] = 3,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be replayed, and send nothing.")
    ] = False,
    bootstrap_servers: BootstrapOption = None,
    json_: JsonOption = False,
) -> None:
    """Send dead letters back to the topics they came from, to be scored again.

    They go with their original key, value and headers into their partition, with the time of now,
    in transactions of up to 1000. They stay on the dead-letter topic too: replaying the same ones
    again sends them again.
    """
    from dead_letters.display import print_report
    from dead_letters.replay import DryRun, Report, TransactionalTarget
    from dead_letters.replay import replay as replay_letters
    from model.errors import StreamscoreError
    from runtime.terminal import print_json

    selection = _selection(code, stage, since, until, partition, offset)
    settings = _settings(bootstrap_servers)
    reader = _reader(settings, topic, input)
    report = Report()
    letters = _read(reader, selection)
    target = DryRun(settings) if dry_run else TransactionalTarget(settings, reader.topic)
    try:
        replay_letters(letters, target, max_attempts, report)
    except StreamscoreError as error:
        done = f"{report.replayed.total()} were replayed before"
        raise type(error)(f"{error}; {done}", hint=error.hint) from error
    except KeyboardInterrupt:
        done = f"{report.replayed.total()} dead letters were replayed before"
        raise StreamscoreError(f"stopped: {done}") from None
    if json_:
        print_json(
            {
                "topic": reader.topic,
                "dry_run": dry_run,
                "replayed": report.replayed.total(),
                "sources": report.replayed,
                "left": report.left,
                "omitted": report.omitted,
            }
        )
    else:
        print_report(report, "would be replayed" if dry_run else "replayed")


def _selection(
    code: list[str] | None,
    stage: list[str] | None,
    since: str | None,
    until: str | None,
    partition: int | None,
    offset: str | None,
) -> "Selection":
    from dead_letters.letter import Selection, parse_offsets, parse_time

    now = datetime.now(UTC)
    return Selection(
        codes=frozenset(code or ()),
        stages=frozenset(stage or ()),
        since=None if since is None else parse_time(since, now),
        until=None if until is None else parse_time(until, now),
        partition=partition,
        offsets=None if offset is None else parse_offsets(offset),
    )


def _settings(bootstrap_servers: str | None) -> "Settings":
    from runtime.logs import configure_logging
    from runtime.settings import load_settings

    settings = load_settings({"bootstrap_servers": bootstrap_servers})
    configure_logging(settings.log)
    return settings


def _reader(settings: "Settings", topic: str | None, source: str | None) -> "Reader":
    from dead_letters.reader import Reader
    from model.errors import WrongUsage
    from runtime.topics import dead_letter_topic

    if topic is not None and source is not None:
        raise WrongUsage("--input and --topic name the same thing in two ways: give one of them")
    return Reader(settings, topic or dead_letter_topic(settings, source or settings.topics.input))


def _read(reader: "Reader", selection: "Selection") -> "Iterator[DeadLetter | Foreign]":
    from runtime.terminal import progress

    with progress(f"reading {reader.topic}", unit="records") as bar:
        yield from reader.read(selection, bar)
