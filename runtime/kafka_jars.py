"""The jars of the embedded broker: which they are. How they are fetched is runtime/jars.py.

This module must not know how a broker is configured or run. To lock another version: change
`_ROOTS`, then `python -m runtime.kafka_jars > kafka_jars.lock` and move that file here.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from model.errors import BrokerError, SettingsError
from runtime import jars as maven
from runtime.jars import Jar, Library, MavenCentral, Progress, Repository

__all__ = [
    "Jar",
    "Progress",
    "Repository",
    "class_path",
    "is_fetched",
    "locked_jars",
    "missing_extra",
]

# "!": what log4j's own build manages (a Kafka client of 3.9) must not rule over Kafka's jars.
_ROOTS: Final = (
    "org.apache.kafka:kafka_2.13:4.3.1!",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4!",
)
_LIBRARY: Final = Library(
    title="the broker's jars",
    lock=Path(__file__).with_name("kafka_jars.lock"),
    folder_name="kafka-jars",
    failure=BrokerError,
    needed_by="the embedded broker",
    extra="demo",
    without=", or use a broker of your own (--bootstrap-servers)",
)


def locked_jars() -> tuple[Jar, ...]:
    """Every jar of the broker's class path."""
    return _LIBRARY.jars()


def is_fetched(folder: Path | None = None) -> bool:
    """Whether a broker can start without a download."""
    return not maven.missing(locked_jars(), folder or _LIBRARY.folder())


def class_path(
    folder: Path | None = None,
    jars: Sequence[Jar] | None = None,
    *,
    repository: Callable[[Path], Repository] = MavenCentral,
    progress: Progress = lambda _done, _total: None,
    timeout_s: float = 600.0,
) -> str:
    """The broker's class path: see `runtime.jars.class_path`. Raises BrokerError, SettingsError."""
    return maven.class_path(
        _LIBRARY, folder, jars, repository=repository, progress=progress, timeout_s=timeout_s
    )


def missing_extra() -> SettingsError:
    """The error to raise where the broker's packages are not installed."""
    return _LIBRARY.missing_extra()


if __name__ == "__main__":
    sys.stdout.write(maven.lock_anew(_ROOTS, "python -m runtime.kafka_jars"))
