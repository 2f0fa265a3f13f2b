"""Clients from settings: what they are created with, and every error in words for people."""

import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from model.errors import (
    BrokerError,
    BrokerUnreachable,
    DeliveryFailed,
    Fenced,
    MissingTopics,
    SettingsError,
)
from runtime.client_log import QUIET_S, ClientLog
from runtime.clients import (
    admin_client,
    broker_error,
    consumer_properties,
    describe_error,
    open_consumer,
    open_producer,
    producer_properties,
    require_broker,
)
from runtime.settings import Settings, load_settings

SECRET = "geheim-8f2a"


def settings_of(**overrides: object) -> Settings:
    return load_settings(overrides, environ={}, directory=Path("/nonexistent"))


@pytest.fixture(scope="module")
def mock_servers() -> Iterator[str]:
    """The addresses of librdkafka's in-process cluster, which lives as long as its client."""
    owner = Producer({"test.mock.num.brokers": 2, "log_level": 0})
    brokers = owner.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    owner.flush(1)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def test_a_consumer_reads_committed_events_and_commits_nothing_by_itself() -> None:
    """The properties that the promises rest on are there."""
    properties = consumer_properties(settings_of(), group="g")
    assert properties["group.id"] == "g"
    assert properties["isolation.level"] == "read_committed"
    assert properties["enable.auto.commit"] is False
    assert properties["allow.auto.create.topics"] is False
    assert properties["enable.partition.eof"] is False
    assert properties["auto.offset.reset"] == "earliest"
    assert properties["partition.assignment.strategy"] == "cooperative-sticky"
    assert properties["session.timeout.ms"] == 6000
    assert properties["heartbeat.interval.ms"] == 2000
    assert properties["max.poll.interval.ms"] == 300_000
    assert properties["queued.max.messages.kbytes"] == 8_192
    assert properties["fetch.queue.backoff.ms"] == 10


def test_the_new_group_protocol_takes_no_classic_property() -> None:
    """Librdkafka refuses them there: the broker holds the session."""
    settings = settings_of(consumer={"group_protocol": "consumer"})
    properties = consumer_properties(settings, group="g")
    assert properties["group.protocol"] == "consumer"
    for name in ("session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"):
        assert name not in properties


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_librdkafka_accepts_what_a_consumer_is_created_with(
    protocol: str, mock_servers: str
) -> None:
    """For both group protocols, with static membership."""
    settings = settings_of(
        bootstrap_servers=mock_servers, consumer={"group_protocol": protocol}, instance_id="a"
    )
    extra = {"group.instance.id": "a", "statistics.interval.ms": 1000}
    consumer = open_consumer(consumer_properties(settings, group="g", extra=extra))
    assert consumer.list_topics(timeout=10).brokers
    consumer.close()


def test_a_producer_is_idempotent_and_waits_for_all_replicas(mock_servers: str) -> None:
    """With the partitioner of Java's clients; accepted by librdkafka."""
    settings = settings_of(bootstrap_servers=mock_servers, kafka={"linger.ms": 1})
    properties = producer_properties(settings)
    assert properties["enable.idempotence"] is True
    assert properties["acks"] == "all"
    assert properties["partitioner"] == "murmur2_random"
    assert properties["message.max.bytes"] == 10_485_760
    assert properties["linger.ms"] == "1"
    assert "transaction.timeout.ms" not in properties
    producer = open_producer(properties)
    producer.produce("t", b"v", b"k")
    assert producer.flush(10) == 0


def test_a_transactional_producer_gets_the_transaction_timeout(mock_servers: str) -> None:
    """It comes with the transactional id, and librdkafka accepts the pair."""
    settings = settings_of(
        bootstrap_servers=mock_servers, consumer={"transaction_timeout_s": 30}, broker_timeout_s=10
    )
    properties = producer_properties(settings, extra={"transactional.id": "t-0"})
    assert properties["transaction.timeout.ms"] == 30_000
    open_producer(properties).init_transactions(10)


