"""The benchmark runs: every section, tiny, on a real broker. Nothing here depends on speed."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.names import (
    ONLINE_BEST,
    ONLINE_BROKEN,
    ONLINE_CONSTANT,
    ONLINE_FASTAPI,
    ONLINE_LISTS,
    ONLINE_MANY,
    ONLINE_ONE,
    ONLINE_PLAIN,
)
from benchmarks.peers import PEERS, Peer
from runtime.child_process import bound

if TYPE_CHECKING:
    from tests.conftest import Kafka

pytestmark = pytest.mark.timeout(600)

OWN = {
    ("flight", "pass-through, exactly once"),
    ("flight", "streamscore scikit-learn, exactly once"),
    ("flight", "streamscore auto, exactly once"),
    ("flight", "streamscore auto, at least once"),
    ("logistic", "pass-through, exactly once"),
    ("logistic", "streamscore auto, exactly once"),
}
ROWS = {
    *((section, *row) for section in ("throughput", "profile") for row in OWN),
    ("throughput", "flight", "first script, at least once"),
    ("latency", "200 events/s", "pass-through, exactly once"),
    ("latency", "200 events/s", "streamscore auto, exactly once"),
    ("latency", "2,000 events/s", "pass-through, exactly once"),
    ("latency", "2,000 events/s", "streamscore auto, exactly once"),
    ("poison", "clean", "streamscore auto, exactly once"),
    ("poison", "1 % poisoned", "streamscore auto, exactly once"),
    ("growth", "backlog", "4,000 events"),
    ("growth", "partitions", "16 partitions"),
    ("growth", "workers", "1 worker"),
    ("growth", "workers", "2 workers"),
    ("growth", "event size", "2 KB, pass-through"),
    ("growth", "event size", "2 KB, streamscore"),
    ("startup", "flight", "streamscore auto, exactly once"),
    *(
        ("batch", database, name)
        for database in ("SQLite", "PostgreSQL")
        for name in (
            "streamscore auto",
            "streamscore auto, complete already",
            "read and written, not scored",
            "pandas: read_sql, predict, to_sql",
        )
    ),
    ("batch", "SQLite, 6,000 rows", "streamscore auto"),
    ("batch", "PostgreSQL, 6,000 rows", "streamscore auto"),
    *(
        ("online", subject, name)
        for subject in (ONLINE_MANY, ONLINE_ONE, ONLINE_LISTS)
        for name in (ONLINE_BEST, ONLINE_PLAIN, ONLINE_CONSTANT, ONLINE_FASTAPI)
        if (subject, name) != (ONLINE_LISTS, ONLINE_FASTAPI)
    ),
    ("strain", ONLINE_BROKEN, ONLINE_BEST),
    ("strain", "640 clients, room for 64", ONLINE_BEST),
    ("strain", "50 clients of 1,000 events, room for 20", ONLINE_BEST),
    *(
        ("single", model, name)
        for model in ("flight", "logistic", "forest")
        for name in (
            "scikit-learn's predict on a row",
            "streamscore scikit-learn",
            "streamscore auto",
        )
    ),
}
# The kernel counts in steps of 10 ms; a copy has no decode; short runs make "rest" a guess.
MAY_BE_ZERO = re.compile(
    r"cpu_us_per_event|(decode|score|encode|rest)_us|^seconds$|^rss_growth$|refused$|client_cpu_us"
)


@pytest.fixture(scope="module")
def written(kafka: "Kafka", tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a quick run writes."""
    path = tmp_path_factory.mktemp("bench") / "results.json"
    command = [sys.executable, "-m", "benchmarks.run", "--quick", "--json", str(path)]
    done = subprocess.run(
        bound([*command, "--bootstrap-servers", kafka.bootstrap_servers]),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "To reach" in done.stdout
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_every_row_is_measured(written: dict[str, Any]) -> None:
    """Each section brings its rows, with finite figures above zero."""
    rows = {(row["section"], row["subject"], row["name"]): row for row in written["rows"]}
    assert rows.keys() == ROWS
    wrong = [
        (key, name, value)
        for key, row in rows.items()
        for name, figure in row["figures"].items()
        for value in figure["rounds"]
        if not math.isfinite(value) or not (value > 0 or MAY_BE_ZERO.search(name))
    ]
    assert wrong == []


def test_every_target_gets_its_verdict(written: dict[str, Any]) -> None:
    """All but the comparisons with other products, which the quick run does without."""
    missing = [each["what"] for each in written["verdicts"] if each["measured"] is None]
    assert len(written["verdicts"]) > len(missing)
    slow = ("Quix Streams", "PySpark", "MLServer", "BentoML")
    assert [what for what in missing if not any(name in what for name in slow)] == []


def test_machine_and_versions_are_told(written: dict[str, Any]) -> None:
    """Figures are nothing without them."""
    assert {"processor", "cores", "memory", "kernel"} <= written["machine"].keys()
    assert {"Python", "Apache Kafka", "scikit-learn"} <= written["versions"].keys()


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_the_peers_are_locked_with_hashes_and_without_an_index(peer: Peer) -> None:
    """As the project's own lock files, and with the models' libraries of the same versions."""
    text = peer.lock.read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", text, re.MULTILINE))
    assert text.count("--hash=sha256:") >= len(pins)
    assert "://" not in text
    ours = (peer.lock.parents[1] / "requirements" / "dev.txt").read_text(encoding="utf-8")
    for name in ("joblib", "numpy", "pandas", "scikit-learn", "skops"):
        assert f"\n{name}=={pins[name]} " in ours
    assert pins[peer.package] == peer.version
