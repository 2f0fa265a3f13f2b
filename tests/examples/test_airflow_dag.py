"""examples/batch/airflow_dag.py: a real Airflow imports it, and its tasks call our commands.

Airflow cannot share a virtualenv with us. It has one of its own, made when it is first needed from
examples/batch/airflow-requirements.txt and kept in .bench/airflow.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "batch" / "airflow_dag.py"
LOCK = ROOT / "examples" / "batch" / "airflow-requirements.txt"
HOME = ROOT / ".bench" / "airflow"
CONDITION = "share(prediction > 60) > 0.15 or rejected > 100"
INSTALL_S = 540.0

pytestmark = pytest.mark.timeout(700)  # the first time it installs 300 MB


def run(*command: str | Path, timeout_s: float, **env: str) -> None:
    done = subprocess.run(
        command,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.fixture(scope="module")
def airflow() -> Path:
    """The Python of the virtualenv that has Airflow."""
    python, stamp = HOME / "bin" / "python", HOME / "installed.txt"
    if not (stamp.exists() and stamp.read_bytes() == LOCK.read_bytes()):
        shutil.rmtree(HOME, ignore_errors=True)
        run(sys.executable, "-m", "venv", HOME, timeout_s=INSTALL_S)
        install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        locked = ("--require-hashes", "--only-binary", ":all:", "-r", LOCK)
        run(python, *install, *locked, timeout_s=INSTALL_S)
        shutil.copyfile(LOCK, stamp)
    return python


@pytest.fixture(scope="module")
def dag(airflow: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Airflow makes of the example."""
    folder = tmp_path_factory.mktemp("airflow")
    parse = Path(__file__).with_name("parse_dags.py")
    answer = folder / "answer.json"
    home = {"AIRFLOW_HOME": str(folder), "AIRFLOW__CORE__LOAD_EXAMPLES": "false"}
    run(airflow, "-W", "ignore", parse, EXAMPLE, answer, timeout_s=120, **home)
    told = json.loads(answer.read_text(encoding="utf-8"))
    assert told["errors"] == {}
    (only,) = told["dags"]
    described: dict[str, Any] = only
    return described


def test_it_runs_every_night_in_the_zone_of_the_days(dag: dict[str, Any]) -> None:
    """At two in New York; the first run is that of 1 December, after it is over."""
    assert dag["id"] == "streamscore_batch"
    assert dag["timetable"] == {"expression": "0 2 * * *", "timezone": "America/New_York"}
    assert dag["run_after"] == "2013-12-02T07:00:00+00:00"


def test_missed_nights_are_caught_up_one_at_a_time(dag: dict[str, Any]) -> None:
    """Airflow makes up for what it missed, and tries again what failed."""
    assert (dag["catchup"], dag["max_active_runs"]) == (True, 1)
    assert dag["tasks"]["score"]["retries"] == 3


def test_report_and_alert_follow_the_scoring(dag: dict[str, Any]) -> None:
    """Neither waits for the other; an alert that holds is not tried again."""
    after = {name: task["after"] for name, task in dag["tasks"].items()}
    assert after == {"score": [], "report": ["score"], "alert": ["score"]}
    assert dag["tasks"]["alert"]["retries"] == 0


@pytest.mark.parametrize(
    ("task", "command"),
    [
        ("score", "batch run --date 2013-12-01"),
        ("report", "batch report --date 2013-12-01 --out /srv/streamscore/reports/2013-12-01.html"),
        (
            "alert",
            f"batch alert --date 2013-12-01 --when '{CONDITION}'",
        ),
    ],
)
def test_a_task_calls_the_command_for_its_day(dag: dict[str, Any], task: str, command: str) -> None:
    """The first run's command, as the worker gets it."""
    assert dag["tasks"][task]["command"] == f"/opt/streamscore/bin/streamscore {command}"


def test_passwords_come_by_the_environment(dag: dict[str, Any]) -> None:
    """The databases are connections of Airflow; no command names one."""
    for task in dag["tasks"].values():
        assert task["append_env"]
        assert task["env"]["STREAMSCORE_BATCH__SOURCE"] == "postgres://reader:r@db/flights"
        assert task["env"]["STREAMSCORE_BATCH__TARGET"] == "postgres://writer:w@db/predictions"
        assert "://" not in task["command"]


def test_the_command_line_takes_what_the_tasks_say(dag: dict[str, Any], accepted: Any) -> None:
    """No flag is unknown to it."""
    for task in dag["tasks"].values():
        accepted(task["command"])


def test_its_lock_names_hashes_and_no_index() -> None:
    """It installs from whatever index is set up."""
    text = LOCK.read_text(encoding="utf-8")
    pins = re.findall(r"^[a-z0-9.-]+==", text, re.MULTILINE)
    hashed = re.findall(r"^[a-z0-9.-]+==.*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(pins) == len(hashed) > 50
    assert not re.search(r"^-|://", text, re.MULTILINE)
