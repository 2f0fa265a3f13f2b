"""Jars from Maven Central: fetched once, verified, never resolved again.

A lock file names each with its size and SHA-256. They come through jgo's Maven client into a cache
folder, into which only what matches the lock is moved. This module must not know what the jars
are for: the embedded broker's are in runtime/kafka_jars.py.
"""

import fcntl
import hashlib
import os
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from model.errors import SettingsError, StreamscoreError

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


@dataclass(frozen=True, slots=True)
class Library:
    """Jars that are used together; `title` is what people call them, plural, with an article.

    `failure` is what is raised where they cannot be had, `extra` what is to be installed for jgo,
    and `without` what there is instead.
    """

    title: str
    lock: Path
    folder_name: str
    failure: type[StreamscoreError]
    needed_by: str
    extra: str
    without: str = ""

    def jars(self) -> tuple[Jar, ...]:
        """Those that the lock file names."""
        lines = self.lock.read_text(encoding="utf-8").splitlines()
        fields = [line.split() for line in lines if line and not line.startswith("#")]
        return tuple(Jar(coordinate, int(size), sha256) for coordinate, size, sha256 in fields)

    def folder(self) -> Path:
        """Where they are kept for all processes of this user."""
        return Path.home() / ".cache" / "streamscore" / self.folder_name

    def missing_extra(self) -> SettingsError:
        """The error to raise where the packages that fetch or run them are not installed."""
        return SettingsError(
            f"{self.needed_by} needs packages that are not installed",
            hint=f"pip install 'streamscore[{self.extra}]'{self.without}",
        )


class MavenCentral:
    """Fetches through jgo into `folder`; ImportError where jgo is not installed."""

    def __init__(self, folder: Path) -> None:
        from jgo.maven import MavenContext  # noqa: PLC0415 - of an extra, and slow to import

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


def class_path(  # noqa: PLR0913 - what tests hand in has a default
    library: Library,
    folder: Path | None = None,
    jars: Sequence[Jar] | None = None,
    *,
    repository: Callable[[Path], Repository] = MavenCentral,
    progress: Progress = lambda _done, _total: None,
    timeout_s: float = 600.0,
) -> str:
    """The class path of `jars`, those that are locked; what is not in `folder` is fetched first.

    Several processes may ask at once: one fetches, the others wait for it. `repository` is told
    the folder that it is to fetch into. Raises SettingsError where the library's extra is missing;
    its `failure` where a jar could not be fetched within `timeout_s`, or is not what was locked.
    """
    folder = folder or library.folder()
    jars = jars or library.jars()
    if missing(jars, folder):
        deadline = time.monotonic() + timeout_s
        try:
            with _alone(library, folder, deadline):
                _fetch(library, missing(jars, folder), folder, repository, progress, deadline)
        except OSError as error:
            needed = sum(jar.size for jar in jars) // 1_000_000 + 5
            raise library.failure(
                f"{library.title} cannot be kept in {folder}: {error}",
                hint=f"make it writable, with {needed} MB to spare",
            ) from error
        except ImportError as error:
            raise library.missing_extra() from error
    return os.pathsep.join(str(folder / jar.file_name) for jar in jars)


def missing(jars: Sequence[Jar], folder: Path) -> list[Jar]:
    """Those that are not in the folder, or only in part."""
    return [jar for jar in jars if _size(folder / jar.file_name) != jar.size]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


@contextmanager
def _alone(library: Library, folder: Path, deadline: float) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("wb") as lock:
        while not _locked(lock.fileno()):
            if time.monotonic() > deadline:
                raise library.failure(
                    f"another process has been fetching {library.title} into {folder} too long",
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


def _fetch(  # noqa: PLR0913, PLR0917 - the whole of one download
    library: Library,
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
        results = _in_threads(lambda jar: _fetch_one(library, source, jar, folder), jars)
        while done < total:
            try:
                result = results.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty as error:
                raise library.failure(
                    f"only {done:,} of {total:,} bytes of {library.title} came in time",
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


def _fetch_one(library: Library, source: Repository, jar: Jar, folder: Path) -> None:
    for tries_left in reversed(range(_TRIES)):
        try:
            fetched = source.fetch(jar.coordinate)
            break
        except (OSError, RuntimeError) as error:  # those of requests, and jgo's own
            if not tries_left:
                raise library.failure(
                    f"{jar.coordinate} could not be fetched: {error}",
                    hint=f"{library.title} come from Maven Central once: it must be reachable, "
                    "through HTTPS_PROXY where there is a proxy",
                ) from error
            time.sleep(_PAUSE_S)
    if (digest := _sha256(fetched)) != jar.sha256:
        raise library.failure(
            f"{jar.coordinate} is not what was locked: its SHA-256 is {digest}",
            hint="it was not used; does something on the way to Maven Central change files?",
        )
    fetched.replace(folder / jar.file_name)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lock_anew(roots: Sequence[str], made_by: str) -> str:
    """The text of a lock file with these artifacts and all that they need."""
    with tempfile.TemporaryDirectory() as folder:
        maven = MavenCentral(Path(folder))
        lines = [f"# Made by `{made_by}`: group:artifact:version, size, SHA-256."]
        for coordinate in maven.resolve(roots):
            path = maven.fetch(coordinate)
            lines.append(f"{coordinate} {path.stat().st_size} {_sha256(path)}")
    return "\n".join(lines) + "\n"
