"""The dead letter contract: the headers of an event that could not be scored, and its way back.

Pure functions over header lists as confluent-kafka gives and takes them. It must not know Kafka
clients, settings or the clock: the consumer writes dead letters by it, `streamscore dead-letters`
reads and replays by it.

A dead letter is the original key, value, timestamp and headers, plus one header for each field of
`Failure`, named `__streamscore.errors.<field>`, as UTF-8 text (numbers in decimal). All names that
begin with `__streamscore.` are reserved: those that an event brings along are taken off.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

PREFIX = "__streamscore."
ATTEMPT = f"{PREFIX}attempt"
VALUE_OMITTED = f"{PREFIX}errors.value_omitted"
MESSAGE_LIMIT_BYTES = 1024

_TEXT_FIELDS = ("topic", "group", "stage", "code", "message", "model", "version", "failed_at")
_NUMBER_FIELDS = ("partition", "offset", "timestamp", "attempt")
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
_LONGEST_COUNT = 10  # digits; more is no count that this program ever wrote

Header = tuple[str, bytes | None]
Headers = Sequence[Header]


class NotADeadLetter(ValueError):
    """The headers lack a field of the dead letter contract, or it is not readable."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Where an event came from, and why it could not be scored.

    `timestamp_ms` is the event's own (ms since the epoch, -1 without one), `attempt` counts from 1,
    `failed_at` is RFC 3339 in UTC. `message` names the field and holds no payload.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    group: str
    stage: str
    code: str
    message: str
    model: str
    version: str
    attempt: int
    failed_at: str


def write_headers(original: Headers | None, failure: Failure) -> list[Header]:
    """Give the headers of a dead letter: the original ones, untouched and first, then `failure`.

    Original headers with the reserved prefix are taken off; the message is cut to 1 KB of UTF-8.
    """
    fields = {
        "topic": failure.topic,
        "partition": str(failure.partition),
        "offset": str(failure.offset),
        "timestamp": str(failure.timestamp_ms),
        "group": failure.group,
        "stage": failure.stage,
        "code": failure.code,
        "message": failure.message,
        "model": failure.model,
        "version": failure.version,
        "attempt": str(failure.attempt),
        "failed_at": failure.failed_at,
    }
    return [
        *original_headers(original),
        *((_name(field), _shortened(text)) for field, text in fields.items()),
    ]


def omit_value(headers: Headers, size_bytes: int) -> list[Header]:
    """Mark a dead letter whose value, of `size_bytes`, was left out because all did not fit.

    For the writer, when value and headers together exceed what the topic takes. It sends the marked
    headers with a null value; where the original headers alone are too large, it marks
    `write_headers(None, failure)`. Such a dead letter can be read but not replayed.
    """
    return [*headers, (VALUE_OMITTED, str(size_bytes).encode())]


def omitted_value_bytes(headers: Headers | None) -> int | None:
    """Tell how large the value was that `omit_value` left out; None when the value is there."""
    text = _last(headers, VALUE_OMITTED)
    if text is None:
        return None
    return int(text) if _is_count(text) else 0


def read_headers(headers: Headers | None) -> Failure:
    """Read the failure back that `write_headers` wrote.

    Raises NotADeadLetter naming the first header that is missing or unreadable.
    """
    text = {field: _text(headers, field) for field in _TEXT_FIELDS}
    number = {field: _number(headers, field) for field in _NUMBER_FIELDS}
    return Failure(
        topic=text["topic"],
        partition=number["partition"],
        offset=number["offset"],
        timestamp_ms=number["timestamp"],
        group=text["group"],
        stage=text["stage"],
        code=text["code"],
        message=text["message"],
        model=text["model"],
        version=text["version"],
        attempt=number["attempt"],
        failed_at=text["failed_at"],
    )


def attempt_of(headers: Headers | None) -> int:
    """Tell which attempt at scoring this event is: 1, or what the header of a replay says.

    A header that no replay wrote (no positive decimal number) counts as none.
    """
    text = _last(headers, ATTEMPT)
    if text is None or not _is_count(text):
        return 1
    return max(1, int(text))


def replay_headers(headers: Headers | None) -> list[Header]:
    """Give the headers with which a dead letter goes back to its source topic.

    The original ones, plus the attempt that now begins. Raises NotADeadLetter.
    """
    attempt = _number(headers, "attempt") + 1
    return [*original_headers(headers), (ATTEMPT, str(attempt).encode())]


def original_headers(headers: Headers | None) -> list[Header]:
    """Give the headers that the event came with: all but the reserved ones."""
    return [header for header in headers or () if not header[0].startswith(PREFIX)]


def _name(field: str) -> str:
    return f"{PREFIX}errors.{field}"


def _shortened(text: str) -> bytes:
    """Encode at most 1 KB, cut between characters; lone surrogates become question marks."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= MESSAGE_LIMIT_BYTES:
        return encoded
    return encoded[:MESSAGE_LIMIT_BYTES].decode(errors="ignore").encode()


def _last(headers: Headers | None, name: str) -> bytes | None:
    """Find the last header of that name, as Kafka's own `Headers.lastHeader` does."""
    for key, value in reversed(headers or ()):
        if key == name:
            return value
    return None


def _text(headers: Headers | None, field: str) -> str:
    value = _last(headers, _name(field))
    if value is None:
        raise NotADeadLetter(f"the header {_name(field)} is missing")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise NotADeadLetter(f"the header {_name(field)} is not UTF-8") from None


def _number(headers: Headers | None, field: str) -> int:
    text = _text(headers, field)
    if _WHOLE_NUMBER.fullmatch(text) is None:
        raise NotADeadLetter(f"the header {_name(field)} is not a whole number")
    return int(text)


def _is_count(text: bytes) -> bool:
    return len(text) <= _LONGEST_COUNT and text.isdigit()
