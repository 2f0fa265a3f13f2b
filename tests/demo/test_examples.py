"""The example scripts beside the demo's data do what they say."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from demo.flights import FEATURES, TARGET
from runtime.topics import Topic, create_topics, dead_letter_topic

if TYPE_CHECKING:
    from tests.conftest import CommandLine, Kafka

EXAMPLES = Path(__file__).parents[2] / "examples" / "flights"
TIMEOUT_S = 120

pytestmark = pytest.mark.timeout(240)


def run(script: str, *arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    others = {k: v for k, v in os.environ.items() if not k.startswith("STREAMSCORE_")}
    return subprocess.run(
        [sys.executable, str(EXAMPLES / script), *arguments],
        cwd=cwd,
        env={**others, **env, "PYTHONPATH": str(EXAMPLES.parents[1])},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )


def test_the_flights_as_files(tmp_path: Path) -> None:
    """Three files: what to learn from, what to publish, and the truth."""
    done = run("write_files.py", "flights", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    learned = pd.read_csv(tmp_path / "flights" / "flights-training.csv")
    assert list(learned.columns) == ["sched_dep", *FEATURES, TARGET]
    assert pd.to_datetime(learned["sched_dep"]).dt.month.max() in {9, 10}  # UTC at the month's end
    truth = pd.read_csv(tmp_path / "flights" / "flights-december.csv")
    with (tmp_path / "flights" / "flights-december.ndjson").open("rb") as lines:
        ids = [json.loads(line)["id"] for line in lines]
    assert ids == truth["id"].tolist()
    assert len(ids) == 27_020


def test_publish_and_subscribe(
    streamscore: "CommandLine", kafka: "Kafka", flight_store: Path, tmp_path: Path
) -> None:
    """A few lines publish events and read the predictions that a scoring service makes."""
    # given a scoring service
    source, output = kafka.topic(partitions=2), kafka.topic(partitions=2)
    settings = kafka.settings()
    create_topics(settings, [Topic(dead_letter_topic(settings, source), 2, 1)])
    env = {"STREAMSCORE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    streamscore.start(
        *("consume", "--input", source, "--output", output),
        *("--model", "flight-delay", "--store", str(flight_store)),
        env=env,
    )
    # when five departures are published
    done = run(
        *("publish_and_subscribe.py", "--count", "5", "--input", source, "--output", output),
        cwd=tmp_path,
        **env,
    )
    # then each is printed with its prediction
    assert done.returncode == 0, done.stderr
    first, *predicted = done.stdout.splitlines()
    assert first == "5 events acknowledged"
    assert len(predicted) == 5
    assert all("predicted" in line and "(by flight-delay:1)" in line for line in predicted)
