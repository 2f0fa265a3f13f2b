"""The doctor: what it concludes from what it saw, and what it sees on a real broker."""

import dataclasses
import hashlib
import json
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime import doctor
from runtime.doctor import Finding, Outcome, TopicFacts
from runtime.doctor_model import examine_models
from runtime.settings import load_settings
from runtime.topics import DEFAULT_LIMIT_BYTES, HEADROOM_BYTES, Topic, create_topics

if TYPE_CHECKING:
    from tests.conftest import CommandLine, Kafka

SECRET = "geheim-8f2a"

EVENTS = TopicFacts(
    name="events",
    partitions=6,
    replicas=3,
    operations=frozenset({"READ", "DESCRIBE"}),
    config={
        "max.message.bytes": "1048588",
        "min.insync.replicas": "2",
        "cleanup.policy": "delete",
    },
)
PREDICTIONS = dataclasses.replace(EVENTS, name="predictions")
HEADROOM = 65_536
DEAD = dataclasses.replace(
    EVENTS,
    name="events.dlq",
    config={**(EVENTS.config or {}), "max.message.bytes": str(1_048_588 + HEADROOM)},
)


def outcomes(findings: list[Finding]) -> list[Outcome]:
    return [finding.outcome for finding in findings]


def test_three_sound_topics_pass() -> None:
    """Nothing to mend, nothing to say but their shape."""
    findings = [
        *doctor.judge_input(EVENTS, brokers=3),
        *doctor.judge_output(PREDICTIONS, EVENTS, brokers=3),
        *doctor.judge_dead_letters(DEAD, EVENTS, brokers=3, headroom_bytes=HEADROOM),
    ]
    assert outcomes(findings) == [Outcome.OK] * 3
    assert doctor.passed(findings)
    assert "6 partitions, 3 replicas" in findings[0].message


def test_an_output_with_other_partitions_is_a_warning() -> None:
    """Predictions then lose the partition of their event; the service still works."""
    narrow = dataclasses.replace(PREDICTIONS, partitions=3)
    (finding,) = doctor.judge_output(narrow, EVENTS, brokers=3)
    assert finding.outcome is Outcome.WARN
    assert "3 partitions" in finding.message
    assert "6" in finding.message
    assert finding.hint
    assert doctor.passed([finding])


def test_a_dead_letter_topic_that_is_too_narrow_fails() -> None:
    """The largest event must fit with its headers, else it could never leave the input."""
    narrow = dataclasses.replace(DEAD, config=EVENTS.config)
    (finding,) = doctor.judge_dead_letters(narrow, EVENTS, brokers=3, headroom_bytes=HEADROOM)
    assert finding.outcome is Outcome.FAIL
    assert "1,048,588" in finding.message
    assert f"max.message.bytes={1_048_588 + HEADROOM}" in finding.hint
    assert not doctor.passed([finding])


@pytest.mark.parametrize("dead", [dataclasses.replace(DEAD, config=None), DEAD])
def test_limits_that_are_not_told_are_a_warning(dead: TopicFacts) -> None:
    """Without the right to read the configuration nobody here can know."""
    source = dataclasses.replace(EVENTS, config={})
    (finding,) = doctor.judge_dead_letters(dead, source, brokers=3, headroom_bytes=HEADROOM)
    assert finding.outcome is Outcome.WARN


def test_compacted_dead_letters_are_a_warning() -> None:
    """Compaction removes dead letters that nobody has looked at yet."""
    config = {**(DEAD.config or {}), "cleanup.policy": "compact,delete"}
    compacted = dataclasses.replace(DEAD, config=config)
    (finding,) = doctor.judge_dead_letters(compacted, EVENTS, brokers=3, headroom_bytes=HEADROOM)
    assert finding.outcome is Outcome.WARN
    assert "cleanup.policy=delete" in finding.hint


def test_dead_letters_that_expire_are_a_warning() -> None:
    """A dead letter has its event's time: the usual week of retention may be over already."""
    week = dataclasses.replace(DEAD, config={**(DEAD.config or {}), "retention.ms": "604800000"})
    (finding,) = doctor.judge_dead_letters(week, EVENTS, brokers=3, headroom_bytes=HEADROOM)
    assert finding.outcome is Outcome.WARN
    assert "retention.ms=-1" in finding.hint
    kept = dataclasses.replace(DEAD, config={**(DEAD.config or {}), "retention.ms": "-1"})
    assert outcomes(
        doctor.judge_dead_letters(kept, EVENTS, brokers=3, headroom_bytes=HEADROOM)
    ) == [Outcome.OK]


