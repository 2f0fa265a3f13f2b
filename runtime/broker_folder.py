"""The folder that an embedded broker keeps everything in: its own, or a temporary one.

A lock in it says that it is in use; the lock goes with the process that holds it, whatever ends
that. It must not know what a broker is.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from model.errors import SettingsError

_PREFIX: Final = "streamscore-broker-"
_LOCK: Final = "broker.lock"
_AGE_S: Final = 60.0  # what is younger may be on its way to being locked


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is removed at the end, with those that killed processes left behind."""
    _remove_left_behind()
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as folder,
        sole_use(Path(folder)),
    ):
        yield Path(folder)


@contextmanager
def sole_use(folder: Path) -> Iterator[Path]:
    """The folder, made if need be, as an absolute path; nobody else gets it meanwhile.

    Raises SettingsError where somebody has it, or where it cannot be written.
    """
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context((folder / _LOCK).open("wb"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(
                f"another broker runs on the data in {folder}", hint="use that one, or end it"
            ) from error
        except OSError as error:
            raise SettingsError(f"the broker's data cannot be kept in {folder}: {error}") from error
        yield folder.absolute()


def _remove_left_behind() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if _is_left_behind(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_left_behind(folder: Path) -> bool:
    """Whether it is ours, and the process that made it is gone."""
    try:
        made = folder.lstat()
        if made.st_uid != os.getuid() or time.time() - made.st_mtime < _AGE_S:
            return False
        with (folder / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked, or without a lock, or gone meanwhile
        return False
    return True
