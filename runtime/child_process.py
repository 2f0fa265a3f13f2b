"""Children that do not outlive their parent, whatever kills it: the kernel ends them (Linux).

Where the kernel offers nothing of the kind they run as any child does. This file is also the
script that such a child starts with, before it becomes the wanted program; so it imports nothing
of this project, and little else.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
_CANNOT_RUN: Final = 127  # as a shell says it


def bound(command: Sequence[str]) -> list[str]:
    """The command that runs `command` and is killed (SIGKILL) when its parent ends.

    The process id is that of `command`, which takes the place of this script. The kernel means
    the *thread* that started the child: start it from one that lives as long as the process, or
    through `EmbeddedBroker`, which sees to it. Exit status 127: the command cannot be run.
    """
    return [sys.executable, "-I", "-S", str(Path(__file__)), str(os.getpid()), *command]


def _become(parent: int, command: list[str]) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
            sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it ended before the kernel knew
        sys.exit("the parent process has ended")
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python; the program is to choose
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.exit(_CANNOT_RUN)


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
