"""The demo through the command line: real flights, real Kafka, real processes; nothing lost."""

import json
import os
import shutil
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo.command import _interrupted_once
from runtime.clients import admin_client

if TYPE_CHECKING:
    from tests.conftest import CommandLine, Kafka

pytestmark = pytest.mark.timeout(300)

TIMEOUT_S = 240


def until(condition: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


class Traces:
    """What a demo may leave behind: processes, which inherit a mark, and temporary folders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mark = uuid.uuid4().hex
        folder.mkdir()
        self.env = {"DEMO_MARK": self._mark, "TMPDIR": str(folder)}

    def processes(self) -> list[int]:
        return [
            int(process.name)
            for process in Path("/proc").iterdir()
            if process.name.isdigit() and self._mark.encode() in _environ_of(process)
        ]

    def folders(self) -> list[str]:
        return [
            path.name
            for path in self._folder.iterdir()
            if path.name.startswith(("streamscore-demo", "streamscore-broker"))
        ]


def _environ_of(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:  # it has ended, or is not ours
        return b""


@pytest.fixture
def traces(tmp_path: Path) -> Traces:
    return Traces(tmp_path / "temporary")


def topics_of_demos(kafka: "Kafka") -> set[str]:
    topics = admin_client(kafka.settings()).list_topics(timeout=10).topics
    return {name for name in topics if name.startswith("demo-")}


def test_the_whole_demo(streamscore: "CommandLine", store: Path, traces: Traces) -> None:
    """One command on an empty store: trained, streamed, audited; all answered once; all gone."""
    done = streamscore(
        *("demo", "--events", "3000", "--rate", "0", "--store", str(store)),
        *("--summary", "summary.json", "--screenshot", "screen.svg"),
        env=traces.env,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    # then every event was answered once, the broken ones with a dead letter
    summary = json.loads((streamscore.folder / "summary.json").read_text())
    assert (summary["events"], summary["lost"], summary["doubled"]) == (3000, 0, 0)
    assert (summary["predictions"], summary["dead_letters"]) == (2992, 8)
    # and the model is worth its while, and the subscriber heard of late flights
    assert summary["mae"] < summary["naive_mae"]
    assert summary["alerts"] > 0
    assert summary["workers"] == 2
    assert summary["model"] == "flight-delay:1"
    assert summary["events_per_second"] > 0
    assert 0 < summary["latency_p50_ms"] <= summary["latency_p99_ms"]
    # and it was shown
    assert "Training the model" in done.stdout
    assert "What came of it" in done.stdout
    # (which predictions stand on the screen at that moment is chance)
    assert "answered" in (streamscore.folder / "screen.svg").read_text(encoding="utf-8")
    # and nothing is left but the model
    assert (store / "flight-delay" / "1").is_dir()
    assert traces.processes() == []
    assert traces.folders() == []


def test_ctrl_c_stops_everything(
    streamscore: "CommandLine", flight_store: Path, traces: Traces
) -> None:
    """Interrupted in full swing, the demo takes all its processes and folders along."""
    # given a demo that has published some events
    demo = streamscore.start(
        *("demo", "--rate", "100", "--store", str(flight_store)), env=traces.env
    )
    assert demo.stdout is not None
    assert any("answered" in line for line in demo.stdout)
    assert len(traces.processes()) >= 6  # itself, the broker, the group with two workers, …
    # when it is interrupted
    demo.send_signal(signal.SIGINT)
    # then it ends, with all that it started
    assert demo.wait(60) != 0
    until(lambda: traces.processes() == [], 10)
    assert traces.folders() == []


def test_on_a_broker_of_the_user_s_own(
    streamscore: "CommandLine", flight_store: Path, kafka: "Kafka", traces: Traces
) -> None:
    """The demo plays there in topics of its own, and deletes them."""
    before = topics_of_demos(kafka)
    done = streamscore(
        *("demo", "--events", "400", "--rate", "0", "--workers", "1", "--summary", "s.json"),
        *("--bootstrap-servers", kafka.bootstrap_servers, "--store", str(flight_store)),
        env=traces.env,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((streamscore.folder / "s.json").read_text())
    assert (summary["predictions"], summary["dead_letters"], summary["lost"]) == (392, 8, 0)
    until(lambda: topics_of_demos(kafka) <= before, 20)
    assert traces.processes() == []


def test_a_scoring_group_that_cannot_start_ends_the_demo_with_its_log(
    streamscore: "CommandLine", flight_store: Path, kafka: "Kafka"
) -> None:
    """The demo does not wait for what is dead: it says what the process said, and cleans up."""
    # given settings that the broker refuses: it allows transactions of 15 minutes
    env = {"STREAMSCORE_CONSUMER__TRANSACTION_TIMEOUT_S": "3600"}
    # when the demo is started with them
    before = topics_of_demos(kafka)
    done = streamscore(
        *("demo", "--events", "100", "--workers", "1", "--store", str(flight_store)),
        *("--bootstrap-servers", kafka.bootstrap_servers),
        env=env,
        timeout=TIMEOUT_S,
    )
    # then it ends with the reason
    assert done.returncode == 1
    assert "the scoring group ended early with exit status 1; the end of its log" in done.stderr
    assert "INVALID_TRANSACTION_TIMEOUT" in done.stderr
    until(lambda: topics_of_demos(kafka) <= before, 20)


def test_a_model_that_cannot_be_loaded_is_told_before_anything_starts(
    streamscore: "CommandLine", flight_store: Path, store: Path
) -> None:
    """A champion that was tampered with is refused by the demo itself."""
    shutil.copytree(flight_store, store)
    with (store / "flight-delay" / "1" / "card.json").open("ab") as card:
        card.write(b" ")
    done = streamscore("demo", "--events", "100", "--store", str(store))
    assert done.returncode == 1
    assert "card.json" in done.stderr
    assert "Starting" not in done.stdout


def test_a_broker_that_does_not_answer_is_told_at_once(streamscore: "CommandLine") -> None:
    """Neither flights nor a model are loaded for a broker that is not there."""
    done = streamscore(
        *("demo", "--bootstrap-servers", "127.0.0.1:1"),
        env={"STREAMSCORE_BROKER_TIMEOUT_S": "1"},
    )
    assert done.returncode == 1
    assert "no broker answered at 127.0.0.1:1 within 1 s" in done.stderr
    assert "Loading" not in done.stdout


@pytest.mark.parametrize("flag", [("--events", "0"), ("--workers", "0"), ("--rate", "-1")])
def test_wrong_numbers_are_wrong_usage(streamscore: "CommandLine", flag: tuple[str, str]) -> None:
    """A number out of range ends with exit code 2 before anything starts."""
    done = streamscore("demo", *flag)
    assert done.returncode == 2
    assert flag[0] in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_once(number: signal.Signals) -> None:
    """The first signal ends the block; a second one does not disturb what cleans up after it."""
    before = signal.getsignal(number)
    cleaned_up = False

    def interrupted() -> None:
        nonlocal cleaned_up
        with _interrupted_once():
            try:
                os.kill(os.getpid(), number)
                time.sleep(5)
            finally:
                os.kill(os.getpid(), number)
                cleaned_up = True

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert cleaned_up
    assert signal.getsignal(number) == before
