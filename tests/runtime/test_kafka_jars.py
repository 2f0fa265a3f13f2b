"""The broker's jars: fetched once, verified, shared by processes; with a repository of our own."""

import fcntl
import hashlib
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from model.errors import BrokerError, SettingsError
from runtime.broker_node import KAFKA_VERSION
from runtime.kafka_jars import Jar, Repository, class_path, locked_jars

CONTENTS = {f"org.example:part-{n}:1.0": f"content {n}".encode() * (n + 1) for n in range(6)}
JARS = tuple(
    Jar(name, len(content), hashlib.sha256(content).hexdigest())
    for name, content in CONTENTS.items()
)
ONE = JARS[3]


class FakeRepository:
    """Gives what it has, after it failed as often as it is told to; counts what it was asked."""

    def __init__(self, contents: dict[str, bytes] | None = None, failures: int = 0) -> None:
        self.contents = CONTENTS if contents is None else contents
        self.asked: Counter[str] = Counter()
        self.failures = failures

    def __call__(self, folder: Path) -> Repository:
        self.folder = folder
        return self

    def fetch(self, coordinate: str) -> Path:
        self.asked[coordinate] += 1
        if self.asked[coordinate] <= self.failures:
            raise RuntimeError("connection reset")
        path = self.folder / coordinate.replace(":", "-")
        path.write_bytes(self.contents[coordinate])
        return path


def test_the_lock_names_each_jar_once_and_the_broker_among_them() -> None:
    """Two of one name would overwrite each other in the folder."""
    names = [jar.file_name for jar in locked_jars()]
    assert len(set(names)) == len(names)
    assert {f"kafka_2.13-{KAFKA_VERSION}.jar", f"kafka-clients-{KAFKA_VERSION}.jar"} <= set(names)
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in locked_jars())


def test_what_is_missing_is_fetched_once(tmp_path: Path) -> None:
    """The first call fetches and tells how far it is, the second needs no repository."""
    source, told = FakeRepository(), list[tuple[int, int]]()

    first = class_path(tmp_path, JARS, repository=source, progress=lambda *x: told.append(x))
    again = class_path(tmp_path, JARS, repository=source)

    paths = [Path(path) for path in first.split(":")]
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())
    assert first == again
    assert set(source.asked.values()) == {1}
    total = sum(jar.size for jar in JARS)
    assert told[0] == (0, total)
    assert told[-1] == (total, total)
    assert not list(tmp_path.glob("fetching-*"))


def test_a_truncated_jar_is_fetched_again_and_no_other(tmp_path: Path) -> None:
    """A file that is not what was locked is no jar of ours."""
    class_path(tmp_path, JARS, repository=FakeRepository())
    (tmp_path / ONE.file_name).write_bytes(b"cont")
    source = FakeRepository()

    class_path(tmp_path, JARS, repository=source)

    assert source.asked == {ONE.coordinate: 1}
    assert (tmp_path / ONE.file_name).read_bytes() == CONTENTS[ONE.coordinate]


def test_a_jar_that_is_not_what_was_locked_is_refused(tmp_path: Path) -> None:
    """Neither used nor kept, and the error says which it is."""
    forged = CONTENTS | {ONE.coordinate: b"x" * ONE.size}
    with pytest.raises(BrokerError, match=f"{ONE.coordinate} is not what was locked"):
        class_path(tmp_path, JARS, repository=FakeRepository(forged))
    assert not (tmp_path / ONE.file_name).exists()


def test_a_connection_that_breaks_is_tried_again(tmp_path: Path) -> None:
    """Two failures are survived, a third is an error that names the jar and the reason."""
    class_path(tmp_path, JARS[:1], repository=FakeRepository(failures=2))
    assert (tmp_path / JARS[0].file_name).exists()
    with pytest.raises(BrokerError, match=f"{ONE.coordinate} could not be .*connection reset") as e:
        class_path(tmp_path, [ONE], repository=FakeRepository(failures=3))
    assert "Maven Central" in e.value.hint


def test_processes_that_start_at_once_fetch_once(tmp_path: Path) -> None:
    """One fetches, the others wait and use what it got."""
    source = FakeRepository(failures=1)  # slow enough for the others to come
    paths: list[str] = []
    threads = [
        threading.Thread(target=lambda: paths.append(class_path(tmp_path, JARS, repository=source)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(paths) == 4
    assert set(paths) == {paths[0]}
    assert set(source.asked.values()) == {2}


def test_waiting_for_another_process_has_an_end(tmp_path: Path) -> None:
    """It says what is waited for."""
    with (tmp_path / "lock").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BrokerError, match="another process has been fetching"):
            class_path(tmp_path, JARS, repository=FakeRepository(), timeout_s=0.3)


def test_what_a_killed_process_left_behind_is_removed(tmp_path: Path) -> None:
    """The half of a download, in a folder of its own."""
    (tmp_path / "fetching-abc").mkdir()
    (tmp_path / "fetching-abc" / "part").write_bytes(b"half")
    class_path(tmp_path, JARS, repository=FakeRepository())
    assert not (tmp_path / "fetching-abc").exists()


def test_without_the_extra_the_error_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded broker is an extra; who has a broker of their own does not need it."""
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    with pytest.raises(SettingsError) as error:
        class_path(tmp_path, JARS)
    assert "pip install 'streamscore[demo]'" in error.value.hint


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """And no traceback is shown."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BrokerError, match=r"cannot be kept in .*file"):
        class_path(tmp_path / "file", JARS, repository=FakeRepository())
