"""`streamscore subscribe` as its users run it: printing, webhooks, commands, signals, crashes."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import CommandLine
    from tests.subscriber.conftest import Board, Receiver

Until = Callable[..., None]


@pytest.fixture
def subscribe(streamscore: "CommandLine", board: "Board") -> Callable[..., Any]:
    """Run `streamscore subscribe` on the board until it ends by itself."""

    def run(*options: object, idle_s: float = 1.0) -> Any:
        return streamscore(*_flags(board), "--idle-timeout", str(idle_s), *map(str, options))

    return run


@pytest.fixture
def start(streamscore: "CommandLine", board: "Board") -> Callable[..., Any]:
    """Start `streamscore subscribe` on the board, for a test that ends it."""
    return lambda *options: streamscore.start(*_flags(board), *map(str, options))


def _flags(board: "Board") -> list[str]:
    return [
        "subscribe",
        *("--topic", board.topic),
        *("--bootstrap-servers", board.settings.bootstrap_servers),
    ]


def _end(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> str:
    """Send a signal; the process ends with exit code 0 in time; what it wrote to stderr."""
    began = time.monotonic()
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    assert time.monotonic() - began < 10.0
    return str(stderr)


def _group(board: "Board") -> str:
    return f"streamscore-subscribe-{board.topic}"


def _places(ids: list[str]) -> list[str]:
    return [f"flights/0/{each.removeprefix('event-')}" for each in ids]


def test_off_a_terminal_each_prediction_is_a_line_of_json(
    subscribe: Callable[..., Any], board: "Board"
) -> None:
    """All members as they are on the topic, nothing else on stdout, the counts on stderr."""
    ids = board.put(5)
    board.put_value(b"{broken")

    done = subscribe("--where", "prediction < 3")

    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["id"] for line in lines] == ids[:3]
    assert lines[0]["source"] == {"topic": "flights", "partition": 0, "offset": 0}
    assert "6 seen, 3 matched, 1 skipped that are no predictions" in done.stderr
    assert board.committed(_group(board)) == [-1001]


def test_on_a_terminal_a_person_reads_columns(board: "Board") -> None:
    """Aligned under a heading; what could steer the terminal is spelled out."""
    board.put(2)
    board.put(1, id="evil\x1b[2J\x9b", prediction="late", probabilities={"late": 0.75})

    shown = _on_a_terminal(board, "--max", "3")

    heading, *lines = [line for line in shown.splitlines() if line]
    assert re.split(r"\s{2,}", heading) == ["scored at", "id", "prediction", "model", "source"]
    assert re.split(r"\s{2,}", lines[0]) == [
        "2013-12-01 10:15:00.123",
        "event-0",
        "0",
        "flight-delay:3",
        "flights/0/0",
    ]
    assert lines[1].index("flight-delay:3") == heading.index("model")
    assert "evil\\x1b[2J\\x9b" in lines[2]
    assert "late (75%)" in lines[2]


def test_json_is_printed_on_a_terminal_when_it_is_asked_for(board: "Board") -> None:
    """--json gives the same lines everywhere."""
    ids = board.put(2)

    shown = _on_a_terminal(board, "--max", "2", "--json")

    assert [json.loads(line)["id"] for line in shown.splitlines()] == ids


def _on_a_terminal(board: "Board", *options: str) -> str:
    """What appears on a terminal that is the standard output."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "streamscore", *_flags(board), *options],
        stdout=theirs,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65_536):
                shown += chunk
        except OSError:  # the other end is closed
            pass
        os.close(ours)
        process.communicate(timeout=30)
        assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


def test_where_to_begin_and_when_to_stop(subscribe: Callable[..., Any], board: "Board") -> None:
    """--max counts matches, --from latest skips what is there, --timeout ends it."""
    board.put(5)

    assert len(subscribe("--max", 2).stdout.splitlines()) == 2
    assert subscribe("--from", "latest").stdout == ""
    began = time.monotonic()
    assert len(subscribe("--timeout", 2, idle_s=60).stdout.splitlines()) == 5
    assert time.monotonic() - began < 20


