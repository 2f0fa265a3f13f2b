"""Records to predictions and dead letters: pure, batch-shaped, without clients, clocks or metrics.

Order within a partition is kept. One bad event becomes one dead letter and touches no other.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from consumer.headers import CloudEvents, headers_of, size_bytes, trace_context
from consumer.records import ANY_PARTITION, Batch, DeadLetter, Outgoing, Record, Stages, Tally
from model.codec import Decoded, EventDecoder
from model.prediction import PredictionEncoder
from model.rejection import Code, Rejection, Stage
from model.scorer import Scorer, Scores
from runtime.dead_letter import Failure, Header, Headers, attempt_of, omit_value, write_headers

_RECORD_OVERHEAD = 512  # bytes a record may need beyond its key, value and headers

Message = dict[str, Any]  # as `produce` and `produce_batch` take it
Messages = dict[int, list[Message]]  # by partition, in order


@dataclass(frozen=True, slots=True)
class Target:
    """Where a batch's results go.

    `same_partitions`: the topic has as many partitions as the input, so that a result goes to
    the partition with its event's number. `limit_bytes`: the largest record that it takes.
    """

    same_partitions: bool
    limit_bytes: int

    @property
    def room_bytes(self) -> int:
        """What a record's key, value and headers may take."""
        return self.limit_bytes - _RECORD_OVERHEAD

    def partition(self, source: int) -> int:
        """The partition for the result of an event from partition `source`."""
        return source if self.same_partitions else ANY_PARTITION


