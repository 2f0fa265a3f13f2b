"""What a file may be called, how long it may be, and what it must not give away."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

LONGEST_MODULE = 300

# What a lock file would hold to say where packages come from.
ORIGIN = re.compile(r"://|^\s*(?:-i|-f|--(?:extra-)?index-url|--find-links)\b")
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|root|farm|home/\w+|Users/\w+)/")


def matches(root: Path, tracked: tuple[Path, ...], pattern: re.Pattern[str]) -> list[str]:
    """Where the pattern stands in a text file, as `path:line`."""
    return [
        f"{path}:{number}"
        for path in tracked
        for number, line in enumerate(lines(root / path), start=1)
        if pattern.search(line)
    ]


def lines(path: Path) -> list[str]:
    """The lines of a file; pictures and other binaries have some too."""
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def test_no_module_is_too_long_to_read(root: Path, sources: tuple[Path, ...]) -> None:
    """A module of the program has at most 300 lines."""
    program = [path for path in sources if path.parts[0] != "tests"]
    lengths = {str(path): len(lines(root / path)) for path in program}
    assert {path: n for path, n in lengths.items() if n > LONGEST_MODULE} == {}


def test_a_test_file_is_found_by_its_name(sources: tuple[Path, ...]) -> None:
    """No two test files have the same name, whatever folder they are in."""
    counts = Counter(path.name for path in sources if path.name.startswith("test_"))
    assert [name for name, n in counts.items() if n > 1] == []


def test_every_package_ships_its_types(root: Path, top_level: frozenset[str]) -> None:
    """Type checkers of code that imports us see our annotations."""
    packages = [name for name in top_level if (root / name).is_dir()]
    assert [name for name in packages if not (root / name / "py.typed").is_file()] == []


def test_every_package_is_in_the_image_and_under_the_type_checker(
    root: Path, pyproject: dict[str, Any], top_level: frozenset[str]
) -> None:
    """A new package is copied into the image, let through by .dockerignore, and checked."""
    copied = set(re.findall(r"^COPY (.+) \S+$", (root / "Dockerfile").read_text(), re.MULTILINE))
    let_through = set(re.findall(r"^!(\S+)$", (root / ".dockerignore").read_text(), re.MULTILINE))
    packages = {name for name in top_level if (root / name).is_dir()}
    assert packages <= copied
    assert packages <= let_through
    assert packages <= set(pyproject["tool"]["mypy"]["packages"])


def test_no_lock_file_says_where_packages_come_from(root: Path, tracked: tuple[Path, ...]) -> None:
    """That is the machine's setting: a mirror serves as well."""
    locks = tuple(p for p in tracked if p.parts[0] == "requirements" or p.suffix == ".lock")
    assert len(locks) > 1
    assert matches(root, locks, ORIGIN) == []


def test_no_path_of_a_machine_is_named(root: Path, tracked: tuple[Path, ...]) -> None:
    """Nothing depends on where its author's checkout was."""
    assert matches(root, tracked, MACHINE_PATH) == []
    assert matches(root, tracked, re.compile(re.escape(f"{root}/"))) == []


def test_the_patterns_match_what_they_are_for() -> None:
    """Given the things that must not stand there, when searched for, then they are found."""
    assert ORIGIN.search("--index-url packages.example.org")
    assert ORIGIN.search("six @ https://packages.example.org/six.whl")
    assert MACHINE_PATH.search("-f /" + "root/wheels")
    assert MACHINE_PATH.search("file:///" + "work/main")
    assert not MACHINE_PATH.search("https://example.org/work/")
    assert not MACHINE_PATH.search("tests/root/x ~/work/y")
