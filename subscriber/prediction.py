"""The prediction as it stands on the topic: the wire type and how it is read.

Pure: bytes in, a value out. It must not know Kafka clients, reactions or the terminal. What other
teams read and write is described in docs/contracts.md.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Final

import msgspec

from runtime.expressions import Nested, Shape

Headers = tuple[tuple[str, bytes | None], ...]

#: What a condition may name in a prediction; `key` is the Kafka key where it is UTF-8.
FIELDS: Final[Shape] = {
    "id": None,
    "prediction": None,
    "model": None,
    "version": None,
    "source": Nested(("topic", "partition", "offset", "request", "index")),
    "scored_at": None,
    "probabilities": Nested(),
    "score": None,
    "key": None,
}


class NotAPrediction(ValueError):
    """A value on the topic is no prediction; the message says why and holds none of it."""


_Number = Annotated[int, msgspec.Meta(ge=0)]


class Source(msgspec.Struct, frozen=True):
    """Where the event came from: a place on a topic, or (`request`, `index`) one in a request.

    What does not belong to its kind is None.
    """

    topic: str | None = None
    partition: _Number | None = None
    offset: _Number | None = None
    request: str | None = None
    index: _Number | None = None

    def __post_init__(self) -> None:
        on_topic = None not in (self.topic, self.partition, self.offset)
        if not on_topic and None in (self.request, self.index):
            raise ValueError("it has neither `topic`, `partition`, `offset` nor `request`, `index`")

    @property
    def steps(self) -> tuple[str, ...]:
        """What leads to the event: topic, partition and offset, or request and index."""
        whole = (self.topic, self.partition, self.offset)
        return tuple(map(str, (self.request, self.index) if None in whole else whole))


class _Wire(msgspec.Struct, frozen=True, kw_only=True):
    """The members of the JSON object; others are ignored, so that the contract can grow."""

    id: str
    prediction: bool | int | float | str
    model: str
    version: str
    source: Source
    scored_at: Annotated[datetime, msgspec.Meta(tz=True)]
    probabilities: dict[str, float] | None = None
    score: float | None = None


class Prediction(_Wire, frozen=True, kw_only=True):
    """What a model answered to an event.

    `prediction` is a number, or a classifier's label; `probabilities` maps labels to a classifier's
    probabilities, `score` is an outlier detector's. `source` is the event's place, `key` its Kafka
    key (bytes, or None), `headers` are those of the prediction's record. `value` is the JSON text
    itself, with members that this version does not know.
    """

    key: bytes | None = None
    headers: Headers = ()
    value: bytes = b""

    @property
    def reference(self) -> str:
        """The event's place, `topic/partition/offset` or `request/index`: the same each time."""
        return "/".join(self.source.steps)

    def to_json(self) -> bytes:
        """Give the prediction as one line of JSON, UTF-8, with all members it came with."""
        return msgspec.json.format(self.value, indent=-1)

    def fields(self, names: Iterable[str] = FIELDS) -> Mapping[str, object]:
        """Give what a condition sees, by the names in `FIELDS`; a time is its RFC 3339 text."""
        return {name: _FIELD[name](self) for name in names}


def _source(prediction: Prediction) -> dict[str, object]:
    source: dict[str, object] = msgspec.structs.asdict(prediction.source)
    return source


def _scored_at(prediction: Prediction) -> str:
    return prediction.scored_at.isoformat().replace("+00:00", "Z")


def _key(prediction: Prediction) -> str | None:
    try:
        return None if prediction.key is None else prediction.key.decode()
    except UnicodeDecodeError:
        return None


_FIELD: Final[Mapping[str, Callable[[Prediction], object]]] = {
    "id": attrgetter("id"),
    "prediction": attrgetter("prediction"),
    "model": attrgetter("model"),
    "version": attrgetter("version"),
    "source": _source,
    "scored_at": _scored_at,
    "probabilities": attrgetter("probabilities"),
    "score": attrgetter("score"),
    "key": _key,
}
_decoder: Final = msgspec.json.Decoder(_Wire)


def decode(
    value: bytes | None,
    *,
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes | None]] | None = None,
) -> Prediction:
    """Read the value of a record on a prediction topic.

    Raises NotAPrediction for a tombstone, broken JSON, a missing member or one of another type.
    """
    if value is None:
        raise NotAPrediction("it has no value (a tombstone)")
    wire = _decoded(value)
    return Prediction(
        id=wire.id,
        prediction=wire.prediction,
        model=wire.model,
        version=wire.version,
        source=wire.source,
        scored_at=wire.scored_at,
        probabilities=wire.probabilities,
        score=wire.score,
        key=key,
        headers=tuple(headers or ()),
        value=value,
    )


def _decoded(value: bytes) -> _Wire:
    try:
        return _decoder.decode(value)
    except msgspec.ValidationError as error:
        raise NotAPrediction(f"it breaks the contract: {error}") from None
    except msgspec.DecodeError as error:
        raise NotAPrediction(f"it is not JSON: {error}") from None
    except UnicodeDecodeError:  # its text would show the value
        raise NotAPrediction("it is not UTF-8") from None
    except RecursionError:
        raise NotAPrediction("it is nested too deep") from None
