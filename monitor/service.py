"""The monitor at work: reads what goes by, and publishes a snapshot every second.

Builds every part in one place. The order at the end, which is that of the callbacks from last to
first: the clients are closed, the broker is asked no more, the state is closed. What was taken in
was committed with its offsets each time, so a kill loses nothing.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from confluent_kafka import Message

from model.baseline import Baseline
from model.bundle_files import BASELINE, SIGNATURE, parse, read_files
from model.signature import Signature
from model.store import Store
from monitor.export import Export
from monitor.figures import text_of
from monitor.join import Join
from monitor.live import Live
from monitor.reader import Positions, Reader, Sampler
from monitor.snapshot import DeadLetter, to_json
from monitor.state import Seen, State, Subject
from monitor.watch import Watch
from runtime.dead_letter import NotADeadLetter, read_headers
from runtime.settings import Settings
from runtime.stop import Stop
from runtime.telemetry import MonitorMetrics
from runtime.topics import dead_letter_topic

_log = structlog.get_logger("streamscore.monitor")

_ROUND_S: Final = 0.1  # small batches cost more than they tell
_FULL: Final = 1_000
_SHOWN_EVERY_S: Final = 1.0
_EXPIRED_EVERY_S: Final = 10.0
_LONGEST_PAYLOAD: Final = 200  # bytes


def subject_of(settings: Settings, group: str) -> Subject:
    """What these settings watch; raises ModelError where the model's bundle cannot be read.

    The model itself is not loaded: its signature and baseline are all that is needed.
    """
    topics, reference = settings.topics, settings.monitor.model
    named: dict[str, Any] = {}
    if reference is not None:
        ref = Store(settings.store).resolve(reference)
        files = read_files(ref.path)
        signature = parse(ref.path / SIGNATURE, files[SIGNATURE], dict[str, Any])
        named = {"model": f"{ref.name}:{ref.version}", "signature": Signature.from_dict(signature)}
        if BASELINE in files:
            named["baseline"] = parse(ref.path / BASELINE, files[BASELINE], Baseline)
        else:
            _log.warning("no_baseline", model=named["model"], hint="bundle the model again")
    return Subject(
        input=topics.input,
        output=topics.output,
        dead_letters=dead_letter_topic(settings, topics.input),
        outcomes=settings.monitor.outcomes,
        group=group,
        **named,
    )


def run_monitor(
    settings: Settings, subject: Subject, live: Live, metrics: MonitorMetrics, stop: Stop
) -> None:
    """Watch until stopped.

    Raises:
        SettingsError: the state's file cannot be used.
        BrokerError: an error that does not pass by itself.

    """
    mine = settings.monitor
    group = mine.own_group or f"streamscore-monitor-{subject.output}"
    path = mine.state or f".streamscore/monitor-{subject.output}.db"
    with ExitStack() as stack:
        join = Join(path, keep_s=mine.keep_days * 86_400, keep_rows=mine.keep_rows)
        stack.callback(join.close)
        watch = Watch(settings, subject.group, subject.input)
        watch.start()
        stack.callback(watch.stop)
        reader = Reader(settings, group, mine.begin)
        stack.callback(reader.close)
        sampler = Sampler(settings, group, subject.input, mine.sample_per_s)
        stack.callback(sampler.close)
        stack.callback(stop.request)
        state = State(subject, join, time.time(), mine.history_s, settings.event_id_field)
        loop = _Loop(_Parts(subject, join, watch, reader, sampler, state), payloads=mine.payloads)
        _log.info("monitor_started", input=subject.input, output=subject.output, group=group)
        export, shown_at = Export(metrics), 0.0
        while not stop.requested():
            if loop.round() < _FULL:
                stop.sleep(_ROUND_S)
            if (now := time.time()) - shown_at >= _SHOWN_EVERY_S or now < shown_at:
                shown_at = now
                watch.require_alive()
                snapshot = state.snapshot(now, watch.view)
                export.show(snapshot)
                broker = snapshot.broker
                live.publish(to_json(snapshot), reachable=broker.reachable, error=broker.error)
    _log.info("monitor_stopped")


@dataclass(frozen=True, slots=True)
class _Parts:
    subject: Subject
    join: Join
    watch: Watch
    reader: Reader
    sampler: Sampler
    state: State


class _Loop:
    def __init__(self, parts: _Parts, *, payloads: bool) -> None:
        self._parts, self._payloads = parts, payloads
        self._offsets: Positions = parts.join.offsets()
        self._expired_at = 0.0
        subject = parts.subject
        self._topics = [subject.output, subject.dead_letters]
        if subject.outcomes is not None:
            self._topics.append(subject.outcomes)

    def round(self) -> int:
        """Take what is there; gives how many records that was."""
        parts, now = self._parts, time.time()
        view = parts.watch.view
        parts.reader.assign(view.topics, self._topics, self._offsets)
        messages = parts.reader.take(_ROUND_S)
        if messages or now - self._expired_at >= _EXPIRED_EVERY_S:
            self._keep(messages, now)
        partitions = view.topics.get(parts.subject.input, 0) if view.reachable else 0
        self._sample(parts.sampler.take(now, partitions, lambda number: view.ends.get(number, 0)))
        return len(messages)

    def _keep(self, messages: Sequence[Message], now: float) -> None:
        join = self._parts.join
        offsets = {(str(m.topic()), int(m.partition() or 0)): int(m.offset() or 0) + 1
                   for m in messages}  # fmt: skip
        join.begin()
        try:
            self._see(messages)
            if now - self._expired_at >= _EXPIRED_EVERY_S:
                self._expired_at = now
                join.expire(now)
            join.commit(offsets)
        except BaseException:
            join.rollback()
            raise
        self._offsets |= offsets
        self._parts.reader.commit(offsets)

    def _see(self, messages: Sequence[Message]) -> None:
        by_topic: dict[str, list[Message]] = defaultdict(list)
        for each in messages:
            by_topic[str(each.topic())].append(each)
        subject, state = self._parts.subject, self._parts.state
        state.see_predictions([_seen(each) for each in by_topic[subject.output]])
        if subject.outcomes is not None:
            state.see_outcomes([_seen(each) for each in by_topic[subject.outcomes]])
        for each in by_topic[subject.dead_letters]:
            self._see_dead_letter(each)

    def _see_dead_letter(self, message: Message) -> None:
        try:
            failure = read_headers(message.headers())  # type: ignore[arg-type]
            at = datetime.fromisoformat(failure.failed_at).timestamp()
        except (NotADeadLetter, ValueError) as error:
            _log.info("not_a_dead_letter", reason=str(error))
            return
        payload = None
        if self._payloads:
            payload = (message.value() or b"")[:_LONGEST_PAYLOAD].decode(errors="replace")
        letter = DeadLetter(
            at=text_of(at),
            topic=failure.topic,
            partition=failure.partition,
            offset=failure.offset,
            stage=failure.stage,
            code=failure.code,
            message=failure.message,
            payload=payload,
        )
        self._parts.state.see_dead_letter(letter, at)

    def _sample(self, messages: Sequence[Message]) -> None:
        if messages:
            seen = [_seen(each) for each in messages]
            places = [(int(m.partition() or 0), int(m.offset() or 0)) for m in messages]
            self._parts.state.see_sample(
                [each.value for each in seen], places, [each.at for each in seen]
            )


def _seen(message: Message) -> Seen:
    return Seen(message.value(), message.timestamp()[1] / 1000)