def test_extra_properties_win_over_the_settings() -> None:
    """An application knows best what its own client is for."""
    settings = settings_of(kafka={"queued.min.messages": 5})
    extra = {"queued.min.messages": 7, "auto.offset.reset": "latest"}
    properties = consumer_properties(settings, group="g", extra=extra)
    assert properties["queued.min.messages"] == 7
    assert properties["auto.offset.reset"] == "latest"


def test_passed_through_properties_reach_every_client() -> None:
    """Those of [kafka] replace our tuning, never what the promises rest on."""
    settings = settings_of(kafka={"compression.type": "zstd", "sasl.username": "u"})
    assert producer_properties(settings)["compression.type"] == "zstd"
    assert consumer_properties(settings, group="g")["sasl.username"] == "u"


def test_the_clients_are_named_after_the_instance() -> None:
    """The broker's logs and quotas show who it is."""
    assert producer_properties(settings_of())["client.id"] == "streamscore"
    properties = producer_properties(settings_of(instance_id="pod-3"))
    assert properties["client.id"] == "streamscore-pod-3"


def test_an_unknown_property_names_the_nearest_one() -> None:
    """Librdkafka says that it is unknown, we say what was meant."""
    settings = settings_of(kafka={"sasl.pasword": SECRET})
    with pytest.raises(SettingsError) as raised:
        admin_client(settings)
    assert "sasl.pasword" in str(raised.value)
    assert "'sasl.password'" in raised.value.hint
    assert SECRET not in str(raised.value) + raised.value.hint


def test_a_refused_property_shows_no_secret() -> None:
    """Even where librdkafka's text quotes the value."""
    settings = settings_of(kafka={"security.protocol": SECRET, "sasl.password": SECRET})
    with pytest.raises(SettingsError) as raised:
        open_producer(producer_properties(settings))
    assert "security.protocol" in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_broker_that_answers_tells_its_cluster(mock_servers: str) -> None:
    """The brokers of the metadata, well before the deadline."""
    metadata = require_broker(settings_of(bootstrap_servers=mock_servers))
    assert len(metadata.brokers) == 2


def test_a_broker_that_does_not_answer_is_an_error_within_the_deadline(closed_port: int) -> None:
    """What was tried, for how long, why, and how to mend it."""
    settings = settings_of(bootstrap_servers=f"127.0.0.1:{closed_port}", broker_timeout_s=0.5)
    started = time.monotonic()
    with pytest.raises(BrokerUnreachable) as raised:
        require_broker(settings)
    assert time.monotonic() - started < 5
    assert f"127.0.0.1:{closed_port} within 0.5 s" in str(raised.value)
    assert "refused" in str(raised.value)
    assert "--bootstrap-servers" in raised.value.hint


def test_a_name_that_is_none_is_told_as_such() -> None:
    """Not as a connection that was lost."""
    settings = settings_of(bootstrap_servers="no.such.host.invalid:9092", broker_timeout_s=3)
    with pytest.raises(BrokerUnreachable, match="resolve"):
        require_broker(settings)


