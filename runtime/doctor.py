"""What `streamscore doctor` concludes: facts in, findings out, each with a way to mend it.

Pure: it must not ask the broker or the store anything, `runtime.doctor_probe` does that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a check ended; only `FAIL` keeps the scoring service from working."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, how it ended, what was seen, and how to mend it."""

    check: str
    outcome: Outcome
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic as the broker describes it; None where it does not tell.

    `operations` are the names of what we may do with it ("READ", "WRITE", …).
    """

    name: str
    partitions: int
    replicas: int
    operations: frozenset[str] | None = None
    config: Mapping[str, str] | None = None

    def number(self, name: str) -> int | None:
        """The value of a numeric property of the topic, where the broker tells it."""
        value = (self.config or {}).get(name)
        return None if value is None else int(value)


@dataclass(frozen=True, slots=True)
class Role:
    """What the service does with a topic or group, and the right that this takes."""

    check: str
    doing: str
    operation: str


INPUT = Role("input topic", "read events", "READ")
OUTPUT = Role("output topic", "write predictions", "WRITE")
DEAD_LETTERS = Role("dead-letter topic", "write dead letters", "WRITE")
GROUP = Role("consumer group", "read as a member", "READ")


def passed(findings: Iterable[Finding]) -> bool:
    """Whether nothing failed."""
    return all(finding.outcome is not Outcome.FAIL for finding in findings)


def ok(check: str, message: str) -> Finding:
    """The finding that all is well."""
    return Finding(check, Outcome.OK, message)


def warn(check: str, message: str, hint: str = "") -> Finding:
    """The finding that something may not be as it was meant."""
    return Finding(check, Outcome.WARN, message, hint)


def fail(check: str, message: str, hint: str = "") -> Finding:
    """The finding that the service cannot work like this."""
    return Finding(check, Outcome.FAIL, message, hint)


def judge_rights(role: Role, name: str, operations: frozenset[str] | None) -> Finding:
    """Whether we may do with `name` what the role takes."""
    check = f"right to {role.doing}"
    if not operations:
        return ok(check, f"the broker does not say what is allowed on {name}")
    if operations & {role.operation, "ALL"}:
        return ok(check, f"{role.operation} on {name} is allowed")
    return fail(
        check,
        f"{role.operation} on {name} is not allowed; allowed are {', '.join(sorted(operations))}",
        f"let the cluster's operator grant this principal {role.operation} on {name}",
    )


def judge_input(topic: TopicFacts, brokers: int) -> list[Finding]:
    """Whether events can be read from `topic`."""
    return [ok(INPUT.check, _shape(topic)), *_judge_replicas(INPUT, topic, brokers)]


def judge_output(topic: TopicFacts, source: TopicFacts | None, brokers: int) -> list[Finding]:
    """Whether predictions can be written to `topic`, beside the partitions of `source`."""
    findings = _judge_replicas(OUTPUT, topic, brokers)
    if source is None or source.partitions == topic.partitions:
        return [ok(OUTPUT.check, _shape(topic)), *findings]
    return [
        warn(
            OUTPUT.check,
            f"{topic.name} has {topic.partitions} partitions, {source.name} {source.partitions}: "
            "predictions are spread by key, not in their event's partition, and those without a "
            "key lose their order",
            f"give both topics the same number (kafka-topics --alter --topic {topic.name} "
            "--partitions N can only raise it)",
        ),
        *findings,
    ]


def judge_dead_letters(
    topic: TopicFacts, source: TopicFacts | None, brokers: int, headroom_bytes: int
) -> list[Finding]:
    """Whether every event of `source` fits into `topic` with its added headers, and stays."""
    findings = _judge_replicas(DEAD_LETTERS, topic, brokers)
    room = topic.number("max.message.bytes")
    largest = None if source is None else source.number("max.message.bytes")
    if room is None or (source is not None and largest is None):
        findings.append(
            warn(
                DEAD_LETTERS.check,
                f"the broker does not tell the limits of {topic.name} and its source",
                f"its max.message.bytes must be {headroom_bytes:,} larger than the source's",
            )
        )
    elif largest is not None and room < largest + headroom_bytes:
        findings.append(
            fail(
                DEAD_LETTERS.check,
                f"{topic.name} takes messages of {room:,} bytes, but one of {_name(source)} "
                f"has up to {largest:,}, and as a dead letter some headers more",
                f"kafka-configs --alter --entity-type topics --entity-name {topic.name} "
                f"--add-config max.message.bytes={largest + headroom_bytes}",
            )
        )
    if "compact" in (topic.config or {}).get("cleanup.policy", ""):
        findings.append(
            warn(
                DEAD_LETTERS.check,
                f"{topic.name} is compacted: a later dead letter with the same key removes an "
                "earlier one",
                f"kafka-configs --alter --entity-type topics --entity-name {topic.name} "
                "--add-config cleanup.policy=delete",
            )
        )
    if topic.number("retention.ms") not in {None, -1}:
        findings.append(
            warn(
                DEAD_LETTERS.check,
                f"{topic.name} deletes what is old, and a dead letter is as old as its event: "
                "those of a backlog may be gone within minutes",
                f"kafka-configs --alter --entity-type topics --entity-name {topic.name} "
                "--add-config retention.ms=-1",
            )
        )
    return findings or [ok(DEAD_LETTERS.check, _shape(topic))]


def judge_missing(role: Role, name: str) -> Finding:
    """The finding that a topic is not there."""
    return fail(role.check, f"{name} does not exist", "create it with `streamscore topics create`")


def _judge_replicas(role: Role, topic: TopicFacts, brokers: int) -> list[Finding]:
    in_sync = topic.number("min.insync.replicas")
    if in_sync is not None and in_sync > topic.replicas:
        return [
            fail(
                role.check,
                f"{topic.name} wants {in_sync} replicas in sync, but has {topic.replicas}: nothing "
                "can be written to it",
                f"raise its replicas, or lower its min.insync.replicas to {topic.replicas}",
            )
        ]
    if brokers > 1 and topic.replicas == 1:
        return [
            warn(
                role.check,
                f"{topic.name} has a single replica on a cluster of {brokers} brokers: it is gone "
                "with its broker",
                "create it with topics.replication = 3",
            )
        ]
    return []


def _name(source: TopicFacts | None) -> str:
    return "the input topic" if source is None else source.name


def _shape(topic: TopicFacts) -> str:
    replicas = "replica" if topic.replicas == 1 else "replicas"
    return f"{topic.name}: {topic.partitions} partitions, {topic.replicas} {replicas}"
