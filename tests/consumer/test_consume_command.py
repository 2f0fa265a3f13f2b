"""`streamscore consume` with something missing: a clear error in time, and nothing is scored."""

import json
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from runtime.topics import Topic, create_topics, dead_letter_topic


def consume(*flags: str) -> list[str]:
    return ["consume", "--model", "flight-delay@champion", *flags]


@pytest.fixture
def topics(kafka: Any) -> tuple[str, str]:
    """An input and an output topic; the dead letters' is there, too."""
    source, output = kafka.topic(partitions=2), kafka.topic(partitions=2)
    letters = dead_letter_topic(kafka.settings(), source)
    create_topics(kafka.settings(), [Topic(letters, 2, 1)])
    return source, output


def test_a_broker_that_does_not_answer_is_an_error_within_ten_seconds(
    streamscore: Any, flight_store: Path
) -> None:
    """It says what was tried, and how to name another."""
    began = time.monotonic()
    done = streamscore(*consume("--bootstrap-servers", "127.0.0.1:1", "--store", str(flight_store)))
    assert done.returncode == 1
    assert "no broker answered at 127.0.0.1:1" in done.stderr
    assert "--bootstrap-servers" in done.stderr
    assert time.monotonic() - began < 30  # 10 s, and the start on a busy machine


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_missing_topic_is_named(
    kafka: Any, streamscore: Any, flight_store: Path, workers: str
) -> None:
    """With the command that creates it; several workers say it once."""
    done = streamscore(
        *consume("--input", "nowhere", "--store", str(flight_store), "--workers", workers),
        env={"STREAMSCORE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers},
    )
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "streamscore topics create" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_is_not_in_the_store_is_named(
    kafka: Any, streamscore: Any, topics: tuple[str, str], flight_store: Path
) -> None:
    """Before any event is taken."""
    source, output = topics
    done = streamscore(
        *("consume", "--model", "flight-delya@champion", "--store", str(flight_store)),
        *("--input", source, "--output", output),
        env={"STREAMSCORE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers},
    )
    assert done.returncode == 1
    assert "flight-delya" in done.stderr
    assert "flight-delay" in done.stderr.replace("flight-delya", "")


@pytest.mark.parametrize(
    "flags",
    [
        ["--guarantee", "twice"],
        ["--workers", "0"],
        ["--max-batch", "-1"],
        ["--input", "a topic"],
        ["--input", "same", "--output", "same"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(streamscore: Any, flags: list[str]) -> None:
    """Nothing is asked of a broker first."""
    done = streamscore(*consume(*flags))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_setting_that_cannot_hold_ends_all_workers_at_once(
    kafka: Any, streamscore: Any, topics: tuple[str, str], flight_store: Path
) -> None:
    """A worker whose health port is taken is not started again and again."""
    source, output = topics
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = streamscore(
            *consume("--input", source, "--output", output, "--store", str(flight_store)),
            *("--workers", "2", "--health-port", str(port)),
            env={"STREAMSCORE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers},
        )
    assert done.returncode == 1
    assert "is in use" in done.stderr
    deaths = [json.loads(line) for line in done.stderr.splitlines() if '"worker_died"' in line]
    assert [death["status"] for death in deaths] == [2]


def test_a_tampered_bundle_is_refused(
    kafka: Any,
    streamscore: Any,
    topics: tuple[str, str],
    flight_store: Path,
    tmp_path: Path,
) -> None:
    """A changed byte of the model file, and nothing is scored with it."""
    source, output = topics
    store = Path(shutil.copytree(flight_store, tmp_path / "copy"))
    file = store / "flight-delay" / "1" / "model.skops"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)
    done = streamscore(
        *consume("--input", source, "--output", output, "--store", str(store)),
        env={"STREAMSCORE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers},
    )
    assert done.returncode == 1
    assert "model.skops" in done.stderr
    assert "Traceback" not in done.stderr
