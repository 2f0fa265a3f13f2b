"""Where the demo plays: a broker, its topics, the names that it uses, and the settings for them.

With the embedded broker all is new and goes with it. On a broker of the user's own the demo makes
topics and a group with names of their own, and deletes exactly these at its end.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from confluent_kafka import KafkaException

from demo.flights import MODEL
from runtime.broker import EmbeddedBroker
from runtime.clients import admin_client, broker_error
from runtime.kafka_jars import Progress
from runtime.sections import HealthSettings
from runtime.settings import Settings
from runtime.topics import Topic, create_topics, dead_letter_topic, partition_counts

_log = structlog.get_logger("streamscore.demo")

_ADMIN_TIMEOUT_S: Final = 10.0
_LOOK_S: Final = 0.1
_WAS_NOT_THERE: Final = frozenset({"GROUP_ID_NOT_FOUND", "UNKNOWN_TOPIC_OR_PART"})


@dataclass(frozen=True, slots=True)
class Stage:
    """The topics and the group of one run, and settings that lead there."""

    settings: Settings
    source: str
    output: str
    dead_letters: str
    group: str

    @property
    def topics(self) -> tuple[str, str, str]:
        """All three of them."""
        return (self.source, self.output, self.dead_letters)


@contextmanager
def embedded_stage(settings: Settings, fetching: Progress) -> Iterator[Stage]:
    """Start the embedded broker and create the topics; all of it is gone after the block.

    `fetching` hears of the download that the first start needs.
    """
    broker = EmbeddedBroker()
    try:
        broker.start(progress=fetching)
        here = settings.model_copy(
            update={"bootstrap_servers": broker.bootstrap_servers, "kafka": {}}
        )
        stage = _stage(here, prefix="", replication=1)
        _create(stage)
        yield stage
    finally:
        broker.stop()


@contextmanager
def borrowed_stage(settings: Settings) -> Iterator[Stage]:
    """Use the broker of the settings; what the demo creates there is deleted after the block."""
    stage = _stage(
        settings,
        prefix=f"demo-{uuid.uuid4().hex[:8]}-",
        replication=settings.topics.replication,
    )
    try:
        _create(stage)
        yield stage
    finally:
        _delete(stage)


def _stage(settings: Settings, *, prefix: str, replication: int) -> Stage:
    source, output = f"{prefix}flights", f"{prefix}flight-delays"
    group = f"{prefix}streamscore-{MODEL}"
    topics = settings.topics.model_copy(
        update={"input": source, "output": output, "replication": replication}
    )
    consumer = settings.consumer.model_copy(
        update={"group": group, "auto_offset_reset": "earliest"}
    )
    here = settings.model_copy(
        update={
            "store": settings.store.absolute(),
            "instance_id": None,  # a name of the user's service must not be taken by the demo
            "event_id_field": "id",
            "health": HealthSettings(),
            "topics": topics,
            "consumer": consumer,
        }
    )
    return Stage(here, source, output, dead_letter_topic(here, source), group)


def _create(stage: Stage) -> None:
    topics = stage.settings.topics
    create_topics(
        stage.settings,
        [Topic(name, topics.partitions, topics.replication) for name in stage.topics],
    )
    # A cluster's brokers learn of a new topic one after the other.
    deadline = time.monotonic() + _ADMIN_TIMEOUT_S
    while time.monotonic() < deadline and len(partition_counts(stage.settings, stage.topics)) < len(
        stage.topics
    ):
        time.sleep(_LOOK_S)


def _delete(stage: Stage) -> None:
    admin = admin_client(stage.settings)
    deletions = {
        **admin.delete_topics(list(stage.topics), operation_timeout=_ADMIN_TIMEOUT_S),
        **admin.delete_consumer_groups([stage.group]),
    }
    for name, deletion in deletions.items():
        try:
            deletion.result(_ADMIN_TIMEOUT_S + 1)
        except TimeoutError:
            _log.warning("not_deleted", name=name, reason="no answer in time")
        except KafkaException as error:  # the demo is over: what is left does no harm
            if error.args[0].name() in _WAS_NOT_THERE:
                continue
            _log.warning("not_deleted", name=name, reason=str(broker_error(error, "deleting")))
