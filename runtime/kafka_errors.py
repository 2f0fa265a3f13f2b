"""librdkafka's errors in the words of `model.errors`: one table, each branch tested.

It must not know any client or setting: an error comes in, a message with a hint goes out.
"""

import re
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException

from model.errors import BrokerError, BrokerUnreachable, DeliveryFailed, Fenced, MissingTopics

_NOISE = re.compile(r"\b(Local|Broker): |\(after \d+ms in state [A-Z_]+[^)]*\)")


class _Branch(NamedTuple):
    raised: type[BrokerError]
    hint: str


_UNREACHABLE = _Branch(
    BrokerUnreachable, "is the broker running, and are bootstrap_servers and the network right?"
)
_MISSING = _Branch(
    MissingTopics, "create it with `streamscore topics create`, or check its name and your rights"
)
_FENCED = _Branch(
    Fenced,
    "another process runs with the same instance_id, or this one was silent too long: "
    "give each instance an instance_id of its own",
)
_CREDENTIALS = _Branch(
    BrokerError,
    "check security.protocol, sasl.mechanism, sasl.username and sasl.password in [kafka]",
)
_TLS = _Branch(
    BrokerError, "check security.protocol and the ssl.… properties in [kafka] against the listener"
)
_RIGHTS = _Branch(BrokerError, "let the cluster's operator grant this principal the operation")
_TOO_LARGE = _Branch(
    DeliveryFailed, "raise max.message.bytes of the topic (and message.max.bytes in [kafka])"
)
_UNDELIVERED = _Branch(
    DeliveryFailed, "the broker did not acknowledge in time: check its load, disks and replicas"
)
_QUEUE = _Branch(
    DeliveryFailed, "the broker is slower than the sender: slow down or raise queue.buffering.max.…"
)
_OLD_BROKER = _Branch(
    BrokerError, "Apache Kafka 3.7 or newer, or one compatible with it, is needed"
)
_OTHER = _Branch(BrokerError, "")

# By the name of the error; librdkafka's own begin with an underscore, the others are the broker's.
_BRANCHES = {
    "_TRANSPORT": _UNREACHABLE,
    "_ALL_BROKERS_DOWN": _UNREACHABLE,
    "_RESOLVE": _UNREACHABLE,
    "_TIMED_OUT": _UNREACHABLE,
    "BROKER_NOT_AVAILABLE": _UNREACHABLE,
    "COORDINATOR_NOT_AVAILABLE": _UNREACHABLE,
    "NETWORK_EXCEPTION": _UNREACHABLE,
    "REQUEST_TIMED_OUT": _UNREACHABLE,
    "_UNKNOWN_PARTITION": _MISSING,
    "_UNKNOWN_TOPIC": _MISSING,
    "UNKNOWN_TOPIC_OR_PART": _MISSING,
    "UNKNOWN_TOPIC_ID": _MISSING,
    "_FENCED": _FENCED,
    "FENCED_INSTANCE_ID": _FENCED,
    "INVALID_PRODUCER_EPOCH": _FENCED,
    "PRODUCER_FENCED": _FENCED,
    "TRANSACTION_COORDINATOR_FENCED": _FENCED,
    "UNRELEASED_INSTANCE_ID": _FENCED,
    "_AUTHENTICATION": _CREDENTIALS,
    "ILLEGAL_SASL_STATE": _CREDENTIALS,
    "SASL_AUTHENTICATION_FAILED": _CREDENTIALS,
    "UNSUPPORTED_SASL_MECHANISM": _CREDENTIALS,
    "_SSL": _TLS,
    "CLUSTER_AUTHORIZATION_FAILED": _RIGHTS,
    "GROUP_AUTHORIZATION_FAILED": _RIGHTS,
    "TOPIC_AUTHORIZATION_FAILED": _RIGHTS,
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": _RIGHTS,
    "INVALID_MSG_SIZE": _TOO_LARGE,
    "MSG_SIZE_TOO_LARGE": _TOO_LARGE,
    "RECORD_LIST_TOO_LARGE": _TOO_LARGE,
    "_MSG_TIMED_OUT": _UNDELIVERED,
    "NOT_ENOUGH_REPLICAS": _UNDELIVERED,
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": _UNDELIVERED,
    "_QUEUE_FULL": _QUEUE,
    "_TIMED_OUT_QUEUE": _QUEUE,
    "_UNSUPPORTED_FEATURE": _OLD_BROKER,
    "UNSUPPORTED_VERSION": _OLD_BROKER,
}


def describe_error(error: KafkaError) -> str:
    """The error in short words with its name: "Unknown topic (UNKNOWN_TOPIC_OR_PART)"."""
    return f"{_NOISE.sub('', error.str()).strip()} ({error.name()})"


def broker_error(error: KafkaError | KafkaException, doing: str) -> BrokerError:
    """The error to raise where `doing` ("reading the topic events") failed with `error`."""
    reason = error.args[0] if isinstance(error, KafkaException) and error.args else error
    if not isinstance(reason, KafkaError):
        return BrokerError(f"{doing} failed: {reason}")
    branch = _BRANCHES.get(reason.name(), _OTHER)
    return branch.raised(f"{doing} failed: {describe_error(reason)}", hint=branch.hint)