def test_a_single_replica_is_a_warning_only_where_there_could_be_more() -> None:
    """On one broker there is no other choice."""
    single = dataclasses.replace(EVENTS, replicas=1, config={})
    assert outcomes(doctor.judge_input(single, brokers=1)) == [Outcome.OK]
    assert outcomes(doctor.judge_input(single, brokers=3)) == [Outcome.OK, Outcome.WARN]


def test_fewer_replicas_than_must_be_in_sync_fail() -> None:
    """Such a topic takes no acknowledged write at all."""
    single = dataclasses.replace(PREDICTIONS, replicas=1)
    findings = doctor.judge_output(single, None, brokers=3)
    assert outcomes(findings) == [Outcome.OK, Outcome.FAIL]


@pytest.mark.parametrize(
    ("operations", "outcome"),
    [
        (frozenset({"READ"}), Outcome.OK),
        (frozenset({"ALL"}), Outcome.OK),
        (frozenset({"DESCRIBE"}), Outcome.FAIL),
        (frozenset(), Outcome.OK),
        (None, Outcome.OK),
    ],
)
def test_a_right_is_there_or_missing_or_not_told(
    operations: frozenset[str] | None, outcome: Outcome
) -> None:
    """A broker without an authoriser has nothing to tell, which is no fault."""
    finding = doctor.judge_rights(doctor.INPUT, "events", operations)
    assert finding.outcome is outcome
    assert bool(finding.hint) == (outcome is Outcome.FAIL)


def test_a_missing_topic_fails_with_the_command_that_creates_it() -> None:
    """The usual first mistake."""
    finding = doctor.judge_missing(doctor.OUTPUT, "predictions")
    assert finding.outcome is Outcome.FAIL
    assert "streamscore topics create" in finding.hint


def models_in(store: Path, reference: str | None = None) -> list[Finding]:
    settings = load_settings({"store": store}, environ={}, directory=Path("/nonexistent"))
    return list(examine_models(settings, reference))


@pytest.fixture
def own_store(flight_store: Path, tmp_path: Path) -> Path:
    """A copy of the store with the flight model, to be spoilt."""
    return Path(shutil.copytree(flight_store, tmp_path / "own"))


def rewrite_card(bundle: Path, **changes: object) -> None:
    """Change a bundle's card as one who could also write its checksums."""
    card = json.loads((bundle / "card.json").read_text(encoding="utf-8")) | changes
    data = json.dumps(card).encode()
    sums = json.loads((bundle / "checksums.json").read_text(encoding="utf-8"))
    (bundle / "card.json").write_bytes(data)
    sums["card.json"] = hashlib.sha256(data).hexdigest()
    (bundle / "checksums.json").write_text(json.dumps(sums), encoding="utf-8")


@pytest.mark.parametrize("reference", ["flight-delay@champion", None])
def test_a_model_that_loads_is_sound(flight_store: Path, reference: str | None) -> None:
    """Named, or as the champion of the only model in the store."""
    findings = models_in(flight_store, reference)
    assert [(finding.check, finding.outcome) for finding in findings] == [
        ("model", Outcome.OK),
        ("scikit-learn", Outcome.OK),
    ]
    assert "flight-delay:1" in findings[0].message


def test_a_model_that_was_tampered_with_fails(own_store: Path) -> None:
    """Its checksums tell."""
    with (own_store / "flight-delay" / "1" / "model.skops").open("ab") as file:
        file.write(b"x")
    (finding,) = models_in(own_store, "flight-delay")
    assert finding.outcome is Outcome.FAIL
    assert "model.skops" in finding.message
    assert finding.hint


def test_a_model_of_another_scikit_learn_is_a_warning(own_store: Path) -> None:
    """Its golden rows are reproduced, so it works; someone should know all the same."""
    rewrite_card(own_store / "flight-delay" / "1", versions={"scikit-learn": "0.1"})
    findings = models_in(own_store, "flight-delay")
    assert [(finding.check, finding.outcome) for finding in findings] == [
        ("model", Outcome.OK),
        ("scikit-learn", Outcome.WARN),
    ]
    assert "0.1" in findings[1].message
    assert findings[1].hint


def test_a_model_that_is_not_there_fails_with_the_nearest_one(flight_store: Path) -> None:
    """The store's own error, as a finding."""
    (finding,) = models_in(flight_store, "flight-dely")
    assert finding.outcome is Outcome.FAIL
    assert "flight-delay" in finding.hint


