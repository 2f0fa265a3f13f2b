"""Kafka clients from settings, and librdkafka's errors in the words of `model.errors`.

It knows how a client must be set up so that the promises hold; it must not know what the
applications do with it. Create clients in the process that uses them, never before a fork.
"""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ClusterMetadata  # type: ignore[attr-defined]

from model.errors import BrokerError, BrokerUnreachable, SettingsError, StreamscoreError
from runtime.client_log import ClientLog
from runtime.kafka_errors import broker_error, describe_error
from runtime.masking import MASK, secrets
from runtime.settings import Settings

# What librdkafka reads ahead, in bounded memory: two batches of small events; of larger ones a
# batch is what fits. Where enough was read it waits before it asks for more: by default a second,
# in which batches run out.
_READ_AHEAD = {
    "fetch.max.bytes": 2_097_152,
    "fetch.queue.backoff.ms": 10,
    "max.partition.fetch.bytes": 262_144,
    "queued.max.messages.kbytes": 8_192,
    "queued.min.messages": 20_000,
}
# A batch of predictions fits the queue; the topic's own limit decides how large an event may be.
_WRITE_AHEAD = {
    "compression.type": "lz4",
    "linger.ms": 5,
    "message.max.bytes": 10_485_760,
    "queue.buffering.max.kbytes": 262_144,
    "queue.buffering.max.messages": 500_000,
}

Client = TypeVar("Client", Consumer, Producer, AdminClient)

__all__ = [
    "admin_client",
    "broker_error",
    "consumer_properties",
    "describe_error",
    "open_consumer",
    "open_producer",
    "producer_properties",
    "require_broker",
]

# Only to guess what was meant: librdkafka itself says which names it knows.
_WELL_KNOWN = (
    "batch.num.messages",
    "batch.size",
    "broker.address.family",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.type",
    "connections.max.idle.ms",
    "debug",
    "fetch.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "linger.ms",
    "max.partition.fetch.bytes",
    "message.max.bytes",
    "message.timeout.ms",
    "metadata.max.age.ms",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "sasl.kerberos.keytab",
    "sasl.kerberos.principal",
    "sasl.mechanism",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "statistics.interval.ms",
    "sticky.partitioning.linger.ms",
)


def consumer_properties(
    settings: Settings, *, group: str, extra: Mapping[str, object] = {}
) -> dict[str, object]:
    """What a consumer of `group` is created with: reads committed events, commits nothing itself.

    `extra` are librdkafka properties that win over everything else.
    """
    return {
        **_READ_AHEAD,
        **_membership(settings),
        **_connection(settings),
        "group.id": group,
        "isolation.level": "read_committed",
        "auto.offset.reset": settings.consumer.auto_offset_reset,
        "max.poll.interval.ms": _ms(settings.consumer.max_poll_interval_s),
        "enable.auto.commit": False,
        "enable.partition.eof": False,
        "allow.auto.create.topics": False,
        **extra,
    }


def producer_properties(
    settings: Settings, *, extra: Mapping[str, object] = {}
) -> dict[str, object]:
    """What a producer is created with: idempotent, acknowledged by all replicas.

    Keys go to the partitions that Java's clients choose. `extra` are librdkafka properties that
    win over everything else; with a "transactional.id" among them the transaction timeout is set.
    """
    properties = {
        **_WRITE_AHEAD,
        **_connection(settings),
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",
    }
    if "transactional.id" in extra:
        properties["transaction.timeout.ms"] = _ms(settings.consumer.transaction_timeout_s)
    return {**properties, **extra}


def open_consumer(properties: Mapping[str, object]) -> Consumer:
    """A consumer with these properties; SettingsError where librdkafka refuses them."""
    return _open(lambda: Consumer(dict(properties)), properties)


def open_producer(properties: Mapping[str, object]) -> Producer:
    """A producer with these properties; SettingsError where librdkafka refuses them."""
    return _open(lambda: Producer(dict(properties)), properties)