def test_a_reader_that_has_seen_enough_ends_it(board: "Board") -> None:
    """`| head -1`: no error, no traceback, and what was not read is not committed."""
    board.put(20_000)
    command = join(
        [sys.executable, "-m", "streamscore", *_flags(board), "--group", "g", "--timeout", "60"]
    )

    done = subprocess.run(
        ["bash", "-c", f"{command} | head -1; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["id"] == "event-0"
    assert "rror" not in done.stderr
    assert board.committed("g")[0] < 20_000


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--where", "predicton > 60"], "column 1"),
        (["--where", "prediction > 60", "--webhook", "ftp://x"], "not one of HTTP"),
        (["--exec", "cat", "--webhook", "http://127.0.0.1/"], "both given"),
        (["--deadline", "5"], "--deadline is for"),
    ],
)
def test_wrong_usage_is_told_without_a_broker(
    streamscore: "CommandLine", options: list[str], reason: str
) -> None:
    """Exit code 2, before anything is connected."""
    done = streamscore("subscribe", "--topic", "t", "--bootstrap-servers", "127.0.0.1:1", *options)

    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broker_or_topic_that_is_not_there(streamscore: "CommandLine", board: "Board") -> None:
    """Exit code 1 with what was tried, within the broker timeout."""
    env = {"STREAMSCORE_BROKER_TIMEOUT_S": "2"}
    missing = streamscore(
        "subscribe",
        *("--topic", "no-such-topic"),
        *("--bootstrap-servers", board.settings.bootstrap_servers),
        env=env,
    )
    assert missing.returncode == 1
    assert "no-such-topic" in missing.stderr

    began = time.monotonic()
    silent = streamscore("subscribe", "--topic", "t", "--bootstrap-servers", "127.0.0.1:1", env=env)
    assert silent.returncode == 1
    assert "127.0.0.1:1" in silent.stderr
    assert time.monotonic() - began < 10


def test_every_prediction_is_posted_and_then_committed(
    subscribe: Callable[..., Any], board: "Board", receiver: "Receiver"
) -> None:
    """In order, once each where nothing fails; the next run goes on after them."""
    first = board.put(20)
    done = subscribe("--webhook", receiver.url)

    assert done.returncode == 0, done.stderr
    assert receiver.keys() == _places(first)
    assert board.committed(_group(board)) == [20]
    assert "20 seen, 20 matched" in done.stderr

    second = board.put(2)
    assert subscribe("--webhook", receiver.url, "--where", "prediction > 20").returncode == 0
    assert receiver.keys() == _places(first + second[1:])
    assert board.committed(_group(board)) == [22]


def test_a_webhook_that_fails_for_a_while_gets_it_again(
    subscribe: Callable[..., Any], board: "Board", receiver: "Receiver"
) -> None:
    """503, 429 with a wait, a broken connection: posted until accepted, before the next one."""
    ids = board.put(2)
    receiver.answer(status=503)
    receiver.answer(status=429, headers={"Retry-After": "1"})
    receiver.answer(reset=True)
    began = time.monotonic()

    done = subscribe("--webhook", receiver.url)

    assert done.returncode == 0, done.stderr
    assert receiver.keys() == _places([ids[0]] * 4 + [ids[1]])
    assert time.monotonic() - began > 1.0
    assert "answered 429" in done.stderr
    assert board.committed(_group(board)) == [2]


def test_a_webhook_that_refuses_ends_it_uncommitted(
    subscribe: Callable[..., Any], board: "Board", receiver: "Receiver"
) -> None:
    """A 4xx: exit code 1 at once, what was accepted is committed, the rest is posted again."""
    ids = board.put(4)
    receiver.answer()
    receiver.answer()
    receiver.answer(status=422)

    failed = subscribe("--webhook", f"http://user:SECRET@{receiver.address}/SECRET?SECRET")

    assert failed.returncode == 1
    assert "did not accept the prediction of the event flights/0/2" in failed.stderr
    assert "it answered 422" in failed.stderr
    assert "SECRET" not in failed.stderr
    assert "Traceback" not in failed.stderr
    assert board.committed(_group(board)) == [2]

    assert subscribe("--webhook", receiver.url).returncode == 0
    assert receiver.keys() == _places([*ids[:3], *ids[2:]])


def test_a_deadline_that_passes_ends_it_uncommitted(
    subscribe: Callable[..., Any], board: "Board", receiver: "Receiver"
) -> None:
    """Exit code 1 after the deadline; a restart posts the same prediction again."""
    ids = board.put(2)
    for _ in range(100):
        receiver.answer(status=500)
    began = time.monotonic()

    failed = subscribe("--webhook", receiver.url, "--deadline", 2)

    assert failed.returncode == 1
    assert "flights/0/0" in failed.stderr
    assert re.search(r"tried \d+ times", failed.stderr)
    assert 1.5 < time.monotonic() - began < 15
    assert board.committed(_group(board)) == [-1001]

    receiver.answers.clear()
    assert subscribe("--webhook", receiver.url).returncode == 0
    assert receiver.keys()[-2:] == _places(ids)


def test_killed_in_the_middle_of_a_post_it_is_posted_again(
    start: Callable[..., Any], board: "Board", receiver: "Receiver", until: Until
) -> None:
    """Kill -9 while the receiver has not answered: the next run posts it, and none is left out."""
    ids = board.put(10)
    for _ in range(5):
        receiver.answer()
    receiver.answer(silent_s=60.0)
    killed = start("--webhook", receiver.url)
    until(lambda: len(receiver.posts) == 6)
    killed.kill()
    killed.wait(10)

    assert board.committed(_group(board))[0] <= 5
    again = start("--webhook", receiver.url)
    until(lambda: receiver.keys()[-1] == _places(ids)[-1])
    _end(again)

    assert set(receiver.keys()) == set(_places(ids))
    assert receiver.keys()[6:][-5:] == _places(ids)[5:]
    assert board.committed(_group(board)) == [10]


