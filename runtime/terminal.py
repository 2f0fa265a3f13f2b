"""What all commands share on the terminal: how they print, and the options they have in common.

On a terminal there are colours and bars; off it there are plain lines that scripts can read.
Results go to standard output, everything else to standard error. What comes from events, topics
or models is data: it is printed as it is, never read as markup or as control sequences. Rich is
imported when something is printed, so that `--help` stays quick.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, TextIO

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDE = 10_000  # off a terminal nothing is wrapped or cut to a width

BootstrapOption = Annotated[
    str | None,
    typer.Option(
        "--bootstrap-servers",
        "-b",
        metavar="HOST:PORT,…",
        help="The brokers to ask first.  (setting: bootstrap_servers)",
        show_default=False,
    ),
]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store", metavar="DIR", help="Where the models are.  (setting: store)", show_default=False
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON where a person would read a table.")
]


def out() -> "Console":
    """The console for results, on standard output."""
    return _console(sys.stdout)


def err() -> "Console":
    """The console for everything else, on standard error."""
    return _console(sys.stderr)


def _console(file: TextIO) -> "Console":
    from rich.console import Console

    on_terminal = file.isatty()
    return Console(
        file=file,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=not on_terminal,
        width=None if on_terminal else _WIDE,
        force_terminal=on_terminal,
    )


def plain(value: object) -> str:
    """`value` as one line of text, its control characters spelled out so that they do nothing."""
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_json(value: object) -> None:
    """Print `value` as indented JSON: dataclasses, paths, times and numpy values included."""
    import orjson

    options = (
        orjson.OPT_INDENT_2
        | orjson.OPT_SERIALIZE_NUMPY
        | orjson.OPT_NON_STR_KEYS
        | orjson.OPT_APPEND_NEWLINE
    )
    sys.stdout.write(orjson.dumps(value, default=str, option=options).decode())
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> "Table":
    """A table for `out().print`; off a terminal it has no lines around it. Cells are data."""
    from rich import box
    from rich.table import Table

    on_terminal = sys.stdout.isatty()
    drawn = Table(
        title=title if title and on_terminal else None,
        title_justify="left",
        box=box.SIMPLE_HEAD if on_terminal else None,
        pad_edge=False,
        header_style="bold",
    )
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(plain(cell) for cell in row))
    return drawn


class Bar(Protocol):
    """A progress bar in the hands of what it shows."""

    def advance(self, count: float = 1) -> None:
        """`count` more are done."""

    def expect(self, total: float) -> None:
        """There are `total` in all."""


@contextlib.contextmanager
def progress(doing: str, total: float | None = None, *, unit: str = "") -> Iterator[Bar]:
    """A progress bar on standard error while the block runs; nothing off a terminal.

    Without a `total` it shows that something goes on, and how much was done.
    """
    if not sys.stderr.isatty():
        yield _Unseen()
        return
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[done]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err(), transient=True) as shown:
        task = shown.add_task(doing, total=total, done="")

        def update(*, advance: float = 0, total: float | None = None) -> None:
            shown.update(task, advance=advance, total=total)
            state = shown.tasks[0]
            goal = "" if state.total is None else f"/{state.total:,.0f}"
            rate = f", {state.speed:,.0f}/s" if state.speed else ""
            shown.update(task, done=f"{state.completed:,.0f}{goal} {unit}{rate}".strip())

        yield _Shown(update)


class _Update(Protocol):
    def __call__(self, *, advance: float = 0, total: float | None = None) -> None: ...


class _Unseen:
    def advance(self, count: float = 1) -> None:
        """Show nothing."""

    def expect(self, total: float) -> None:
        """Show nothing."""


class _Shown:
    _INTERVAL_S = 0.1  # a bar that is advanced per event must not slow the events down

    def __init__(self, update: _Update, now: Callable[[], float] = time.monotonic) -> None:
        self._update = update
        self._now = now
        self._pending = 0.0
        self._shown_at = 0.0

    def advance(self, count: float = 1) -> None:
        self._pending += count
        now = self._now()
        if now - self._shown_at >= self._INTERVAL_S:
            self._update(advance=self._pending)
            self._pending, self._shown_at = 0.0, now

    def expect(self, total: float) -> None:
        self._update(advance=self._pending, total=total)
        self._pending = 0.0


def print_error(message: str, hint: str = "") -> None:
    """Print `error: <message>`, and the hint below it, to standard error."""
    console = err()
    console.print(_styled("error: ", "bold red"), _lines(message), sep="")
    if hint:
        console.print("  ", _lines(hint), sep="")


def _lines(text: str) -> str:
    return "\n  ".join(plain(line) for line in text.splitlines())


def _styled(text: str, style: str) -> object:
    from rich.text import Text

    return Text(text, style=style)
