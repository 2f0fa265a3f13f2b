"""The import rule: a pure core, a shell around it, and applications that never meet."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

APPLICATIONS = frozenset(
    {"producer", "consumer", "subscriber", "dead_letters", "batch", "serving", "monitor", "demo"}
)
PACKAGES = APPLICATIONS | {"model", "runtime"}
MAY_IMPORT: dict[str, frozenset[str]] = {
    "model": frozenset(),
    "runtime": frozenset({"model"}),
    **dict.fromkeys(APPLICATIONS, frozenset({"model", "runtime"})),
}
# The core decides on values that it is handed: it reaches neither for Kafka, HTTP or a terminal,
# nor for the environment or a clock.
NOT_IN_THE_CORE = frozenset(
    {
        "confluent_kafka",
        "http",
        "prometheus_client",
        "pydantic_settings",
        "rich",
        "socket",
        "structlog",
        "typer",
        "urllib",
        "urllib3",
    }
)
NOT_READ = frozenset(
    {
        "datetime.datetime.now",
        "datetime.now",
        "datetime.utcnow",
        "date.today",
        "os.environ",
        "os.getenv",
        "time.monotonic",
        "time.perf_counter",
        "time.time",
        "time.time_ns",
    }
)
IMPORTING_CALLS = frozenset({"import_module", "__import__", "find_spec"})


def imported(source: str) -> Iterator[tuple[int, str]]:
    """Line and top-level name of each absolute import, whether it stands in a function or not."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name.partition(".")[0]) for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield node.lineno, module.partition(".")[0]
            case ast.Call(
                func=ast.Name(id=called) | ast.Attribute(attr=called),
                args=[ast.Constant(value=str(module)), *_],
            ) if called in IMPORTING_CALLS:
                yield node.lineno, module.partition(".")[0]
            case _:
                pass


def read(source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of what is taken from other modules: `os.environ`, `time.time`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute():
                yield node.lineno, ast.unparse(node)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)
            case _:
                pass


def violations(package: str, source: str) -> list[str]:
    """What the source of a module of that package imports against the rule."""
    forbidden = (PACKAGES | {"streamscore"}) - MAY_IMPORT[package] - {package}
    if package == "model":
        forbidden |= NOT_IN_THE_CORE
    return described(imported(source), forbidden)


def described(found: Iterable[tuple[int, str]], forbidden: frozenset[str]) -> list[str]:
    """Those that are forbidden, with their lines."""
    return [f"line {line}: {name}" for line, name in sorted(set(found)) if name in forbidden]


def test_each_package_imports_only_what_lies_below_it(
    root: Path, sources: tuple[Path, ...]
) -> None:
    """`model` imports none of the others, `runtime` only it, an application never another."""
    found = {
        str(path): broken
        for path in sources
        if path.parts[0] in PACKAGES
        and (broken := violations(path.parts[0], (root / path).read_text(encoding="utf-8")))
    }
    assert not found


def test_the_core_reads_neither_the_environment_nor_a_clock(
    root: Path, sources: tuple[Path, ...]
) -> None:
    """Only the front of `model`, which its users call, says what time it is."""
    found = {
        str(path): broken
        for path in sources
        if path.parts[0] == "model"
        and path != Path("model/__init__.py")
        and (broken := described(read((root / path).read_text(encoding="utf-8")), NOT_READ))
    }
    assert not found


def test_only_the_command_line_sees_more_than_one_application(
    root: Path, sources: tuple[Path, ...]
) -> None:
    """Whoever needs two applications starts them as processes, as the demo does."""
    mixed = {
        str(path): sorted(seen)
        for path in sources
        if path.parts[0] not in {"tests", "examples", "streamscore.py"}
        and len(seen := applications_in((root / path).read_text(encoding="utf-8"))) > 1
    }
    assert not mixed


def applications_in(source: str) -> set[str]:
    """The applications that a source imports."""
    return {name for _, name in imported(source)} & APPLICATIONS


def test_the_rule_knows_every_package(top_level: frozenset[str]) -> None:
    """A new package has to be placed in the rule before it passes."""
    assert top_level == PACKAGES | {"streamscore"}


@pytest.mark.parametrize(
    ("package", "source", "expected"),
    [
        ("model", "import json\nfrom runtime.settings import Settings", ["line 2: runtime"]),
        ("model", "def get(url):\n    import urllib.request", ["line 2: urllib"]),
        ("runtime", "from importlib import import_module\nimport_module('consumer.loop')",
         ["line 2: consumer"]),
        ("producer", "import model.codec, consumer.loop", ["line 1: consumer"]),
        ("producer", "from .publisher import Publisher\nfrom runtime import clients", []),
        ("demo", "import streamscore", ["line 1: streamscore"]),
    ],
)  # fmt: skip
def test_the_check_finds_what_it_forbids(package: str, source: str, expected: list[str]) -> None:
    """Imports in functions and by name count; a package's own modules and those below don't."""
    assert violations(package, source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import time\ntime.sleep(1)\ntime.time()", ["line 3: time.time"]),
        ("from os import environ", ["line 1: os.environ"]),
        ("from datetime import datetime\ndatetime.now()", ["line 2: datetime.now"]),
        ("self.environ, card.now", []),
    ],
)
def test_the_check_finds_clocks_and_the_environment(source: str, expected: list[str]) -> None:
    """Calls and imports by name count; fields of our own values don't."""
    assert described(read(source), NOT_READ) == expected