def test_a_signal_commits_what_is_done_and_leaves_the_rest(
    start: Callable[..., Any], board: "Board", receiver: "Receiver", until: Until
) -> None:
    """SIGTERM while a post waits to be tried again: exit 0, what was accepted is committed."""
    ids = board.put(5)
    receiver.answer()
    receiver.answer()
    for _ in range(100):
        receiver.answer(status=503, headers={"Retry-After": "600"})
    process = start("--webhook", receiver.url, "--deadline", "1000")
    until(lambda: len(receiver.posts) == 3)

    stderr = _end(process)

    assert "3 seen, 3 matched, 1 not accepted" in stderr
    assert board.committed(_group(board)) == [2]
    receiver.answers.clear()
    again = start("--webhook", receiver.url, "--max", "3")
    again.communicate(timeout=60)
    assert receiver.keys()[3:] == _places(ids[2:])


def test_a_signal_lets_the_reaction_in_hand_finish(
    start: Callable[..., Any], board: "Board", receiver: "Receiver", until: Until
) -> None:
    """SIGINT while the receiver works: its answer is waited for, and counts."""
    board.put(3)
    receiver.answer(silent_s=2.0)
    process = start("--webhook", receiver.url)
    until(lambda: len(receiver.posts) == 1)

    stderr = _end(process, signal.SIGINT)

    assert "1 seen, 1 matched" in stderr
    assert "not accepted" not in stderr
    assert board.committed(_group(board)) == [1]


def test_a_signal_ends_the_waiting_for_predictions(
    start: Callable[..., Any], board: "Board"
) -> None:
    """With nothing to do it ends at once, in a group and without one."""
    board.put(1)
    for options in ([], ["--group", "g"]):
        process = start(*options)
        assert json.loads(process.stdout.readline())["id"] == "event-0"
        _end(process)
    assert board.committed("g") == [1]


def test_each_prediction_is_given_to_a_command(
    subscribe: Callable[..., Any], board: "Board"
) -> None:
    """On its standard input, one run each; its output is the command's output."""
    ids = board.put(3)
    code = "import json, sys; print(json.load(sys.stdin)['id'])"

    done = subscribe("--exec", join([sys.executable, "-c", code]))

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ids
    assert board.committed(_group(board)) == [3]


def test_a_command_that_fails_is_run_again_and_then_ends_it_uncommitted(
    subscribe: Callable[..., Any], board: "Board", tmp_path: Path
) -> None:
    """A non-zero exit code is a failure: repeated, then exit code 1; a restart repeats it."""
    ids = board.put(2)
    switch, ran = tmp_path / "works", tmp_path / "ran"
    code = (
        "import json, pathlib, sys; "
        "open(sys.argv[2], 'a').write(json.load(sys.stdin)['id'] + '\\n'); "
        "sys.exit(0 if pathlib.Path(sys.argv[1]).exists() else 7)"
    )
    command = join([sys.executable, "-c", code, str(switch), str(ran)])

    failed = subscribe("--exec", command, "--deadline", 4)

    assert failed.returncode == 1
    assert "exited with 7" in failed.stderr
    assert board.committed(_group(board)) == [-1001]
    assert len(ran.read_text().splitlines()) > 1
    assert set(ran.read_text().splitlines()) == {ids[0]}

    switch.touch()
    assert subscribe("--exec", command).returncode == 0
    assert ran.read_text().splitlines()[-2:] == ids


def test_an_aborted_transactions_predictions_are_never_posted(
    subscribe: Callable[..., Any], board: "Board", receiver: "Receiver"
) -> None:
    """A reaction happens for what was committed, and for nothing else."""
    producer = board.producer(f"{board.topic}-writer")
    producer.begin_transaction()
    board.put(3, producer)
    producer.flush(30)
    producer.abort_transaction(30)
    producer.begin_transaction()
    ids = board.put(2, producer)
    producer.commit_transaction(30)

    done = subscribe("--webhook", receiver.url)

    assert done.returncode == 0, done.stderr
    assert receiver.keys() == _places(ids)
    assert board.committed(_group(board)) == board.ends()


def test_instances_share_the_work(
    start: Callable[..., Any], board: "Board", receiver: "Receiver", until: Until
) -> None:
    """Two of the default group: the second waits, and takes over when the first is ended."""
    first = board.put(3)
    one = start("--webhook", receiver.url)
    until(lambda: len(receiver.posts) == 3)
    other = start("--webhook", receiver.url)
    _end(one)

    second = board.put(3)
    until(lambda: len(receiver.posts) >= 6)
    _end(other)

    assert receiver.keys() == _places(first + second)
