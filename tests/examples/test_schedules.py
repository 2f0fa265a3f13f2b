"""examples/batch for cron and Kubernetes, and the profile `batch` of docker-compose.yml."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.settings import load_settings

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "batch"
FIELDS = re.compile(r"((?:[-\d*,/]+\s+){5})(\w+)\s+(.+)")

Accepted = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def cronjob() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(
        (EXAMPLES / "kubernetes-cronjob.yaml").read_text(encoding="utf-8")
    )
    return loaded


@pytest.fixture(scope="module")
def pod(cronjob: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    described: dict[str, Any] = only
    return described


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of the profile, as they are in the file."""
    loaded = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return {
        name: service
        for name, service in loaded["services"].items()
        if {"batch", "batch-tools"} & set(service.get("profiles", ()))
    }


def test_the_cronjob_is_one_at_a_time_in_the_zone_of_the_days(cronjob: dict[str, Any]) -> None:
    """A night that is late is not joined by the next one."""
    assert (cronjob["apiVersion"], cronjob["kind"]) == ("batch/v1", "CronJob")
    spec = cronjob["spec"]
    assert (spec["schedule"], spec["timeZone"]) == ("0 2 * * *", "America/New_York")
    assert spec["concurrencyPolicy"] == "Forbid"
    job = spec["jobTemplate"]["spec"]
    assert job["backoffLimit"] > 0
    assert job["activeDeadlineSeconds"] > 0


def test_wrong_usage_is_not_tried_again(
    cronjob: dict[str, Any], pod: dict[str, Any], container: dict[str, Any]
) -> None:
    """Exit code 2 fails the job at once; Kubernetes takes such rules with restartPolicy Never."""
    first, _ = cronjob["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert first["action"] == "FailJob"
    assert first["onExitCodes"]["values"] == [2]
    assert first["onExitCodes"]["containerName"] == container["name"]
    assert pod["restartPolicy"] == "Never"


def test_the_pod_is_nobody_and_writes_nowhere(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    """The user of the image, no rights, a read-only root, limits."""
    (user,) = re.findall(r"^USER (\d+):", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == int(user)
    assert pod["automountServiceAccountToken"] is False
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"]["drop"] == ["ALL"]
    assert set(container["resources"]) == {"requests", "limits"}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    assert mounts["models"]["readOnly"] is True


def test_its_databases_come_from_a_secret(container: dict[str, Any], tmp_path: Path) -> None:
    """No address stands in the file, and what does stand there are settings that we know."""
    given = {each["name"]: each for each in container["env"]}
    for name in ("STREAMSCORE_BATCH__SOURCE", "STREAMSCORE_BATCH__TARGET"):
        assert given[name]["valueFrom"]["secretKeyRef"]["name"] == "streamscore-batch"
    environ = {name: each.get("value", "sqlite:///x.db") for name, each in given.items()}
    assert load_settings(environ=environ, directory=tmp_path).batch.table == "flights"


def test_the_command_line_takes_what_the_cronjob_says(
    container: dict[str, Any], accepted: Accepted
) -> None:
    """A shell is there for the day that the catching up begins with, and for nothing else."""
    assert container["command"] == ["sh", "-c"]
    (script,) = container["args"]
    assert accepted(script.removeprefix("exec "))[:2] == ["batch", "backfill"]


def crontab() -> list[str]:
    lines = (EXAMPLES / "crontab").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if FIELDS.fullmatch(line)]


@pytest.mark.parametrize("line", crontab())
def test_a_line_of_the_crontab_is_a_shell_s(line: str) -> None:
    """Five fields, a user, and a command that bash reads; each % is escaped, as cron wants it."""
    match = FIELDS.fullmatch(line)
    assert match is not None
    _, user, command = match.groups()
    assert user == "streamscore"
    assert not re.search(r"(?<!\\)%", command)
    subprocess.run(["bash", "-n", "-c", command.replace("\\%", "%")], check=True, timeout=10)


def calls(line: str) -> str:
    """Our command in a line of the crontab."""
    (found,) = re.findall(r"\{ (streamscore .*?) >>", line)
    return str(found).replace("\\%", "%")


def test_the_command_line_takes_what_the_crontab_says(accepted: Accepted) -> None:
    """The scoring first, and the alert."""
    scoring, alerting = map(calls, crontab())
    assert accepted(scoring)[:3] == ["batch", "backfill", "--from"]
    assert accepted(alerting)[:3] == ["batch", "alert", "--when"]


def test_cron_hears_of_failures_alone(tmp_path: Path) -> None:
    """What is printed is mailed: nothing if all went well, else exit code and the log's end."""
    for code in (0, 3):
        (tmp_path / "streamscore").write_text(f"#!/bin/sh\necho did: $*\nexit {code}\n")
        (tmp_path / "streamscore").chmod(0o755)
        (tmp_path / "passwords.env").touch()
        match = FIELDS.fullmatch(crontab()[0])
        assert match is not None
        script = match[3].replace("\\%", "%").replace("/srv/streamscore", str(tmp_path))
        done = subprocess.run(
            ["bash", "-c", script],
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        assert ("exit code 3" in done.stdout) is (code == 3)
        assert ("did: batch backfill --from 2" in done.stdout) is (code == 3)


def test_the_profile_has_a_database_its_flights_and_a_scheduler(services: dict[str, Any]) -> None:
    """Four services, of which one is for one-off commands and starts only when it is run."""
    assert set(services) == {"postgres", "batch-flights", "batch-schedule", "batch"}
    assert services["batch"]["profiles"] == ["batch-tools"]
    assert services["batch-schedule"]["depends_on"] == {
        "postgres": {"condition": "service_healthy"},
        "batch-flights": {"condition": "service_completed_successfully"},
    }


def test_every_service_has_limits_and_ports_are_local(services: dict[str, Any]) -> None:
    """No service takes the machine, and none is reached from another one."""
    for service in services.values():
        assert service["deploy"]["resources"]["limits"]["memory"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_the_scheduler_is_asked_whether_it_is_ready(services: dict[str, Any]) -> None:
    """`docker compose up --wait` waits for a look at databases and model that went well."""
    assert services["batch-schedule"]["healthcheck"]["test"][-1] == "/readyz"
    assert "schedule" in services["batch-schedule"]["command"]


def test_no_password_stands_in_the_compose_file(services: dict[str, Any], tmp_path: Path) -> None:
    """It comes from the environment; the settings are some that we know."""
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD"] == "${POSTGRES_PASSWORD:-}"
    environ = dict(services["batch-schedule"]["environment"])
    assert environ.pop("PGPASSWORD") == "${POSTGRES_PASSWORD:-}"
    batch = load_settings(environ=environ, directory=tmp_path).batch
    assert (batch.source, batch.time_column) == (
        "postgresql://streamscore@postgres/flights",
        "sched_dep",
    )


def test_the_command_line_takes_what_the_services_say(
    services: dict[str, Any], accepted: Accepted
) -> None:
    """No flag is unknown to it."""
    command = " ".join(services["batch-schedule"]["command"])
    assert accepted(f"streamscore {command}")[:2] == ["batch", "schedule"]