def admin_client(settings: Settings) -> AdminClient:
    """An administration client; its calls take their own deadlines."""
    return _open_admin(_connection(settings))


def require_broker(settings: Settings) -> ClusterMetadata:
    """The cluster's brokers and topics, once a broker answers.

    Waits at most `settings.broker_timeout_s`; then BrokerUnreachable says what was tried, and any
    other BrokerError why the broker turned the connection down.
    """
    seen: list[KafkaError] = []
    # The failed attempts are told by the error that is raised, not by the log as well.
    admin = _open_admin(_connection(settings) | {"error_cb": seen.append, "logger": _Silent()})
    try:
        return admin.list_topics(timeout=settings.broker_timeout_s)
    except KafkaException as error:
        admin.poll(0)  # serves the error callbacks
        raise _unreachable(settings, [*seen, error.args[0]]) from error


class _Silent:
    def log(self, *_: object) -> None:
        return


def _unreachable(settings: Settings, seen: Sequence[KafkaError]) -> BrokerError:
    where = settings.bootstrap_servers
    for reason in seen:  # a broker is there, but turned us down: that tells more than the silence
        error = broker_error(reason, f"connecting to {where}")
        if not isinstance(error, BrokerUnreachable):
            return error
    telling = [each for each in seen if each.name() != "_ALL_BROKERS_DOWN"] or seen
    hung_up = all(each.name() == "_ALL_BROKERS_DOWN" for each in seen[:-1])  # without a reason
    asked = ", or set the security.protocol in [kafka] that its listener wants" if hung_up else ""
    return BrokerUnreachable(
        f"no broker answered at {where} within {settings.broker_timeout_s:g} s: "
        f"{describe_error(telling[0])}",
        hint="start one (`streamscore broker`), or name yours with --bootstrap-servers or "
        f"STREAMSCORE_BOOTSTRAP_SERVERS{asked}",
    )


def _connection(settings: Settings) -> dict[str, object]:
    log = ClientLog()
    client_id = f"streamscore-{settings.instance_id}" if settings.instance_id else "streamscore"
    return {
        "client.id": client_id,
        "socket.keepalive.enable": True,
        **settings.kafka,
        "bootstrap.servers": settings.bootstrap_servers,
        "error_cb": log.error,
        "logger": log,
    }


def _membership(settings: Settings) -> dict[str, object]:
    if settings.consumer.group_protocol == "consumer":
        return {"group.protocol": "consumer"}  # the broker holds the rest (KIP-848)
    session_ms = _ms(settings.consumer.session_timeout_s)
    return {
        "group.protocol": "classic",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": session_ms,
        "heartbeat.interval.ms": max(1, session_ms // 3),
    }


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _open_admin(properties: Mapping[str, object]) -> AdminClient:
    # The stub leaves out the callbacks, which it takes as any client does.
    return _open(lambda: AdminClient(dict(properties)), properties)  # type: ignore[arg-type]


def _open(make: Callable[[], Client], properties: Mapping[str, object]) -> Client:
    try:
        return make()
    except KafkaException as error:
        raise _refused(error, properties) from None  # its text may quote a secret


def _refused(error: KafkaException, properties: Mapping[str, object]) -> StreamscoreError:
    reason = error.args[0]
    if reason.name() != "_INVALID_ARG":
        return broker_error(error, "creating a Kafka client")
    text = reason.str()
    for secret in secrets(properties):
        text = text.replace(secret, MASK)
    close = get_close_matches(text.rpartition(": ")[2].strip('"'), _WELL_KNOWN, n=1)
    meant = f"did you mean {close[0]!r}? " if close and "No such" in text else ""
    return SettingsError(
        f"a property in [kafka] was refused: {text}",
        hint=f"{meant}the names and values are those of librdkafka's CONFIGURATION.md",
    )