@dataclass(frozen=True, slots=True)
class Identity:
    """Who scores: what predictions and dead letters say of their origin."""

    group: str
    model: str
    version: str


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Scores batches with one model version; tombstones are dead-lettered or skipped."""

    decoder: EventDecoder
    scorer: Scorer
    encoder: PredictionEncoder
    identity: Identity
    output: Target
    dead_letters: Target
    keep_tombstones: bool
    cloud_events: CloudEvents | None = None

    def run(self, batch: Batch, now: str, stage: Stages) -> tuple[Outgoing, Tally]:
        """Score a batch; `now` is RFC 3339 in UTC, `stage` is entered around each stage."""
        with stage("decode"):
            decoded = self.decoder.decode([record.value() for record in batch.records])
        with stage("score"):
            scores = self.scorer.score(decoded.table)
        with stage("encode"):
            rejections = dict(decoded.rejections)
            for row, rejection in scores.failed.items():
                rejections[decoded.positions[row]] = rejection
            plain, headed = self._predictions(batch, decoded, scores, now, rejections)
            skipped = 0
            if not self.keep_tombstones:
                skipped = _drop_tombstones(rejections)
            letters = [
                self._dead_letter(batch.records[position], rejections[position], now)
                for position in sorted(rejections)
            ]
        counts = Counter((r.stage.value, r.code.value) for r in rejections.values())
        predicted = len(batch.records) - len(rejections) - skipped
        return Outgoing(plain, headed, letters), Tally(predicted, skipped, counts)

    def _predictions(
        self,
        batch: Batch,
        decoded: Decoded,
        scores: Scores,
        now: str,
        rejections: dict[int, Rejection],
    ) -> tuple[Messages, Messages]:
        """The messages without and with headers; adds to the rejections what is too large."""
        if scores.answers is None:
            return {}, {}
        scored = _scored(batch, decoded, scores)
        values = self.encoder.encode(
            scores.answers,
            scored.ids,
            topic=batch.topic,
            partitions=scored.partitions,
            offsets=scored.offsets,
            scored_at=now,
        )
        keys = [record.key() for record in scored.records]
        longest = max(map(len, values)) + max(len(key) if key else 0 for key in keys)
        if (
            longest <= self.output.room_bytes
            and self.cloud_events is None
            and not _any_headers(scored.records)
        ):
            messages = [
                {"value": value, "key": key} for value, key in zip(values, keys, strict=True)
            ]
            return by_partition(messages, scored.partitions, self.output), {}
        return self._one_by_one(batch, scored, values, now, rejections)

    def _one_by_one(
        self,
        batch: Batch,
        scored: "_Scored",
        values: list[bytes],
        now: str,
        rejections: dict[int, Rejection],
    ) -> tuple[Messages, Messages]:
        """As above, for a batch of which some messages carry headers or are too large."""
        messages: Messages = {}
        headed: set[int] = set()
        rows = zip(scored.records, scored.positions, scored.partitions, values, strict=True)
        for record, position, partition, value in rows:
            key = record.key()
            message: Message = {"value": value, "key": key}
            size = len(value) + len(key or b"")
            headers = self._headers(headers_of(record), batch, position, now)
            if headers:
                message["headers"] = headers
                size += size_bytes(headers)
            if size > self.output.room_bytes:
                rejections[position] = _too_large(self.output.room_bytes)
                continue
            target = self.output.partition(partition)
            if headers:
                headed.add(target)
            messages.setdefault(target, []).append(message)
        plain = {target: rest for target, rest in messages.items() if target not in headed}
        return plain, {target: messages[target] for target in headed}

    def _headers(self, original: Headers, batch: Batch, position: int, now: str) -> list[Header]:
        headers = trace_context(original)
        if self.cloud_events is not None:
            partition, offset = batch.partitions[position], batch.offsets[position]
            headers += self.cloud_events.attributes(batch.topic, partition, offset, now)
        return headers

    def _dead_letter(self, record: Record, rejection: Rejection, now: str) -> DeadLetter:
        original, key, value = headers_of(record), record.key(), record.value()
        timestamp_ms = record.timestamp()[1]
        failure = Failure(
            topic=record.topic(),
            partition=record.partition(),
            offset=record.offset(),
            timestamp_ms=timestamp_ms,
            group=self.identity.group,
            stage=rejection.stage.value,
            code=rejection.code.value,
            message=rejection.message,
            model=self.identity.model,
            version=self.identity.version,
            attempt=attempt_of(original),
            failed_at=now,
        )
        headers = write_headers(original, failure)
        limit = self.dead_letters.room_bytes - len(key or b"")
        length = len(value or b"")
        if size_bytes(headers) + length > limit:
            if size_bytes(headers) > limit:
                headers = write_headers(None, failure)
            headers, value = omit_value(headers, length), None
        partition = self.dead_letters.partition(failure.partition)
        return DeadLetter(key, value, headers, timestamp_ms, partition)


def by_partition(messages: list[Message], partitions: list[int], target: Target) -> Messages:
    """Messages by the partition they go to, in order: those of a partition mostly stand together.

    `partitions` are those of their events, one each.
    """
    if not target.same_partitions:
        return {ANY_PARTITION: messages}
    ends = [*(np.flatnonzero(np.diff(partitions)) + 1).tolist(), len(messages)]
    grouped: Messages = {}
    start = 0
    for end in ends:
        grouped.setdefault(partitions[start], []).extend(messages[start:end])
        start = end
    return grouped


@dataclass(frozen=True, slots=True)
class _Scored:
    """The events of a batch that have an answer, in order, and their positions in the batch."""

    records: list[Any]
    positions: Sequence[int]
    partitions: list[int]
    offsets: list[int]
    ids: list[str]


def _scored(batch: Batch, decoded: Decoded, scores: Scores) -> _Scored:
    records, partitions, offsets, ids = batch.records, batch.partitions, batch.offsets, decoded.ids
    positions: Sequence[int] = range(len(records))
    if len(scores.positions) < len(records):
        rows = scores.positions.tolist()
        positions = [decoded.positions[row] for row in rows]
        records = [records[position] for position in positions]
        partitions = [partitions[position] for position in positions]
        offsets = [offsets[position] for position in positions]
        ids = [ids[row] for row in rows]
    named = [
        event_id or f"{batch.topic}/{partition}/{offset}"
        for event_id, partition, offset in zip(ids, partitions, offsets, strict=True)
    ]
    return _Scored(records, positions, partitions, offsets, named)


def _any_headers(records: list[Any]) -> bool:
    try:
        return any(record.headers() for record in records)
    except (SystemError, UnicodeDecodeError):  # see `headers_of`
        return True


def _drop_tombstones(rejections: dict[int, Rejection]) -> int:
    tombstones = [at for at, why in rejections.items() if why.code is Code.TOMBSTONE]
    for position in tombstones:
        del rejections[position]
    return len(tombstones)


def _too_large(limit: int) -> Rejection:
    message = f"the prediction is larger than the {limit} bytes that its topic takes: a long id?"
    return Rejection(Stage.ENCODE, Code.TOO_LARGE, message)
