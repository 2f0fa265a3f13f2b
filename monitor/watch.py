"""What the broker says of the watched group and of the topics, asked once a second.

A thread of its own, because each answer may take as long as the broker likes: each question has a
deadline, and the page goes on meanwhile. It must not know predictions.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field, replace
from typing import Any, Final

import structlog
from confluent_kafka import (
    IsolationLevel,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from model.errors import BrokerError, StreamscoreError
from monitor.snapshot import Member
from runtime.clients import admin_client, broker_error, consumer_properties, open_consumer
from runtime.settings import Settings

_log = structlog.get_logger("streamscore.monitor")

_EVERY_S: Final = 1.0
_GRACE_S: Final = 1.0
_ANSWER_S: Final = 3.0  # beyond it a broker counts as away
_NO_GROUP: Final = frozenset({"GROUP_ID_NOT_FOUND", "INVALID_GROUP_ID"})


@dataclass(frozen=True, slots=True)
class View:
    """What was seen at one moment (Unix seconds); of what is not known there is nothing.

    `topics` are the numbers of partitions, `ends` and `committed` offsets of the input.
    """

    at: float
    reachable: bool = False
    since: float = 0.0
    error: str | None = "not asked yet"
    topics: Mapping[str, int] = field(default_factory=dict)
    ends: Mapping[int, int] = field(default_factory=dict)
    committed: Mapping[int, int] = field(default_factory=dict)
    state: str | None = None
    members: tuple[Member, ...] = ()
    rebalances: int = 0


class Watch:
    """Asks in a thread; `view` is the last answer."""

    def __init__(self, settings: Settings, group: str, source: str) -> None:
        now = time.time()
        self.view = View(at=now, since=now)
        self._settings, self._group, self._source = settings, group, source
        self._timeout_s = min(_ANSWER_S, settings.broker_timeout_s)
        self._group_reader = open_consumer(consumer_properties(settings, group=group))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def require_alive(self) -> None:
        """Raise BrokerError where the thread has ended by itself: what is shown would be old."""
        if not self._thread.is_alive():
            raise BrokerError("the broker is asked no more: see the log", hint="start it again")

    def stop(self) -> None:
        """Stop asking; waits for the question in hand, not for long."""
        self._stop.set()
        self._thread.join(self._timeout_s + _GRACE_S)
        if not self._thread.is_alive():
            self._group_reader.close()

    def _run(self) -> None:
        admin = admin_client(self._settings)
        while not self._stop.is_set():
            began = time.monotonic()
            self.view = self._look(admin)
            if not self.view.reachable:
                # One that lost a group's coordinator may never find it again (librdkafka 2.16).
                admin = admin_client(self._settings)
            self._stop.wait(max(0.05, _EVERY_S - (time.monotonic() - began)))

    def _look(self, admin: AdminClient) -> View:
        last = self.view
        try:
            seen = self._ask(admin)
        except (KafkaException, StreamscoreError, FutureTimeoutError) as error:
            now = time.time()
            since = now if last.reachable else last.since
            if last.reachable:
                _log.warning("broker_away", reason=_in_words(error))
            return replace(last, at=now, reachable=False, since=since, error=_in_words(error))
        if not last.reachable:
            _log.info("broker_answers")
        moved = _assignment(seen.members) != _assignment(last.members) and seen.state == "stable"
        return replace(
            seen,
            since=last.since if last.reachable else seen.at,
            rebalances=last.rebalances + int(moved and bool(last.topics)),
        )

    def _ask(self, admin: AdminClient) -> View:
        known = admin.list_topics(timeout=self._timeout_s).topics
        topics = {name: len(each.partitions) for name, each in known.items() if not each.error}
        partitions = range(topics.get(self._source, 0))
        ends = self._ends(admin, partitions)
        state, members = self._members(admin)
        return View(
            at=time.time(),
            reachable=True,
            error=None if partitions else f"there is no topic {self._source}",
            topics=topics,
            ends=ends,
            committed=self._committed(partitions),
            state=state,
            members=members,
        )

    def _ends(self, admin: AdminClient, partitions: Sequence[int]) -> dict[int, int]:
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = {TopicPartition(self._source, number): latest for number in partitions}
        if not wanted:
            return {}
        answers = admin.list_offsets(
            wanted,
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=self._timeout_s,
        )
        return {place.partition: self._wait(each).offset for place, each in answers.items()}

    def _committed(self, partitions: Sequence[int]) -> dict[int, int]:
        """By a consumer that never joins: the admin client's question can crash the process.

        (librdkafka 2.16: `list_consumer_group_offsets` where there is no coordinator yet.)
        """
        places = [TopicPartition(self._source, number) for number in partitions]
        if not places:
            return {}
        answers = self._group_reader.committed(places, timeout=self._timeout_s)
        return {each.partition: each.offset for each in answers if each.offset >= 0}

    def _members(self, admin: AdminClient) -> tuple[str | None, tuple[Member, ...]]:
        answers = admin.describe_consumer_groups([self._group], request_timeout=self._timeout_s)
        try:
            group = self._wait(answers[self._group])
        except KafkaException as error:
            if error.args[0].name() in _NO_GROUP:
                return "dead", ()
            raise
        members = sorted((self._member(each) for each in group.members), key=lambda m: m.member)
        return group.state.name.lower(), tuple(members)

    def _member(self, described: Any) -> Member:  # noqa: ANN401 - the client's, without types
        assigned = described.assignment.topic_partitions if described.assignment else ()
        return Member(
            member=described.member_id,
            client=described.client_id,
            host=described.host,
            partitions=sorted(each.partition for each in assigned if each.topic == self._source),
        )

    def _wait(self, asked: Any) -> Any:  # noqa: ANN401 - the client's futures have no types
        return asked.result(self._timeout_s + _GRACE_S)


def _assignment(members: Sequence[Member]) -> dict[str, list[int]]:
    return {each.member: each.partitions for each in members}


def _in_words(error: Exception) -> str:
    if isinstance(error, KafkaException):
        return str(broker_error(error, "asking the broker"))
    return str(error) or "the broker did not answer in time"
