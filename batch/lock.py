"""One process at a time for a day: a lock that ends with whoever holds it, however that ends.

PostgreSQL has advisory locks, which end with their connection. SQLite's databases are files, and
so is their lock. Elsewhere a run counts as held until its last sign of life is some minutes old.
"""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, func, select

from batch.runs import Task, latest
from batch.tables import RUNNING
from model.errors import DatabaseError, RunTaken

LEASE: Final = timedelta(minutes=10)


def lock_number(task: Task) -> int:
    """The number of a day's lock: the same for all versions of the model."""
    name = f"{task.model} {task.source} {task.window.day}"
    return int.from_bytes(sha256(name.encode()).digest()[:8], signed=True)


@contextmanager
def day_lock(
    connection: Connection, task: Task, file: Path | None, now: datetime
) -> Iterator[None]:
    """Hold a day for the block; `connection` is the one that is written through.

    `file` is that of an SQLite database. Raises RunTaken where another process holds the day.
    """
    number = lock_number(task)
    if file is not None:
        with _file_lock(file.with_name(f"{file.name}.lock"), abs(number) >> 1, task):
            yield
        return
    with connection.begin():
        if connection.dialect.name == "postgresql":
            held = not connection.execute(select(func.pg_try_advisory_lock(number))).scalar_one()
        else:
            last = latest(connection, task)
            held = last is not None and last.state == RUNNING and last.progress_at > now - LEASE
    if held:
        raise _taken(task)
    yield  # the end of the connection releases it


@contextmanager
def _file_lock(file: Path, place: int, task: Task) -> Iterator[None]:
    """One byte of a file: a lock of the open file, so that it holds among threads too (OFD)."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        msg = f"the lock {file} cannot be opened: {error.strerror}"
        raise DatabaseError(msg, hint="mend the rights to the file and its folder") from error
    try:
        wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
        except (BlockingIOError, PermissionError):
            raise _taken(task) from None
        yield
    finally:
        os.close(descriptor)


def _taken(task: Task) -> RunTaken:
    hint = "wait for it; the table `runs` shows how far it is"
    return RunTaken(f"another process is scoring {task.window.day} just now", hint=hint)
