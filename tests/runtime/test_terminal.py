"""What is printed: plain off a terminal, and data is never read as markup or control."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from runtime.terminal import out, plain, print_error, print_json, progress, table


@dataclass(frozen=True)
class Row:
    name: str
    path: Path


def test_a_table_off_a_terminal_is_plain_aligned_text(capsys: pytest.CaptureFixture[str]) -> None:
    """No colours, no lines, no cells cut to a width: scripts can read it."""
    long = "x" * 300
    out().print(table(["name", "value"], [["a", 1], ["b", long]], title="left out"))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["name", "value"], ["a", "1"], ["b", long]]
    assert lines[1].index("1") == lines[0].index("value")


def test_data_is_no_markup_and_no_control_sequence(capsys: pytest.CaptureFixture[str]) -> None:
    """A key like [red] is printed as it is; an escape sequence in it does nothing."""
    out().print(table(["key"], [["[red]a[/red]"], ["\x1b]0;owned\x07"], ["a\nb"], [":smile:"]]))
    printed = capsys.readouterr().out
    assert "[red]a[/red]" in printed
    assert ":smile:" in printed
    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert len(printed.splitlines()) == 5


def test_plain_text_stays_and_control_characters_are_spelled_out() -> None:
    """Letters of any language are text."""
    assert plain("Zürich 東京 🛫") == "Zürich 東京 🛫"
    assert plain("a\tb\x1b[0m\u202e") == "a\\tb\\x1b[0m\\u202e"
    assert plain(None) == ""
    assert plain(1.5) == "1.5"


def test_json_takes_what_a_command_has_at_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """Dataclasses, paths and numpy values become JSON."""
    print_json({"row": Row("a", Path("/x")), "mean": np.float64(1.5), 3: np.array([1, 2])})
    assert json.loads(capsys.readouterr().out) == {
        "row": {"name": "a", "path": "/x"},
        "mean": 1.5,
        "3": [1, 2],
    }


def test_an_error_goes_to_standard_error_with_its_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """`error:` and what happened, below it how to mend it."""
    print_error("no broker answered at [::1]:9092", "start one")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "error: no broker answered at [::1]:9092\n  start one\n"


def test_progress_prints_nothing_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Logs of a cron job hold no bars."""
    with progress("reading", total=3, unit="events") as bar:
        bar.advance()
        bar.expect(5)
        bar.advance(4)
    printed = capsys.readouterr()
    assert printed.out + printed.err == ""
