"""The virtualenv of the peers: theirs alone, locked, made when it is first needed."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.contestants import QUIX_PYTHON
from benchmarks.lab import BenchmarkError

LOCK: Final = Path(__file__).parent / "quix-requirements.txt"
_INSTALL_S: Final = 600.0


def prepare() -> None:
    """Install what the lock file says, unless that is done; BenchmarkError where it fails."""
    home = QUIX_PYTHON.parents[1]
    stamp = home / "installed.txt"
    if stamp.exists() and stamp.read_bytes() == LOCK.read_bytes():
        return
    if home.exists():
        shutil.rmtree(home)
    _run([sys.executable, "-m", "venv", str(home)])
    install = [str(QUIX_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*install, "--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)])
    shutil.copyfile(LOCK, stamp)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_INSTALL_S)
    if done.returncode:
        msg = "Quix Streams could not be installed (--without-quix leaves it out)"
        raise BenchmarkError(f"{msg}: {done.stderr[-1000:]}")
