"""Topics: counted, required, created once; on a real broker."""

import json
import uuid
from typing import TYPE_CHECKING

import pytest

from model.errors import BrokerError, BrokerUnreachable, MissingTopics
from runtime.topics import (
    DEFAULT_LIMIT_BYTES,
    HEADROOM_BYTES,
    Created,
    Topic,
    create_service_topics,
    create_topics,
    dead_letter_topic,
    partition_counts,
    record_limits,
    require_topics,
)

if TYPE_CHECKING:
    from runtime.settings import Settings
    from tests.conftest import CommandLine, Kafka


@pytest.fixture
def settings(kafka: "Kafka") -> "Settings":
    """Of a service whose topics do not exist."""
    name = f"topics-{uuid.uuid4().hex[:8]}"
    return kafka.settings(topics={"input": name, "output": f"{name}-out", "partitions": 3})


def test_only_topics_that_exist_are_counted(kafka: "Kafka") -> None:
    """A missing one is left out, and not created by asking."""
    there, missing = kafka.topic(partitions=2), f"missing-{uuid.uuid4().hex}"
    settings = kafka.settings()
    for _ in range(2):
        assert partition_counts(settings, [there, missing]) == {there: 2}


def test_a_missing_topic_is_an_error_that_names_it(kafka: "Kafka") -> None:
    """All of them, and the command that creates them."""
    there = kafka.topic()
    assert require_topics(kafka.settings(), [there]) == {there: 1}
    with pytest.raises(MissingTopics, match=r"no such topic at .*: none-1, none-2") as error:
        require_topics(kafka.settings(), ["none-1", there, "none-2"])
    assert "streamscore topics create" in error.value.hint


def test_a_topic_that_exists_stays_as_it_is(kafka: "Kafka") -> None:
    """It is reported with the partitions that it has; the others are created with their config."""
    there, new = kafka.topic(partitions=2), f"new-{uuid.uuid4().hex[:8]}"
    settings = kafka.settings()

    created = create_topics(
        settings, [Topic(there, 5, 1), Topic(new, 3, 1, {"max.message.bytes": "2000000"})]
    )

    assert created == [Created(there, False, 2, 5), Created(new, True, 3, 3)]
    assert [each.differs for each in created] == [True, False]
    assert record_limits(settings, [there, new]) == {there: DEFAULT_LIMIT_BYTES, new: 2_000_000}
    assert create_topics(settings, []) == []


def test_a_service_gets_its_three_topics(settings: "Settings") -> None:
    """With the partitions of the settings, and none is created twice."""
    names = [
        settings.topics.input,
        settings.topics.output,
        dead_letter_topic(settings, settings.topics.input),
    ]

    first, second = create_service_topics(settings), create_service_topics(settings)

    assert [(each.name, each.created, each.partitions) for each in first] == [
        (name, True, 3) for name in names
    ]
    assert [each.created for each in second] == [False] * 3
    assert require_topics(settings, names) == dict.fromkeys(names, 3)


def test_dead_letters_may_be_larger_than_events(kafka: "Kafka") -> None:
    """By the headers that are added, whatever the input topic takes."""
    source = kafka.topic(config={"max.message.bytes": "3000000"})
    settings = kafka.settings(topics={"input": source, "output": f"{source}-out"})
    create_service_topics(settings)
    letters = dead_letter_topic(settings, source)
    assert record_limits(settings, [letters]) == {letters: 3_000_000 + HEADROOM_BYTES}


def test_limits_of_a_missing_topic_are_an_error(kafka: "Kafka") -> None:
    """That names it."""
    with pytest.raises(MissingTopics, match="reading the limits of nowhere"):
        record_limits(kafka.settings(), ["nowhere"])


def test_a_refused_topic_is_an_error_and_the_others_are_created(kafka: "Kafka") -> None:
    """Three replicas need three brokers: it says which topic, why, and what to change."""
    settings = kafka.settings()
    refused, fine = (f"{name}-{uuid.uuid4().hex[:8]}" for name in ("refused", "fine"))
    with pytest.raises(BrokerError, match=f"creating the topic {refused} failed") as error:
        create_topics(settings, [Topic(refused, 1, 30), Topic(fine, 1, 1)])
    assert "--replication" in error.value.hint
    assert partition_counts(settings, [refused, fine]) == {fine: 1}


class TestCommand:
    def test_creates_what_is_missing(
        self, streamscore: "CommandLine", kafka: "Kafka", settings: "Settings"
    ) -> None:
        """From flags and settings; JSON says what was created."""
        source, output = settings.topics.input, settings.topics.output
        env = {
            "STREAMSCORE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "STREAMSCORE_TOPICS__OUTPUT": output,
        }
        done = streamscore(
            *("topics", "create", "--input", source, "--partitions", "2", "--json"), env=env
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [
            {"topic": name, "created": True, "partitions": 2, "wanted_partitions": 2}
            for name in (source, output, f"{source}.dlq")
        ]

    def test_reports_what_exists_with_other_partitions(
        self, streamscore: "CommandLine", kafka: "Kafka"
    ) -> None:
        """It is left as it is: a note, no failure."""
        source = kafka.topic(partitions=2)
        done = streamscore(
            *("topics", "create", "--input", source, "--output", f"{source}-out"),
            *("--partitions", "4", "--bootstrap-servers", kafka.bootstrap_servers),
        )
        assert done.returncode == 0, done.stderr
        rows = [line.split() for line in done.stdout.splitlines()]
        assert [source, "existed", "2"] in rows
        assert [f"{source}-out", "created", "4"] in rows
        assert f"{source} has 2 partitions where the settings say 4" in done.stderr
        assert "input and output differ in their partitions" in done.stderr

    @pytest.mark.parametrize(
        ("flags", "code", "reason"),
        [
            (["--input", "same", "--output", "same"], 2, "output topic 'same' must be neither"),
            (["--input", "a b"], 2, "topics.input"),
            (["--partitions", "0"], 2, "topics.partitions"),
        ],
    )
    def test_wrong_settings(
        self, streamscore: "CommandLine", flags: list[str], code: int, reason: str
    ) -> None:
        """Exit code 2 and the setting, before any broker is asked."""
        done = streamscore("topics", "create", "--bootstrap-servers", "127.0.0.1:1", *flags)
        assert done.returncode == code
        assert reason in done.stderr
        assert not done.stdout


def test_without_a_broker_there_is_an_error_in_time(kafka: "Kafka") -> None:
    """It says what was tried."""
    settings = kafka.settings(bootstrap_servers="127.0.0.1:1", broker_timeout_s=0.5)
    with pytest.raises(BrokerUnreachable, match=r"no broker answered at 127.0.0.1:1"):
        create_service_topics(settings)
