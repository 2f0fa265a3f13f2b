"""A prediction as the standard input of a command.

It must not know how often it is tried or what is committed. Messages name the program and none of
its arguments, which may be secrets.
"""

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from typing import Final

from model.errors import WrongUsage
from runtime.insistence import Allowance, Refusal
from subscriber.prediction import Prediction

_END_S: Final = 2.0  # between SIGTERM and SIGKILL
_HINT: Final = "--exec takes a command like 'python react.py --verbose'; no shell reads it"


class Program:
    """Runs `command` for each prediction, its JSON and a newline on the standard input.

    The command is split as a shell would, but no shell is involved. Exit code 0 means accepted.
    What it writes goes where this program's output goes. Raises WrongUsage for a command that
    cannot be split or found.
    """

    def __init__(self, command: str) -> None:
        try:
            self._arguments = shlex.split(command)
        except ValueError as error:
            raise WrongUsage(f"the command cannot be split: {error}".lower(), hint=_HINT) from None
        if not self._arguments:
            raise WrongUsage("the command is empty", hint=_HINT)
        if shutil.which(self._arguments[0]) is None:
            raise WrongUsage(
                f"there is no program {self._arguments[0]!r} to run",
                hint="give its path, or put its folder on PATH",
            )
        self.name = f"the command {os.path.basename(self._arguments[0])!r}"  # noqa: PTH119 - a name

    def __call__(self, prediction: Prediction, allowance: Allowance) -> Refusal | None:
        """Run once; None when it exited with 0."""
        with tempfile.TemporaryFile() as given:  # a pipe would block while nobody reads it
            given.write(prediction.to_json() + b"\n")
            given.seek(0)
            try:
                process = subprocess.Popen(  # noqa: S603 - the operator's own command, no shell
                    self._arguments, stdin=given, start_new_session=True
                )  # its own session: Ctrl-C is ours to handle, and all it started can be ended
            except OSError as error:
                return Refusal(f"it cannot be run: {error.strerror}")
            return _verdict(process, allowance)


def _verdict(process: subprocess.Popen[bytes], allowance: Allowance) -> Refusal | None:
    try:
        in_time = allowance.wait_for(lambda seconds: _ended(process, seconds))
    finally:
        _end(process)
    if not in_time:
        return Refusal(f"it was ended after {allowance.seconds:.1f} s")
    code = process.returncode
    if code == 0:
        return None
    return Refusal(f"it exited with {code}" if code > 0 else f"it was ended by signal {-code}")


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started, if it is still there."""
    if process.returncode is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        os.killpg(process.pid, number)  # a group of its own, and not yet waited for: still ours
        if _ended(process, _END_S):
            return
