"""Topics: which exist, with how many partitions and what limits, and how they are created.

Knows settings and the Kafka client; must not know what an application does with a topic.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic  # type: ignore[attr-defined]

from model.errors import BrokerError, MissingTopics
from runtime.clients import admin_client, broker_error, require_broker
from runtime.settings import Settings

DEFAULT_LIMIT_BYTES = 1_048_588  # Kafka's own default of max.message.bytes
HEADROOM_BYTES = 65_536  # what a dead letter's headers may add to an event
KEPT_FOR_EVER = "-1"  # as Kafka's retention.ms
_LOOK_S = 0.05
_GRACE_S = 2.0  # the client answers by its own deadline; ours is a second net behind it


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is to be; `config` holds Kafka's topic properties."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Created:
    """What became of a topic that was to be created: `partitions` are those that it has now."""

    name: str
    created: bool
    partitions: int
    wanted: int

    @property
    def differs(self) -> bool:
        """Whether it existed before with another number of partitions."""
        return self.partitions != self.wanted


def partition_counts(settings: Settings, names: Iterable[str]) -> dict[str, int]:
    """How many partitions each topic has; those that do not exist are left out.

    Raises BrokerUnreachable where no broker answers in time.
    """
    topics = require_broker(settings).topics
    known = {name for name in names if name in topics and topics[name].error is None}
    return {name: len(topics[name].partitions) for name in known}


def require_topics(settings: Settings, names: Iterable[str]) -> dict[str, int]:
    """How many partitions each topic has.

    Raises MissingTopics with the names of those that do not exist.
    """
    wanted = list(names)
    counts = partition_counts(settings, wanted)
    missing = [name for name in wanted if name not in counts]
    if missing:
        raise MissingTopics(
            f"no such topic at {settings.bootstrap_servers}: {', '.join(missing)}",
            hint="create it (`streamscore topics create`), or name another",
        )
    return counts


def dead_letter_topic(settings: Settings, source: str) -> str:
    """The topic for the dead letters of `source`."""
    return f"{source}{settings.topics.dead_letter_suffix}"


def record_limits(settings: Settings, names: Iterable[str]) -> dict[str, int]:
    """The largest record, in bytes, that each topic takes (its `max.message.bytes`).

    Kafka's default where the broker does not let us see. Raises MissingTopics.
    """
    wanted = list(names)
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in wanted]
    admin = admin_client(settings)  # kept: its answers come only while it lives
    answers = admin.describe_configs(resources, request_timeout=settings.broker_timeout_s)
    limits = dict.fromkeys(wanted, DEFAULT_LIMIT_BYTES)
    for resource, answer in answers.items():
        try:
            limits[resource.name] = int(
                answer.result(settings.broker_timeout_s + _GRACE_S)["max.message.bytes"].value
            )
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise broker_error(error, f"reading the limits of {resource.name}") from error
    return limits


def create_topics(settings: Settings, topics: Sequence[Topic]) -> list[Created]:
    """Create topics, and wait until the broker shows them; one that exists stays as it is.

    Raises BrokerError where the broker refused one of them; the others were created.
    """
    before = partition_counts(settings, [topic.name for topic in topics])
    created = _create(settings, [topic for topic in topics if topic.name not in before])
    now = _wait_until_shown(settings, [topic.name for topic in topics])
    return [Created(t.name, t.name in created, now[t.name], t.partitions) for t in topics]


def create_service_topics(settings: Settings) -> list[Created]:
    """Create what a scoring service of these settings needs: input, output and dead letters.

    The dead-letter topic takes whatever the input topic does, with the headers that are added, and
    keeps it: a dead letter has its event's time, so the usual retention would delete those of old
    events within minutes.
    """
    wanted = settings.topics
    created = create_topics(
        settings,
        [Topic(n, wanted.partitions, wanted.replication) for n in (wanted.input, wanted.output)],
    )
    limit = record_limits(settings, [wanted.input])[wanted.input] + HEADROOM_BYTES
    dead_letters = Topic(
        dead_letter_topic(settings, wanted.input),
        wanted.partitions,
        wanted.replication,
        {"max.message.bytes": str(limit), "retention.ms": KEPT_FOR_EVER},
    )
    return [*created, *create_topics(settings, [dead_letters])]


def _create(settings: Settings, topics: Sequence[Topic]) -> set[str]:
    """Create them and return the names of those that somebody else did not create meanwhile."""
    if not topics:
        return set()
    admin = admin_client(settings)  # kept: its answers come only while it lives
    answers = admin.create_topics(
        [NewTopic(t.name, t.partitions, t.replication, config=dict(t.config)) for t in topics],
        operation_timeout=settings.broker_timeout_s,
        request_timeout=settings.broker_timeout_s,
    )
    created: set[str] = set()
    refusals: list[BrokerError] = []
    for name, answer in answers.items():
        try:
            answer.result(settings.broker_timeout_s + _GRACE_S)
            created.add(name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                refusals.append(_refusal(name, error))
    if refusals:
        raise refusals[0]
    return created


def _wait_until_shown(settings: Settings, names: Sequence[str]) -> dict[str, int]:
    """Wait, as clients ask any broker, and it may learn of a topic a little later."""
    deadline = time.monotonic() + settings.broker_timeout_s
    while True:
        counts = partition_counts(settings, names)
        missing = [name for name in names if name not in counts]
        if not missing:
            return counts
        if time.monotonic() > deadline:
            raise BrokerError(
                f"the topics {', '.join(missing)} were created, but {settings.bootstrap_servers} "
                f"did not show them within {settings.broker_timeout_s:g} s",
                hint="may this principal describe them? Else try again",
            )
        time.sleep(_LOOK_S)


def _refusal(name: str, error: KafkaException) -> BrokerError:
    refusal = broker_error(error, f"creating the topic {name}")
    if error.args[0].code() == KafkaError.INVALID_REPLICATION_FACTOR:
        refusal.hint = "a topic has at most as many replicas as there are brokers: --replication"
    return refusal
