"""The profile `online` of docker-compose.yml: the HTTP service."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.access import new_key
from runtime.settings import load_settings
from serving.command import serve as command

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    """The service `serve`, as it is in the file."""
    loaded = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    (only,) = [each for each in loaded["services"].values() if "online" in each.get("profiles", ())]
    described: dict[str, Any] = only
    return described


def test_it_is_reached_from_this_machine_alone(service: dict[str, Any]) -> None:
    """Its port is the one that the health check asks; it has limits."""
    assert service["ports"] == ["127.0.0.1:${SERVE_PORT:-8080}:8080"]
    assert service["healthcheck"]["test"][-1] == "/readyz"
    assert service["deploy"]["resources"]["limits"]["memory"]


def test_it_takes_keys_from_the_environment(service: dict[str, Any], tmp_path: Path) -> None:
    """None stands in the file; without one it has none, and does not start."""
    environ = dict(service["environment"])
    assert environ["STREAMSCORE_SERVING__API_KEYS"] == "${SERVE_API_KEYS:-}"
    for keys in ("", new_key()[1]):
        environ["STREAMSCORE_SERVING__API_KEYS"] = keys
        found = load_settings(environ=environ, directory=tmp_path).serving.api_keys
        assert found == ((keys,) if keys else ())


def test_the_command_line_takes_what_it_says(service: dict[str, Any]) -> None:
    """No flag is unknown to it; it publishes where the stream does, and is not insecure."""
    said = shlex.join(service["command"])
    flags = [word[2:].replace("-", "_") for word in service["command"] if word.startswith("--")]
    assert set(flags) <= set(command.__annotations__)
    assert "insecure" not in flags
    assert f"--publish {service['environment']['STREAMSCORE_TOPICS__OUTPUT']}" in said
