"""Shows the demo while it runs: a live screen on a terminal, plain lines off it.

Decides where to draw and how often; what to draw is demo/screen.py's.
"""

from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from demo.figures import Snapshot
from demo.screen import live_screen, progress_line

_LINE_EVERY_S: Final = 2.0


class Show(Protocol):
    """What the demo tells its audience. What is live ends with the block."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def step(self, text: str) -> None:
        """Something begins that takes a while."""

    def figures(self, snapshot: Snapshot) -> None:
        """These are the figures now."""


class PlainShow:
    """A line for each step, and one for the figures every two seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._due_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is live."""

    def step(self, text: str) -> None:
        """Print the step."""
        self._console.print(text)

    def figures(self, snapshot: Snapshot) -> None:
        """Print a line if the last one is two seconds old."""
        if snapshot.seconds >= self._due_s:
            self._due_s = snapshot.seconds + _LINE_EVERY_S
            self._console.print(progress_line(snapshot))


class LiveShow:
    """A screen that changes in place; steps are a spinning line, above or below it."""

    def __init__(self, console: Console, *, title: str) -> None:
        self._title = title
        self._status = console.status("")
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()
        self._live.stop()

    def step(self, text: str) -> None:
        """Let the line spin; a screen above it stays as it was."""
        self._live.stop()
        self._status.update(Text(text))
        self._status.start()

    def figures(self, snapshot: Snapshot) -> None:
        """Draw the screen."""
        self._status.stop()
        self._live.start()
        self._live.update(live_screen(snapshot, title=self._title), refresh=True)


def show_on(console: Console, *, title: str) -> Show:
    """Choose what the console can show."""
    return LiveShow(console, title=title) if console.is_terminal else PlainShow(console)
