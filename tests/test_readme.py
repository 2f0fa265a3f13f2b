"""README.md: what it tells people to type works as it stands."""

import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtime.settings import load_settings

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```(\S+)( background)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(*languages: str) -> list[tuple[str, bool, str]]:
    found = [(kind, bool(flag), body) for kind, flag, body in BLOCK.findall(README.read_text())]
    return [block for block in found if block[0] in languages]


@contextmanager
def in_background(script: str, folder: Path, environ: dict[str, str]) -> Iterator[None]:
    with (folder / "background.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {script}"], cwd=folder, env=environ, stderr=log
        )
    try:
        yield
        assert process.poll() is None, (folder / "background.log").read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def run(kind: str, script: str, folder: Path, environ: dict[str, str]) -> None:
    command = ["bash", "-euo", "pipefail", "-c"] if kind == "bash" else [sys.executable, "-c"]
    done = subprocess.run(
        [*command, script],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


def test_the_readmes_commands_run_in_their_order(kafka: Any, tmp_path: Path) -> None:
    """Bundle, topics, consume, produce, subscribe, dead letters, and the Python example."""
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "STREAMSCORE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
    }
    remaining = blocks("bash", "python")
    assert len(remaining) >= 7

    def follow(steps: list[tuple[str, bool, str]]) -> None:
        for number, (kind, background, script) in enumerate(steps):
            if background:
                with in_background(script, tmp_path, environ):
                    follow(steps[number + 1 :])
                return
            run(kind, script, tmp_path, environ)

    follow(remaining)


def test_the_readmes_settings_are_settings(tmp_path: Path) -> None:
    """The example file is accepted as it stands."""
    ((_, _, text),) = blocks("toml")
    (tmp_path / "streamscore.toml").write_text(text)
    settings = load_settings(environ={}, directory=tmp_path)
    assert settings.consumer.workers == tomllib.loads(text)["consumer"]["workers"]


def test_the_readme_links_to_what_is_there() -> None:
    """No link or picture leads nowhere."""
    targets = re.findall(r"\]\(([^)#]+)\)", README.read_text())
    local = [target for target in targets if "://" not in target]
    assert local
    assert [target for target in local if not (README.parent / target).exists()] == []
