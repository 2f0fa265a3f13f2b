"""The demo's processes: started with exact settings, watched, and stopped whatever happens."""

import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.processes import (
    Child,
    ChildDied,
    Children,
    Lines,
    environment,
    free_ports,
    wait_until_ready,
)
from model.errors import StreamscoreError
from runtime.settings import load_settings

PYTHON = (sys.executable, "-c")
SLEEPS = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('up', flush=True); time.sleep(60)"
)
DIES = "import sys; print('a line of the log', file=sys.stderr); sys.exit(3)"


def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    with Children(os.environ, tmp_path, 1.0, PYTHON) as started:
        yield started


@pytest.mark.parametrize("program", [SLEEPS, STUBBORN])
def test_a_child_never_outlives_the_block(tmp_path: Path, program: str) -> None:
    """Asked to stop, then killed when it does not: also when the block ends with Ctrl-C."""
    started: list[int] = []

    def interrupted() -> None:
        with Children(os.environ, tmp_path, 0.3, PYTHON) as children:
            child = children.start("sleeper", [program])
            started.append(child.pid)
            until(lambda: child.output.read_bytes() == b"up\n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not runs(started[0])


def test_a_child_that_dies_is_told_with_the_end_of_its_log(children: Children) -> None:
    """The error names the process, its exit status and why, in its own words."""
    child = children.start("scoring group", [DIES])
    until(lambda: has_died(child))
    with pytest.raises(ChildDied, match=r"(?s)scoring group .* status 3.*a line of the log"):
        children.require_alive()


def has_died(child: Child) -> bool:
    try:
        child.require_alive()
    except ChildDied:
        return True
    return False


def test_a_child_that_was_stopped_is_not_missed(children: Children) -> None:
    """Who was stopped on purpose is no longer watched, and not stopped again."""
    child = children.start("sleeper", [SLEEPS])
    until(lambda: child.output.read_bytes() == b"up\n")
    children.stop(child)
    children.require_alive()
    assert not runs(child.pid)


def test_ctrl_c_on_the_terminal_does_not_reach_a_child(children: Children) -> None:
    """A child is in a session of its own: the demo stops it in its turn."""
    child = children.start("sleeper", [SLEEPS])
    assert os.getsid(child.pid) != os.getsid(0)


def test_lines_are_counted_as_they_come(tmp_path: Path) -> None:
    """Half a line is none yet."""
    path = tmp_path / "subscriber.out"
    path.write_bytes(b"one\ntwo")
    lines = Lines(path)
    assert lines.update() == 1
    with path.open("ab") as file:
        file.write(b"\nthree\n")
    assert lines.update() == 3


def test_a_child_has_the_demo_s_settings_and_no_others(tmp_path: Path) -> None:
    """Its environment gives exactly the settings: neither the user's file nor variables leak."""
    # given settings from a file, the environment and flags
    (tmp_path / "streamscore.toml").write_text(
        '[kafka]\n"sasl.password" = "secret"\n[consumer]\nguarantee = "at_least_once"\n'
    )
    environ = {"STREAMSCORE_MODEL__ALLOWED_TYPES": "a.B,c.D", "PATH": "/bin"}
    settings = load_settings(
        {"store": tmp_path, "log.level": "debug", "health.port": 0},
        environ=environ,
        directory=tmp_path,
    )
    # when a child reads them where there are other files and variables
    given = environment(settings, environ | {"STREAMSCORE_STORE": "/elsewhere"})
    child = load_settings(environ=given, directory=tmp_path)
    # then they are the same
    assert child == settings
    assert given["PATH"] == "/bin"


def test_ports_in_a_row_are_free() -> None:
    """Each worker can listen on the first port plus its number."""
    first = free_ports(3)
    for port in range(first, first + 3):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))


class Probe(http.server.BaseHTTPRequestHandler):
    status = 503

    def do_GET(self) -> None:
        self.send_response(type(self).status if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@pytest.fixture
def probe() -> Iterator[tuple[int, type[Probe]]]:
    class Handler(Probe):
        pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1], Handler
        server.shutdown()
        thread.join(5)


def test_ready_means_that_all_workers_say_so(
    probe: tuple[int, type[Probe]], children: Children
) -> None:
    """One that answers 503 or not at all is waited for, up to the deadline."""
    group = children.start("scoring group", [SLEEPS])
    port, handler = probe
    silent = free_ports(1)
    with pytest.raises(StreamscoreError, match="1 of 1 workers of the scoring group were not read"):
        wait_until_ready(group, [port], timeout_s=0.2)
    handler.status = 200
    wait_until_ready(group, [port], timeout_s=5)
    with pytest.raises(StreamscoreError, match="1 of 2 workers of the scoring group were not read"):
        wait_until_ready(group, [port, silent], timeout_s=0.2)


def test_what_is_not_ready_in_time_is_told_with_the_end_of_its_log(children: Children) -> None:
    """A group whose workers die again and again says why."""
    loops = "import sys, time; print('worker_died', file=sys.stderr, flush=True); time.sleep(60)"
    group = children.start("scoring group", [loops])
    until(lambda: group.log.read_bytes() != b"")
    with pytest.raises(StreamscoreError, match="worker_died"):
        wait_until_ready(group, [free_ports(1)], timeout_s=0.1)


def test_a_dead_child_is_not_waited_for(children: Children) -> None:
    """Waiting ends at once when the process that should become ready has ended."""
    group = children.start("scoring group", [DIES])
    with pytest.raises(ChildDied):
        wait_until_ready(group, [free_ports(1)], timeout_s=30)


def test_sigkill_is_for_those_that_do_not_listen(tmp_path: Path) -> None:
    """A child that stops when asked is not killed: it can leave its group."""
    graceful = (
        "import signal, sys, time\n"
        "def stop(*_):\n    print('left the group', flush=True)\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\nprint('up', flush=True)\ntime.sleep(60)"
    )
    with Children(os.environ, tmp_path, 10.0, PYTHON) as children:
        child = children.start("worker", [graceful])
        until(lambda: child.output.read_bytes().startswith(b"up"))
    assert child.output.read_text() == "up\nleft the group\n"


def test_a_demo_that_is_killed_leaves_no_child(tmp_path: Path) -> None:
    """Not even SIGKILL on the demo orphans a process."""
    # given a program that started a child
    program = (
        "import os, pathlib, sys, time\n"
        "from demo.processes import Children\n"
        f"children = Children(os.environ, pathlib.Path({str(tmp_path)!r}), 1.0, sys.argv[1:3])\n"
        "print(children.start('sleeper', sys.argv[3:]).pid, flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [*PYTHON, program, *PYTHON, SLEEPS], stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        pid = int(demo.stdout.readline())
        assert runs(pid)
        # when it is killed
        demo.kill()
    # then its child ends too
    until(lambda: not runs(pid))
