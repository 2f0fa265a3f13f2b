"""One run of a command: what it is given, and how its end is read."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shlex import join

import pytest

from model.errors import WrongUsage
from runtime.insistence import Allowance, Refusal
from subscriber.prediction import decode
from subscriber.program import Program

PREDICTION = decode(
    json.dumps(
        {
            "id": "a" * 1_000_000,  # more than a pipe holds
            "prediction": 1,
            "model": "m",
            "version": "1",
            "source": {"topic": "flights", "partition": 2, "offset": 8812},
            "scored_at": "2013-12-01T10:15:00Z",
        }
    ).encode()
)


def run(code: str, *arguments: object, seconds: float = 30.0) -> Refusal | None:
    command = join([sys.executable, "-c", code, *map(str, arguments)])
    return Program(command)(PREDICTION, Allowance(seconds, stopped=lambda: False))


def test_a_command_gets_the_prediction_on_its_standard_input(tmp_path: Path) -> None:
    """One line of JSON and the end of the input."""
    written = tmp_path / "got"

    assert run("import sys; open(sys.argv[1], 'w').write(sys.stdin.read())", written) is None

    assert written.read_bytes() == PREDICTION.to_json() + b"\n"


def test_a_command_need_not_read() -> None:
    """One that ignores its input succeeds all the same, however large the prediction is."""
    assert run("") is None


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    """Signs that a shell would act on are arguments like others."""
    code = "import sys, json; json.dump(sys.argv[2:], open(sys.argv[1], 'w'))"

    assert run(code, tmp_path / "got", "$HOME", "; rm x", "`id`", "*") is None

    assert json.loads((tmp_path / "got").read_text()) == ["$HOME", "; rm x", "`id`", "*"]


def test_an_exit_code_other_than_0_is_worth_another_try() -> None:
    """A command says by its exit code that it did not accept the prediction."""
    assert run("raise SystemExit(3)") == Refusal("it exited with 3")


def test_a_command_that_is_killed_did_not_accept() -> None:
    """The signal is named."""
    refusal = run("import os; os.kill(os.getpid(), 9)")

    assert refusal == Refusal("it was ended by signal 9")


@pytest.mark.parametrize("deaf", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN);"])
def test_a_command_that_takes_too_long_is_ended_with_all_it_started(
    deaf: str, tmp_path: Path, until: Callable[..., None]
) -> None:
    """After its time the command and its children are gone, also when they ignore SIGTERM."""
    child = "import sys, time; time.sleep(600)"
    code = (
        f"import os, signal, subprocess, sys, time; {deaf}"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}]);"
        "open(sys.argv[1], 'w').write(f'{os.getpid()} {child.pid}'); time.sleep(600)"
    )
    written = tmp_path / "pids"
    began = time.monotonic()

    refusal = run(code, written, seconds=3.0)

    assert refusal == Refusal("it was ended after 3.0 s")
    assert time.monotonic() - began < 10.0
    parent_id, child_id = map(int, written.read_text().split())
    until(lambda: _gone(parent_id) and _gone(child_id))


def test_a_command_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    """A file that is executable but no program: a refusal with the reason, no crash."""
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x00\x01")
    broken.chmod(0o755)

    refusal = Program(str(broken))(PREDICTION, Allowance(5.0, stopped=lambda: False))

    assert refusal == Refusal("it cannot be run: Exec format error")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("echo 'x", "no closing quotation"),
        ("no-such-program-here --password SECRET", "no program 'no-such-program-here'"),
    ],
)
def test_a_command_that_cannot_work_is_refused_at_the_start(command: str, reason: str) -> None:
    """At the start, not at the first prediction; its arguments are not shown."""
    with pytest.raises(WrongUsage) as caught:
        Program(command)

    assert reason in str(caught.value)
    assert "SECRET" not in str(caught.value) + caught.value.hint


def test_the_name_in_messages_holds_no_arguments() -> None:
    """They may be secrets."""
    assert Program(join([sys.executable, "--token", "SECRET"])).name == (
        f"the command {Path(sys.executable).name!r}"
    )


def _gone(process_id: int) -> bool:
    """Whether the process has ended; one that nobody has waited for yet is a zombie."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"
