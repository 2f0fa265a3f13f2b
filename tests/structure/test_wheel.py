"""The wheel, not the checkout: built, installed by itself with the locked requirements, and run."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import streamscore
from hatch_build import EXTENSION

pytestmark = pytest.mark.timeout(600)  # it installs some 200 MB

COMMANDS = sorted(streamscore.COMMANDS)


def run(*command: str | Path, cwd: Path, timeout_s: float = 300) -> str:
    """Standard output of a command that must succeed, away from the checkout."""
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=outside | {"COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with the locked build requirements."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    run(*build, root, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def virtualenv(root: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The `bin` of a fresh virtualenv that has the runtime requirements and the wheel only."""
    home = tmp_path_factory.mktemp("fresh")
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home)
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "--quiet"]
    install = [*pip, "install", "--no-compile"]
    locked = ["--require-hashes", "--only-binary", ":all:"]
    run(*install, *locked, "-r", root / "requirements" / "runtime.txt", cwd=home)
    run(*install, "--no-deps", wheel, cwd=home)
    run(*pip, "check", cwd=home)
    yield home / "bin"
    shutil.rmtree(home)  # half a gigabyte, which pytest would keep for three runs


def test_the_wheel_brings_our_names_and_no_others(wheel: Path, top_level: frozenset[str]) -> None:
    """Neither tests nor examples end up in site-packages."""
    with zipfile.ZipFile(wheel) as archive:
        firsts = {Path(name).parts[0] for name in archive.namelist()}
    metadata = {name for name in firsts if name.endswith(".dist-info")}
    assert {name.removesuffix(".py") for name in firsts - metadata} == top_level
    assert len(metadata) == 1


def test_the_wheel_carries_licence_types_and_its_guard(wheel: Path) -> None:
    """An upload to a public registry is refused by the classifier; the licence comes along."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    assert "Classifier: Private :: Do Not Upload" in text
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "model/py.typed" in names


def test_the_wheel_carries_the_live_page(root: Path, wheel: Path) -> None:
    """Every file of the page is there as it is in the checkout, with the licence of its charts."""
    page = sorted((root / "monitor" / "page").iterdir())
    with zipfile.ZipFile(wheel) as archive:
        carried = {path.name: archive.read(f"monitor/page/{path.name}") for path in page}
        names = archive.namelist()
    assert carried == {path.name: path.read_bytes() for path in page}
    assert {"index.html", "page.js", "page.css", "uPlot.iife.min.js"} <= set(carried)
    assert any(name.endswith("/licenses/monitor/page/uPlot.LICENSE.txt") for name in names)


def test_the_wheel_is_for_this_platform_and_any_python(root: Path, wheel: Path) -> None:
    """The extension is there, once, for every Python from 3.11 on; its sources stay behind."""
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert wheel.stem.endswith(f"-cp311-abi3-{platform}")
    assert [name for name in names if ".so" in name] == [f"model/{EXTENSION}"]
    left_behind = {path.name for path in (root / "native").iterdir()} | {"hatch_build.py"}
    assert left_behind.isdisjoint(Path(name).name for name in names)


def test_it_runs_from_the_wheel(virtualenv: Path, tmp_path: Path) -> None:
    """Given the runtime requirements alone, then the command line starts and lists its commands."""
    shown = run(virtualenv / "streamscore", "--help", cwd=tmp_path)
    assert [command for command in COMMANDS if command not in shown] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(virtualenv: Path, tmp_path: Path, command: str) -> None:
    """No command needs a development or demo requirement to say what it does."""
    assert "Usage" in run(virtualenv / "streamscore", command, "--help", cwd=tmp_path)


def test_an_empty_store_lists_no_models(virtualenv: Path, tmp_path: Path) -> None:
    """Given no store yet, when the models are listed, then there are none and it's no error."""
    listed = run(virtualenv / "streamscore", "models", "list", "--json", cwd=tmp_path)
    assert not json.loads(listed)
