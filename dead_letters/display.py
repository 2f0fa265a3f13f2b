"""How dead letters and replays look on the terminal. Must not know where they come from."""

from typing import Any

from dead_letters.listing import Listing, as_line
from dead_letters.replay import Report
from runtime.terminal import out, table

_SHOWN = ("failed_at", "stage", "code", "message")
_DETAILS = ("failed_at", "stage", "code", "message", "group", "model", "version", "attempt")
_REASONS = {
    "at_cap": "were tried as often as --max-attempts allows",
    "value_omitted": "came without their value, which was too large",
    "no_source_topic": "came from a topic that does not exist",
    "not_a_dead_letter": "are records of another kind",
}


def print_listing(topic: str, listing: Listing, foreign: int) -> None:
    """Print the letters that were kept, the counts of all, and how many other records there are."""
    console = out()
    letters = listing.latest()
    if letters:
        columns = ("place", "failed at", "stage", "code", "message", "source")
        rows = (
            (each.place, *(getattr(each.failure, name) for name in _SHOWN), each.source)
            for each in letters
        )
        console.print(table(columns, rows))
        counts = ((s, c, count) for (s, c), count in listing.counts.most_common())
        console.print(table(("stage", "code", "count"), counts))
    shown = "" if len(letters) == listing.total else f", the latest {len(letters)} are shown"
    console.print(f"{listing.total} dead letters on topic {topic}{shown}")
    if foreign:
        console.print(f"{foreign} other records there are no dead letters")


def print_details(told: dict[str, Any]) -> None:
    """Print what `listing.details` tells, and the payload where it is among that."""
    source = told["source"]
    rows: list[tuple[str, object]] = [
        ("place", f"{told['partition']}/{told['offset']}"),
        ("source", f"{source['topic']}/{source['partition']}/{source['offset']}"),
        ("event time", source["timestamp"] or "none"),
        *((name.replace("_", " "), told[name]) for name in _DETAILS),
        ("key", as_line(told["key"])),
        *((f"header {each['name']}", as_line(each["value"])) for each in told["headers"]),
    ]
    if told["value_omitted_bytes"] is not None:
        rows.append(("value", f"left out for its size, {told['value_omitted_bytes']} bytes"))
    elif told["value_bytes"] is None:
        rows.append(("value", "none: a tombstone"))
    else:
        rows.append(("value", f"{told['value_bytes']} bytes"))
    if "payload" in told:
        rows.append(("payload", as_line(told["payload"])))
    out().print(table(("field", "value"), rows))


def print_report(report: Report, verb: str) -> None:
    """Print what was replayed to where, and what was left and why."""
    console = out()
    console.print(f"{report.replayed.total()} dead letters {verb}")
    for topic, count in report.replayed.most_common():
        console.print(f"  {count} to topic {topic}")
    if report.left:
        console.print(f"{report.left.total()} left")
    for reason, count in report.left.most_common():
        console.print(f"  {count} {_REASONS[reason.value]}")
    for source in report.omitted:
        console.print(f"    {source} is where the whole event stands, while its topic keeps it")
