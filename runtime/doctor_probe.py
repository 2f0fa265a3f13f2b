"""What `streamscore doctor` asks: broker, rights, topics and model, one finding a question.

It changes nothing: no topic, no group, no offset. What the answers mean is decided in
`runtime.doctor`. Every question has the deadline `settings.broker_timeout_s`.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined] # its stub does not re-export
    AclOperation,
    AdminClient,
    ConfigResource,
    ResourceType,
)

from model.errors import BrokerError, BrokerUnreachable, MissingTopics
from runtime import doctor
from runtime.clients import admin_client, broker_error, require_broker
from runtime.doctor import Finding, TopicFacts
from runtime.settings import Settings

_GRACE_S = 2.0  # librdkafka answers by its own deadline; ours is a second net behind it
_READ_CONFIGS = ("max.message.bytes", "min.insync.replicas", "cleanup.policy", "retention.ms")
_ASK_AGAIN_S = 0.2
# What a cluster that just started says until it has chosen who keeps a group.
_NOT_YET = {"COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR"}


def examine_broker(
    settings: Settings, *, group: str | None, headroom_bytes: int
) -> Iterator[Finding]:
    """Look at the broker, our rights and the three topics.

    `group` is the consumer group where it is known, `headroom_bytes` what a dead letter may add
    to its event.
    """
    try:
        brokers = len(require_broker(settings).brokers)
        admin = admin_client(settings)
    except BrokerError as error:
        yield doctor.fail("broker", str(error), error.hint)
        yield doctor.warn("topics", "not looked at, as no broker answered")
        return
    answers = "1 broker answers" if brokers == 1 else f"{brokers} brokers answer"
    yield doctor.ok("broker", f"{answers} at {settings.bootstrap_servers}")
    yield _cluster_rights(admin, settings)
    if group is not None:
        yield _group_rights(admin, settings, group)
    yield from _topics(admin, settings, brokers, headroom_bytes)


def _cluster_rights(admin: AdminClient, settings: Settings) -> Finding:
    check = "authorisation"
    asked = admin.describe_cluster(
        include_authorized_operations=True, request_timeout=settings.broker_timeout_s
    )
    try:
        cluster = _answer(asked, settings, "describing the cluster")
    except BrokerError as error:
        return doctor.warn(check, str(error), error.hint)
    names = _names(cluster.authorized_operations)
    if not names:
        return doctor.ok(check, "accepted; the broker does not say what is allowed on the cluster")
    return doctor.ok(check, f"accepted; allowed on the cluster: {', '.join(sorted(names))}")


def _group_rights(admin: AdminClient, settings: Settings, group: str) -> Finding:
    deadline = time.monotonic() + settings.broker_timeout_s
    while True:
        asked = admin.describe_consumer_groups(
            [group], include_authorized_operations=True, request_timeout=settings.broker_timeout_s
        )[group]
        try:
            described = asked.result(settings.broker_timeout_s + _GRACE_S)
        except KafkaException as error:
            if error.args[0].name() not in _NOT_YET or time.monotonic() > deadline:
                return _group_not_told(group, error)
            time.sleep(_ASK_AGAIN_S)
        except FutureTimeoutError:
            return doctor.warn(doctor.GROUP.check, f"nobody told of {group} in time")
        else:
            return doctor.judge_rights(doctor.GROUP, group, _names(described.authorized_operations))


def _group_not_told(group: str, error: KafkaException) -> Finding:
    name = error.args[0].name()
    if name == "GROUP_ID_NOT_FOUND":
        return doctor.ok(doctor.GROUP.check, f"{group} does not exist: its first member makes it")
    told = broker_error(error, f"describing the group {group}")
    judge = doctor.fail if name == "GROUP_AUTHORIZATION_FAILED" else doctor.warn
    return judge(doctor.GROUP.check, str(told), told.hint)


def _topics(
    admin: AdminClient, settings: Settings, brokers: int, headroom_bytes: int
) -> Iterator[Finding]:
    source, output = settings.topics.input, settings.topics.output
    dead = source + settings.topics.dead_letter_suffix
    described = _describe(admin, settings, [source, output, dead])
    roles = {source: doctor.INPUT, output: doctor.OUTPUT, dead: doctor.DEAD_LETTERS}
    found = {name: facts for name, facts in described.items() if isinstance(facts, TopicFacts)}
    for name, facts in described.items():
        if isinstance(facts, MissingTopics):
            yield doctor.judge_missing(roles[name], name)
        elif isinstance(facts, BrokerError):
            yield doctor.fail(roles[name].check, str(facts), facts.hint)
    if source in found:
        yield from doctor.judge_input(found[source], brokers)
    if output in found:
        yield from doctor.judge_output(found[output], found.get(source), brokers)
    if dead in found:
        yield from doctor.judge_dead_letters(
            found[dead], found.get(source), brokers, headroom_bytes
        )
    for name, facts in found.items():
        yield doctor.judge_rights(roles[name], name, facts.operations)


def _describe(
    admin: AdminClient, settings: Settings, names: Sequence[str]
) -> Mapping[str, TopicFacts | BrokerError]:
    asked = admin.describe_topics(
        TopicCollection(list(names)),
        include_authorized_operations=True,
        request_timeout=settings.broker_timeout_s,
    )
    configs = _configs(admin, settings, names)
    described: dict[str, TopicFacts | BrokerError] = {}
    for name in names:
        try:
            topic = _answer(asked[name], settings, f"describing the topic {name}")
        except BrokerError as error:
            described[name] = error
        else:
            described[name] = TopicFacts(
                name=name,
                partitions=len(topic.partitions),
                replicas=min((len(each.replicas) for each in topic.partitions), default=0),
                operations=_names(topic.authorized_operations),
                config=configs.get(name),
            )
    return described


def _configs(
    admin: AdminClient, settings: Settings, names: Sequence[str]
) -> Mapping[str, Mapping[str, str]]:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    asked = admin.describe_configs(resources, request_timeout=settings.broker_timeout_s)
    told: dict[str, Mapping[str, str]] = {}
    for resource, future in asked.items():
        try:
            entries = _answer(future, settings, "reading the topic's configuration")
        except BrokerError:
            continue  # not being allowed to read it is told by what is missing then
        told[resource.name] = {
            name: entries[name].value for name in _READ_CONFIGS if name in entries
        }
    return told


def _answer(asked: "Future[Any]", settings: Settings, doing: str) -> Any:  # noqa: ANN401 - each question has an answer of its own class
    try:
        return asked.result(settings.broker_timeout_s + _GRACE_S)
    except KafkaException as error:
        raise broker_error(error, doing) from error
    except FutureTimeoutError as error:
        raise BrokerUnreachable(f"{doing} had no answer in time") from error


def _names(operations: Sequence[AclOperation] | None) -> frozenset[str] | None:
    return None if operations is None else frozenset(each.name for each in operations)
