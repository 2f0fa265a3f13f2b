"""What the checks of the repository's structure look at: its files and its pyproject.toml."""

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def pyproject(root: Path) -> dict[str, Any]:
    """The project's metadata and its tools' settings."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def top_level(pyproject: dict[str, Any]) -> frozenset[str]:
    """The import names that the distribution brings."""
    shipped = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    return frozenset(name.removesuffix(".py") for name in shipped)


@pytest.fixture(scope="session")
def tracked(root: Path) -> tuple[Path, ...]:
    """Every file that is committed or about to be, relative to the checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    names = sorted(set(listed.stdout.split("\0")) - {""})
    return tuple(Path(name) for name in names if (root / name).is_file())


@pytest.fixture(scope="session")
def sources(tracked: tuple[Path, ...]) -> tuple[Path, ...]:
    """Every Python file among them."""
    return tuple(path for path in tracked if path.suffix == ".py")
