"""The virtualenvs of the peers: each alone, locked, made when it is first needed."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.lab import BenchmarkError

HERE: Final = Path(__file__).parent
_INSTALL_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A product in a virtualenv of its own; of one section; `flag` leaves it out."""

    name: str
    package: str
    flag: str
    section: str

    @property
    def lock(self) -> Path:
        """What is installed for it."""
        return HERE / f"{self.name}-requirements.txt"

    @property
    def bin(self) -> Path:
        """Where its commands are."""
        return HERE.parent / ".bench" / self.name / "bin"

    @property
    def version(self) -> str:
        """The one that is locked."""
        lines = self.lock.read_text(encoding="utf-8").splitlines()
        pin = next(line for line in lines if line.startswith(f"{self.package}=="))
        return pin.split()[0].partition("==")[2]

    def prepare(self) -> None:
        """Install what the lock file says, unless that is done; BenchmarkError where it fails."""
        home = self.bin.parent
        stamp = home / "installed.txt"
        if stamp.exists() and stamp.read_bytes() == self.lock.read_bytes():
            return
        if home.exists():
            shutil.rmtree(home)
        self._run([sys.executable, "-m", "venv", str(home)])
        install = [str(self.bin / "python"), "-m", "pip", "install", "--quiet"]
        install += ["--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:"]
        self._run([*install, "-r", str(self.lock)])
        shutil.copyfile(self.lock, stamp)

    def _run(self, command: list[str]) -> None:
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=_INSTALL_S
            )
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"{self.package} was not installed in time") from None
        if done.returncode:
            msg = f"{self.package} could not be installed ({self.flag} leaves it out)"
            raise BenchmarkError(f"{msg}: {done.stderr[-1000:]}")


QUIX: Final = Peer("quix", "quixstreams", "--without-quix", "throughput")
MLSERVER: Final = Peer("mlserver", "mlserver", "--without-servers", "online")
BENTOML: Final = Peer("bentoml", "bentoml", "--without-servers", "online")
PEERS: Final = (QUIX, MLSERVER, BENTOML)
