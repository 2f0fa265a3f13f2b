"""The demo's other processes: the scoring group and the subscriber, started as a user would.

A child gets its settings through its environment, writes to files, and never outlives the demo.
Knows nothing of flights or Kafka.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

from model.errors import StreamscoreError
from runtime.child_process import bound
from runtime.settings import Settings

_PREFIX: Final = "STREAMSCORE_"
_TAIL_LINES: Final = 12
_LOOK_S: Final = 0.1
_PROBE_TIMEOUT_S: Final = 2.0
_KILL_TIMEOUT_S: Final = 5.0


class ChildDied(StreamscoreError):
    """A process of the demo ended before the demo did."""


class Child:
    """A running command. Its output and its log are files in `folder`."""

    def __init__(
        self, name: str, command: Sequence[str], *, environ: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.output = folder / f"{name}.out"
        self.log = folder / f"{name}.log"
        with self.output.open("wb") as output, self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                bound(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                env=dict(environ),
                start_new_session=True,  # Ctrl-C reaches it through us, in its turn
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def require_alive(self) -> None:
        """Raise ChildDied, with the end of its log, if the process has ended."""
        status = self._process.poll()
        if status is not None:
            raise ChildDied(f"the {self.name} ended early with exit status {status}; {self.tail()}")

    def tail(self) -> str:
        """Give the end of its log, for a message."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        last = "\n".join(lines[-_TAIL_LINES:]) or "(it is empty)"
        return f"the end of its log:\n{last}"

    def stop(self, timeout_s: float) -> None:
        """Ask it to stop (SIGTERM), wait, and kill it if it is not done within `timeout_s`."""
        self._process.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        finally:  # Ctrl-C in between, too
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait(_KILL_TIMEOUT_S)


class Children:
    """Starts children and stops them all at the end of the block, the last one first.

    `program` is what they all begin with.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        folder: Path,
        stop_timeout_s: float,
        program: Sequence[str] = (sys.executable, "-m", "streamscore"),
    ) -> None:
        self._environ = environ
        self._program = program
        self._folder = folder
        self._stop_timeout_s = stop_timeout_s
        self._stack = ExitStack()
        self._running: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, name: str, arguments: Sequence[str]) -> Child:
        """Start the program with these arguments."""
        command = [*self._program, *arguments]
        child = Child(name, command, environ=self._environ, folder=self._folder)
        self._stack.callback(self.stop, child)
        self._running.append(child)
        return child

    def require_alive(self) -> None:
        """Raise ChildDied if one of them has ended."""
        for child in self._running:
            child.require_alive()

    def stop(self, child: Child) -> None:
        """Stop one of them now; nothing if it was stopped before."""
        if child in self._running:
            child.stop(self._stop_timeout_s)
            self._running.remove(child)


class Lines:
    """Counts the lines that a child has written so far, each time a little further."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self.count = 0

    def update(self) -> int:
        """Look at what is new and return the number of complete lines."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        self.count += new.count(b"\n")
        return self.count


def environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which a child has exactly these settings, whatever files there are."""
    others = {name: value for name, value in environ.items() if not name.startswith(_PREFIX)}
    given = {
        _PREFIX + "__".join(path).upper(): _text(value)
        for path, value in _leaves(settings.model_dump(exclude={"kafka"}))
        if value is not None
    }
    passed_through = {
        f"{_PREFIX}KAFKA__{name.replace('.', '_').upper()}": value
        for name, value in settings.kafka.items()
    }
    return {**others, **given, **passed_through, f"{_PREFIX}CONFIG": os.devnull}


def free_ports(count: int) -> int:
    """Find `count` ports in a row that are free now, and return the first."""
    for _ in range(100):
        with ExitStack() as held:
            first = held.enter_context(_listening(0)).getsockname()[1]
            try:
                for port in range(first + 1, first + count):
                    held.enter_context(_listening(port))
            except (OSError, OverflowError):
                continue
            return int(first)
    raise StreamscoreError(f"no {count} free ports in a row were found on 127.0.0.1")


def wait_until_ready(child: Child, ports: Sequence[int], *, timeout_s: float) -> None:
    """Wait until `/readyz` holds on all ports of the child at once.

    Raises ChildDied when it ends instead, StreamscoreError when it takes longer than `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while waiting := [port for port in ports if not _is_ready(port)]:
        child.require_alive()
        if time.monotonic() >= deadline:
            raise StreamscoreError(
                f"{len(waiting)} of {len(ports)} workers of the {child.name} were not ready within "
                f"{timeout_s:g} s; {child.tail()}",
                hint="Where the log has no reason, the machine is too busy: try fewer --workers.",
            )
        time.sleep(_LOOK_S)


def _is_ready(port: int) -> bool:
    url = f"http://127.0.0.1:{port}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=_PROBE_TIMEOUT_S) as response:
            return bool(response.status == 200)  # noqa: PLR2004 - OK
    except (urllib.error.URLError, OSError):
        return False


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.bind(("127.0.0.1", port))
    except (OSError, OverflowError):
        listener.close()
        raise
    return listener


def _leaves(
    table: Mapping[str, object], prefix: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*prefix, name))
        else:
            yield (*prefix, name), value


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