def test_a_listener_that_speaks_no_kafka_is_unreachable() -> None:
    """A server that accepts and says nothing does not hold us beyond the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings = settings_of(bootstrap_servers=f"127.0.0.1:{port}", broker_timeout_s=1)
        with pytest.raises(BrokerUnreachable, match="within 1 s"):
            require_broker(settings)


BRANCHES = {
    BrokerUnreachable: (
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.REQUEST_TIMED_OUT,
    ),
    MissingTopics: (
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
    ),
    Fenced: (
        KafkaError._FENCED,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
        KafkaError.TRANSACTION_COORDINATOR_FENCED,
        KafkaError.UNRELEASED_INSTANCE_ID,
    ),
    DeliveryFailed: (
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError._QUEUE_FULL,
        KafkaError._TIMED_OUT_QUEUE,
    ),
    BrokerError: (
        KafkaError._AUTHENTICATION,
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError._SSL,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError._UNSUPPORTED_FEATURE,
        KafkaError.UNSUPPORTED_VERSION,
    ),
}


@pytest.mark.parametrize(
    ("code", "expected"), [(code, kind) for kind, codes in BRANCHES.items() for code in codes]
)
def test_each_known_error_becomes_its_own_with_a_way_to_mend_it(
    code: int, expected: type[BrokerError]
) -> None:
    """What was being done, librdkafka's words, the error's name, and a hint."""
    error = broker_error(KafkaException(KafkaError(code)), "reading events")
    assert type(error) is expected
    assert str(error).startswith("reading events failed: ")
    assert KafkaError(code).name() in str(error)
    assert error.hint
    assert error.exit_code == 1


def test_any_other_error_is_a_broker_error_with_its_name() -> None:
    """Nothing is lost where no hint is known."""
    error = broker_error(KafkaError(KafkaError.ILLEGAL_GENERATION), "committing")
    assert type(error) is BrokerError
    assert "ILLEGAL_GENERATION" in str(error)


def test_an_exception_without_an_error_keeps_its_text() -> None:
    """Some of the client's own exceptions carry a text alone."""
    assert str(broker_error(KafkaException("odd"), "reading")) == "reading failed: odd"


def test_an_error_in_words_has_neither_noise_nor_prefix() -> None:
    """Durations and the words Local and Broker say nothing to people."""
    error = KafkaError(KafkaError._TRANSPORT, "Local: Connect failed (after 3ms in state CONNECT)")
    assert describe_error(error) == "Connect failed (_TRANSPORT)"


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[structlog.typing.EventDict]:
    """What is logged from here on, by structlog."""
    capture = structlog.testing.LogCapture()
    monkeypatch.setattr(structlog, "is_configured", lambda: True)
    everything = structlog.make_filtering_bound_logger(logging.NOTSET)  # whatever ran before

    def logger(*_: object) -> structlog.typing.WrappedLogger:
        return structlog.wrap_logger(None, processors=[capture], wrapper_class=everything)

    monkeypatch.setattr(structlog, "get_logger", logger)
    return capture.entries


def test_the_same_report_is_logged_once_in_a_while(
    logged: list[structlog.typing.EventDict],
) -> None:
    """A broker that is down fails at every attempt to connect, many times a second."""
    clock = Clock()
    log = ClientLog(clock)
    for port in range(50):
        log.error(KafkaError(KafkaError._TRANSPORT, f"127.0.0.1:{port} refused"))
    assert len(logged) == 1
    clock.now += QUIET_S
    log.error(KafkaError(KafkaError._TRANSPORT, "127.0.0.1:1 refused"))
    assert [entry["code"] for entry in logged] == ["_TRANSPORT", "_TRANSPORT"]


def test_librdkafkas_lines_keep_their_level_and_facility(
    logged: list[structlog.typing.EventDict],
) -> None:
    """But what comes as an error too, or is so by design, is for debugging only."""
    log = ClientLog(Clock())
    log.log(logging.WARNING, "%s [%s] %s", "SESSTMOUT", "client#1", "session timed out")
    log.log(logging.ERROR, "%s [%s] %s", "FAIL", "client#1", "refused")
    log.log(logging.WARNING, "%s [%s] %s", "CONFWARN", "client#1", "x will be ignored by this y")
    assert [(entry["facility"], entry["log_level"]) for entry in logged] == [
        ("SESSTMOUT", "warning"),
        ("FAIL", "debug"),
        ("CONFWARN", "debug"),
    ]


def test_without_configured_logs_the_standard_ones_are_used(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In someone's own program nothing is printed to standard output behind their back."""
    monkeypatch.setattr(structlog, "is_configured", lambda: False)
    ClientLog(Clock()).error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert [record.name for record in caplog.records] == ["streamscore.kafka"]


def test_a_log_that_cannot_be_written_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in a callback would surface in an unrelated poll."""

    def closed(*_: object) -> None:
        raise ValueError("I/O operation on closed file")

    monkeypatch.setattr(structlog, "is_configured", closed)
    ClientLog(Clock()).error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
