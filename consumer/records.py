"""What goes through the scoring service: records in, predictions and dead letters out.

Values only; `Record` is the part of confluent-kafka's Message that the pipeline reads.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from runtime.dead_letter import Header, Headers

Stages = Callable[[str], AbstractContextManager[None]]  # entered around each stage, by its name
ANY_PARTITION = -1  # librdkafka's own: the partitioner chooses by key


class Record(Protocol):
    """An event as it came from its topic."""

    def key(self) -> bytes | None:
        """The event's key."""
        ...

    def value(self) -> bytes | None:
        """The event's value; None is a tombstone."""
        ...

    def headers(self) -> Headers | None:
        """The event's headers, None where there are none."""
        ...

    def timestamp(self) -> tuple[int, int]:
        """The kind of the event's time, and the time in ms since the epoch."""
        ...

    def topic(self) -> str:
        """The topic it stands on."""
        ...

    def partition(self) -> int:
        """The partition it stands in."""
        ...

    def offset(self) -> int:
        """Its place in the partition."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one topic that are scored and committed together.

    In each partition they are in order. `first` and `following` are, by partition, the offset to
    go back to when the batch fails, and the offset to commit when it succeeds. `group` is the
    group's metadata of the moment at which the records were taken: it must not be asked for later
    (a batch of a revoked partition would be accepted, and scored twice).
    """

    topic: str
    records: list[Any]
    partitions: list[int]
    offsets: list[int]
    group: object

    @property
    def first(self) -> dict[int, int]:
        """The first offset of each partition."""
        return dict(zip(reversed(self.partitions), reversed(self.offsets), strict=True))

    @property
    def following(self) -> dict[int, int]:
        """The offset after the last one of each partition."""
        last = dict(zip(self.partitions, self.offsets, strict=True))
        return {partition: offset + 1 for partition, offset in last.items()}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that could not be scored, as it is written."""

    key: bytes | None
    value: bytes | None
    headers: list[Header]
    timestamp_ms: int
    partition: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What a batch came to: predictions by partition, in order, as `produce_batch` takes them.

    A partition's predictions that carry headers stand in `with_headers` instead, since
    `produce_batch` would drop them silently.
    """

    predictions: Mapping[int, list[dict[str, Any]]] = field(default_factory=dict)
    with_headers: Mapping[int, list[dict[str, Any]]] = field(default_factory=dict)
    dead_letters: list[DeadLetter] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Tally:
    """How many events of a batch ended how; dead letters by (stage, code)."""

    predicted: int
    skipped: int
    dead_letters: Mapping[tuple[str, str], int]
