"""What the tests of the examples share: whether our command line takes a command."""

import re
import shlex
from collections.abc import Callable

import pytest

import streamscore


@pytest.fixture
def accepted(capsys: pytest.CaptureFixture[str]) -> Callable[[str], list[str]]:
    """Parse a command of a shell, and give its words; the test fails where a flag is unknown.

    What the shell would put in stands for a day.
    """

    def accept(command: str) -> list[str]:
        program, *words = shlex.split(re.sub(r'"?\$\([^)]*\)"?', "2013-12-01", command))
        assert program.rpartition("/")[2] == "streamscore"
        # Its flags are read before the help is printed.
        assert streamscore.run([*words, "--help"]) == 0, capsys.readouterr().err
        return words

    return accept