def test_a_store_without_a_model_is_a_warning(tmp_path: Path) -> None:
    """One may well look at the broker first."""
    (finding,) = models_in(tmp_path)
    assert finding.outcome is Outcome.WARN
    assert "streamscore train" in finding.hint


def examine(streamscore: "CommandLine", *flags: str, **environ: str) -> tuple[int, dict[str, Any]]:
    done = streamscore("doctor", "--json", *flags, env=environ)
    assert SECRET not in done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


def of(report: dict[str, Any], check: str) -> list[str]:
    return [each["outcome"] for each in report["checks"] if each["check"] == check]


def topics_of(kafka: "Kafka", partitions: int, dead_letter_limit: int) -> tuple[str, str]:
    source, output = kafka.topic(partitions=3), kafka.topic(partitions=partitions)
    config = {"max.message.bytes": str(dead_letter_limit)}
    create_topics(kafka.settings(), [Topic(f"{source}.dlq", 3, 1, config)])
    return source, output


def test_a_sound_service_passes_every_check(
    kafka: "Kafka", streamscore: "CommandLine", flight_store: Path
) -> None:
    """On a real broker, through the command line."""
    source, output = topics_of(kafka, 3, DEFAULT_LIMIT_BYTES + HEADROOM_BYTES)
    code, report = examine(
        streamscore,
        *("--input", source, "--output", output, "--model", "flight-delay"),
        *("--store", str(flight_store), "--bootstrap-servers", kafka.bootstrap_servers),
    )
    assert code == 0, report
    assert report["ok"]
    assert {each["outcome"] for each in report["checks"]} == {"ok"}
    assert {each["check"] for each in report["checks"]} >= {
        "settings",
        "broker",
        "authorisation",
        "input topic",
        "output topic",
        "dead-letter topic",
        "right to read events",
        "right to write predictions",
        "right to write dead letters",
        "model",
        "scikit-learn",
    }


def test_what_is_wrong_with_the_topics_is_found_on_a_real_broker(
    kafka: "Kafka", streamscore: "CommandLine", flight_store: Path
) -> None:
    """Other partitions warn, a narrow dead-letter topic fails."""
    source, output = topics_of(kafka, 2, DEFAULT_LIMIT_BYTES)
    flags = ("--store", str(flight_store), "--bootstrap-servers", kafka.bootstrap_servers)
    code, report = examine(streamscore, "--input", source, "--output", output, *flags)
    assert code == 1
    assert not report["ok"]
    assert of(report, "output topic") == ["warn"]
    assert of(report, "dead-letter topic") == ["fail"]


def test_missing_topics_are_each_named_for_people(
    kafka: "Kafka", streamscore: "CommandLine", flight_store: Path
) -> None:
    """Plain lines off a terminal, with the command that mends it."""
    done = streamscore(
        *("doctor", "--input", "no-such-topic", "--output", "nor-this"),
        *("--store", str(flight_store), "--bootstrap-servers", kafka.bootstrap_servers),
    )
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    for name in ("no-such-topic", "nor-this", "no-such-topic.dlq"):
        assert sum(line.endswith(f"{name} does not exist") for line in lines) == 1
    assert "mend: create it with `streamscore topics create`" in done.stdout
    assert "3 failed" in lines[-1]
    assert "\x1b" not in done.stdout


def test_without_a_broker_the_rest_is_still_looked_at(
    streamscore: "CommandLine", flight_store: Path
) -> None:
    """One finding says what was tried; the model is judged all the same; no secret shows."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        servers = f"127.0.0.1:{unused.getsockname()[1]}"
    code, report = examine(
        streamscore,
        *("--store", str(flight_store), "--bootstrap-servers", servers),
        STREAMSCORE_BROKER_TIMEOUT_S="1",
        STREAMSCORE_KAFKA__SASL_PASSWORD=SECRET,
    )
    assert code == 1
    assert of(report, "broker") == ["fail"]
    assert of(report, "model") == ["ok"]
    assert servers in str(report["checks"])
    assert report["settings"]["kafka"] == {"sasl.password": "********"}


def test_wrong_settings_are_the_only_finding(streamscore: "CommandLine") -> None:
    """Nothing can be looked at with them."""
    code, report = examine(streamscore, STREAMSCORE_CONSUMR__GROUP="x")
    assert code == 1
    assert of(report, "settings") == ["fail"]
    assert len(report["checks"]) == 1
    assert "STREAMSCORE_CONSUMER__GROUP" in report["checks"][0]["hint"]
