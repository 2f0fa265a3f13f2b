"""The command line as a whole: help, exit codes, and what it prints off a terminal."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from confluent_kafka import KafkaError, KafkaException

import streamscore as command_line
from model.errors import ModelNotFound, SettingsError

HEAVY = ("sklearn", "pandas", "numpy", "confluent_kafka", "pyarrow", "rich", "pydantic")

# Run in a process of its own: which of the heavy modules did this command line import?
IMPORTED = f"""
import sys, streamscore
sys.argv[1:] = {{arguments!r}}
code = streamscore.run(sys.argv[1:])
print("imported:", *(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("STREAMSCORE_"):
            monkeypatch.delenv(name)
    return tmp_path


def run_module(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamscore", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_lists_every_command_and_imports_nothing_heavy(directory: Path) -> None:
    """`--help` is quick because the applications stay unimported."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED.format(arguments=["--help"])],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == "imported:\n"
    for name, target in command_line.COMMANDS.items():
        assert name in done.stdout
        assert target.help.split(":")[0] in done.stdout


def test_help_is_plain_off_a_terminal(directory: Path) -> None:
    """No boxes and no colours in a pipe."""
    done = run_module("--help", directory=directory)
    assert done.returncode == 0
    assert not set(done.stdout) & set("\x1b╭│")


def test_help_is_drawn_on_a_terminal(directory: Path) -> None:
    """Rich's boxes where a person reads it."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "streamscore", "--help"],
        cwd=directory,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    ) as process:
        os.close(theirs)
        shown = read_all(ours)
        assert process.wait(60) == 0
    os.close(ours)
    assert "╭" in shown
    assert "consume" in shown


def read_all(descriptor: int) -> str:
    """Everything that is written to a pseudo-terminal until its other end is closed."""
    parts = []
    while True:
        try:
            part = os.read(descriptor, 65_536)
        except OSError:  # Linux reports the closed end as an error
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts).decode()


@pytest.mark.parametrize("name", sorted(command_line.COMMANDS))
@pytest.mark.usefixtures("directory")
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own help says what it does, and what its options are."""
    assert command_line.run([name, "--help"]) == 0
    printed = capsys.readouterr().out
    assert f"Usage: streamscore {name}" in printed
    assert "--help" in printed


@pytest.mark.parametrize("name", sorted(command_line.COMMANDS))
@pytest.mark.usefixtures("directory")
def test_no_help_of_a_command_imports_what_it_runs_with(name: str) -> None:
    """Heavy libraries are imported when the command runs, not when it explains itself."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED.format(arguments=[name, "--help"])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    imported = done.stderr.splitlines()[-1].removeprefix("imported:").split()
    assert not {"sklearn", "pandas", "confluent_kafka", "pyarrow"} & set(imported)


@pytest.mark.usefixtures("directory")
def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    """`streamscore --version` names it."""
    assert command_line.run(["--version"]) == 0
    name, version = capsys.readouterr().out.split()
    assert name == "streamscore"
    assert version[0].isdigit()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prodce"], "Did you mean 'produce'?"),
        (["no-such-thing"], "No such command 'no-such-thing'"),
        (["--no-such-flag"], "No such option: --no-such-flag"),
        (["doctor", "--no-such-flag"], "No such option: --no-such-flag"),
        (["doctor", "surplus"], "unexpected extra argument"),
    ],
)
@pytest.mark.usefixtures("directory")
def test_wrong_usage_exits_with_2_and_says_where_to_look(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, in the form of every other error."""
    assert command_line.run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert "--help" in printed.err


@pytest.mark.usefixtures("directory")
def test_no_command_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """It is wrong usage, but a friendly one."""
    assert command_line.run([]) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.usefixtures("directory")
def test_a_settings_file_that_is_missing_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--config` names the file for the command and for the processes that it starts."""
    monkeypatch.setenv("STREAMSCORE_CONFIG", "")  # so that it is restored afterwards
    assert command_line.run(["--config", "nowhere.toml", "models", "list"]) == 2
    assert "nowhere.toml" in capsys.readouterr().err


def command_that_raises(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `streamscore doctor` be a command that fails with `error`."""

    def failing() -> None:
        raise error

    monkeypatch.setattr("runtime.doctor_command.doctor", failing)


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (ModelNotFound("no model [a]", hint="train one"), 1, "error: no model [a]\n  train one\n"),
        (SettingsError("unknown setting"), 2, "error: unknown setting\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "error: Permission denied: /x\n"),
        (typer.Exit(3), 3, ""),
        (typer.Abort(), 1, "error: aborted\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
@pytest.mark.usefixtures("directory")
def test_what_a_command_raises_becomes_its_exit_code(
    error: BaseException,
    code: int,
    printed: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Commands raise; only here an error becomes a message and a code."""
    command_that_raises(error, monkeypatch)
    assert command_line.run(["doctor"]) == code
    assert capsys.readouterr().err == printed


@pytest.mark.usefixtures("directory")
def test_an_error_of_the_kafka_client_that_nobody_foresaw_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In our words, not as a traceback."""
    error = KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    command_that_raises(error, monkeypatch)
    assert command_line.run(["doctor"]) == 1
    assert "TOPIC_AUTHORIZATION_FAILED" in capsys.readouterr().err


@pytest.mark.usefixtures("directory")
def test_a_defect_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is nothing that the user could mend."""
    command_that_raises(ZeroDivisionError("a defect"), monkeypatch)
    with pytest.raises(ZeroDivisionError):
        command_line.run(["doctor"])


def test_the_module_runs_as_a_program(directory: Path) -> None:
    """`python -m streamscore` is the same program under the same name."""
    done = run_module("prodce", directory=directory)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "see `streamscore --help`" in done.stderr
