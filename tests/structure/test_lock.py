"""The lock files are current: exactly what pyproject.toml asks for, pinned, hashed, installed.

Checked without a registry: each requirement is followed through the metadata of the installed
distributions, and what is reached is compared with what is locked. Asks only for the Python that
runs; `make lock` resolves for all of them at once.
"""

import re
from collections.abc import Iterable
from importlib.metadata import distribution
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PINNED = re.compile(r"^(?P<requirement>[a-z0-9.-]+==[^\s;\\]+(?: ; [^\\]+?)?) \\$", re.MULTILINE)
FILES = ["runtime", "batch", "serving", "demo", "build", "dev"]
DEMO = ("batch", "serving", "monitor", "demo")  # the extras that the demos show
COMPILER = "compiler"  # installed only where the machine has none of its own


def roots(pyproject: dict[str, Any], name: str) -> list[str]:
    """What pyproject.toml asks for in that lock file."""
    runtime = pyproject["project"]["dependencies"]
    extras = pyproject["project"]["optional-dependencies"]
    groups = pyproject["dependency-groups"]
    asked: dict[str, list[str]] = {
        "runtime": runtime,
        "batch": runtime + extras["batch"],
        "serving": runtime + extras["serving"] + extras["monitor"],
        "demo": [*runtime, *chain.from_iterable(extras[name] for name in DEMO)],
        "build": groups["build"],
        "dev": [*runtime, *chain(*extras.values()), *groups["build"], *groups["dev"]],
    }
    return asked[name]


def pins(root: Path, name: str) -> dict[str, str]:
    """Name and version of each line of the lock file that holds for the running Python."""
    text = (root / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    found = [Requirement(match["requirement"]) for match in PINNED.finditer(text)]
    return {
        canonicalize_name(line.name): str(line.specifier).removeprefix("==")
        for line in found
        if line.marker is None or line.marker.evaluate()
    }


def reached(asked: Iterable[str]) -> dict[str, list[Requirement]]:
    """Every distribution that the requirements lead to, with what is asked of it."""
    found: dict[str, list[Requirement]] = {}
    waiting = [Requirement(line) for line in asked]
    followed: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        found.setdefault(name, []).append(requirement)
        key = (name, frozenset(requirement.extras))
        if key not in followed:
            followed.add(key)
            waiting += required_by(name, requirement.extras)
    return found


def required_by(name: str, extras: Iterable[str]) -> list[Requirement]:
    """What an installed distribution itself needs here, for these extras of it."""
    lines = [Requirement(line) for line in distribution(name).requires or ()]
    environments = [{"extra": extra} for extra in ("", *extras)]
    return [
        line
        for line in lines
        if line.marker is None or any(line.marker.evaluate(given) for given in environments)
    ]


@pytest.mark.parametrize("name", FILES)
def test_the_lock_holds_what_is_asked_for_and_no_more(
    root: Path, pyproject: dict[str, Any], name: str
) -> None:
    """A dependency that was added or dropped in pyproject.toml needs `make lock`."""
    assert set(reached(roots(pyproject, name))) == set(pins(root, name))


@pytest.mark.parametrize("name", FILES)
def test_locked_versions_satisfy_every_requirement(
    root: Path, pyproject: dict[str, Any], name: str
) -> None:
    """Neither pyproject.toml nor any distribution asks for another version than the locked one."""
    locked = pins(root, name)
    wrong = [
        f"{requirement} but {locked[name]} is locked"
        for name, asked in reached(roots(pyproject, name)).items()
        for requirement in asked
        if not requirement.specifier.contains(locked[name], prereleases=True)
    ]
    assert wrong == []


def test_what_is_installed_is_what_is_locked(root: Path) -> None:
    """Given the virtualenv of `make setup`, then its versions are those of the lock."""
    locked = pins(root, "dev")
    assert {name: distribution(name).version for name in locked} == locked


@pytest.mark.parametrize("name", FILES)
def test_the_parts_agree(root: Path, name: str) -> None:
    """The image and the virtualenv of the tests have the same versions of everything."""
    assert pins(root, name).items() <= pins(root, "dev").items()


def test_the_compiler_is_the_one_that_is_asked_for(root: Path, pyproject: dict[str, Any]) -> None:
    """Its lock holds what pyproject.toml names, which brings nothing along, and no more."""
    asked = [Requirement(line) for line in pyproject["dependency-groups"][COMPILER]]
    locked = pins(root, COMPILER)
    assert set(locked) == {canonicalize_name(line.name) for line in asked}
    assert all(line.specifier.contains(locked[canonicalize_name(line.name)]) for line in asked)


@pytest.mark.parametrize("name", [*FILES, COMPILER])
def test_every_pin_has_hashes_and_no_index_is_named(root: Path, name: str) -> None:
    """`pip install --require-hashes` takes the file as it is, from whatever index is set up."""
    text = (root / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=[a-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip())
    assert [block for block in blocks if not re.search(r"--hash=sha256:[0-9a-f]{64}", block)] == []
    assert len(blocks) == len(PINNED.findall(text))
    assert not re.search(r"^-|://", text, flags=re.MULTILINE)
