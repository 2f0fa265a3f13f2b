"""What the monitor reads of records: predictions and outcomes, as typed values.

Pure: bytes in, values out. It must not know Kafka clients. What is no prediction or no outcome
is left out and counted, never an error: the page goes on.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from model.schema import label_key


class Source(msgspec.Struct, frozen=True, gc=False):
    """Where the event stands that was scored; no partition for one that came by HTTP."""

    partition: int = -1
    offset: int = -1


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """A prediction as far as it is looked at; `probabilities` stay text until they are needed."""

    id: str
    prediction: bool | int | float | str
    model: str
    version: str
    source: Source
    scored_at: str
    probabilities: msgspec.Raw = msgspec.Raw()
    score: float | None = None

    def probability_of(self) -> dict[str, float]:
        """The probabilities by label, empty without any."""
        text = bytes(self.probabilities)
        return _probabilities.decode(text) if text else {}


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The truth about an event, which arrives later."""

    id: str
    outcome: bool | int | float | str


_prediction: Final = msgspec.json.Decoder(Prediction)
_outcome: Final = msgspec.json.Decoder(Outcome)
_probabilities: Final = msgspec.json.Decoder(dict[str, float])
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_predictions(values: Iterable[bytes | None]) -> list[Prediction | None]:
    """One for each value; None for what breaks the contract."""
    return [_read_prediction(value) for value in values]


def decode_outcomes(values: Iterable[bytes | None]) -> list[Outcome | None]:
    """One for each value; None for what is no `{"id": …, "outcome": …}`."""
    return [_read_outcome(value) for value in values]


def key_of(label: bool | float | str) -> str:  # noqa: FBT001 - a label may be a boolean
    """A label as text, as `probabilities` names it; 1.0 is the label 1."""
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    return label_key(label)


def _read_prediction(value: bytes | None) -> Prediction | None:
    try:
        return _prediction.decode(value or b"")
    except _UNREADABLE:
        return None


def _read_outcome(value: bytes | None) -> Outcome | None:
    try:
        return _outcome.decode(value or b"")
    except _UNREADABLE:
        return None
