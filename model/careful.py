"""Decodes any event there is, and says of each that does not fit why.

It defines what is accepted; model/codec.py decodes plain events quicker and leaves the rest to it.
The decoder is typed: one pass over the bytes validates what the model needs and skips the rest.
Only a rejected event is looked at a second time, to say why. Knows nothing of Kafka or HTTP.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec
import numpy.typing as npt
import orjson

from model.duplicates import rows_with_duplicates
from model.errors import SettingsError
from model.nesting import TOO_DEEP, is_too_deep
from model.rejection import Code, Rejection, Stage
from model.signature import FIELD_NAME, Feature, Kind, Signature
from model.table import PYTHON_TYPES, Table, build_column, unfit_numbers

_TYPES: dict[Kind, Any] = {
    Kind.NUMBER: float,
    Kind.INTEGER: int | float,  # a whole float is an integer too
    Kind.BOOLEAN: bool,
    Kind.STRING: str,
}
_TOMBSTONE = Rejection(Stage.DECODE, Code.TOMBSTONE, "the event has no value (a tombstone)")
_EMPTY = Rejection(Stage.DECODE, Code.EMPTY_VALUE, "the event's value is empty")


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a batch of events came to.

    `table` and `ids` have one row per accepted event, `positions` says which of the values it
    was; `rejections` has the others by position. An id is None where the event names none.
    """

    table: Table
    ids: list[str | None]
    positions: Sequence[int]
    rejections: dict[int, Rejection]


class CarefulDecoder:
    """Decodes events of one signature; `event_id_field` is a field of the event itself."""

    def __init__(self, signature: Signature, event_id_field: str = "id") -> None:
        self._features = signature.features
        self._id_path = (event_id_field,)
        if not FIELD_NAME.fullmatch(event_id_field):
            msg = f"event_id_field is {event_id_field!r}, which names no field"
            raise SettingsError(msg, hint="name a field without quotes, backslashes and line ends")
        leaves = {f.path: _leaf_type(f) for f in signature.features}
        optional = None if self._id_path in leaves else self._id_path
        if leaves.setdefault(self._id_path, str | None) not in {str, str | None}:
            msg = f"event_id_field is {event_id_field!r}, which is a feature and not text"
            raise SettingsError(msg, hint="name the field that holds the event's id, as text")
        _require_no_nesting(self._id_path, leaves)
        self._paths = list(leaves)
        attributes: dict[tuple[str, ...], str] = {}
        struct = _struct(leaves, (), attributes, optional)
        self._decode = msgspec.json.Decoder(struct).decode
        self._read_id = attrgetter(attributes[self._id_path])
        self._read = [attrgetter(attributes[feature.path]) for feature in self._features]

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode a batch: every value ends in the table or among the rejections."""
        events: list[Any] = []
        positions: list[int] = []
        rejections: dict[int, Rejection] = {}
        decode = self._decode
        for position, value in enumerate(values):
            try:
                events.append(decode(value))  # type: ignore[arg-type]
                positions.append(position)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError) as error:
                rejections[position] = self._explain(value, error)
        columns, unfit = self._columns(events)
        ids: list[str | None] = list(map(self._read_id, events))
        # Of several causes the first stands: a broken text, a feature, the id.
        refused = (
            self._refused_ids(ids) | unfit | self._screen([values[p] or b"" for p in positions])
        )
        if refused:
            rejections.update((positions[row], why) for row, why in refused.items())
            kept = [row for row in range(len(events)) if row not in refused]
            events, ids = [events[row] for row in kept], [ids[row] for row in kept]
            positions = [positions[row] for row in kept]
            columns, _ = self._columns(events)
        return Decoded(Table(tuple(columns), len(events)), ids, positions, rejections)

    def _screen(self, raw: list[bytes]) -> dict[int, Rejection]:
        """What the typed parser let pass: text broken or nested deeply, fields named twice."""
        refused: dict[int, Rejection] = {}
        for row, value in enumerate(raw):
            if not value.isascii():
                try:
                    value.decode()
                except UnicodeDecodeError as error:
                    refused[row] = _not_utf8(error)
                    continue
            if is_too_deep(value):
                refused[row] = TOO_DEEP
        for row in refused:
            raw[row] = b"{}"
        return refused | rows_with_duplicates(raw, self._paths)

    def _refused_ids(self, ids: list[str | None]) -> dict[int, Rejection]:
        field = ".".join(self._id_path)
        refused = {}
        for row, event_id in enumerate(ids):
            if event_id is not None and (not event_id or "\0" in event_id):
                message = f"the event's id (field {field!r}) is empty or has a NUL character"
                refused[row] = Rejection(Stage.VALIDATE, Code.INVALID_ID, message)
        return refused

    def _columns(self, events: list[Any]) -> tuple[list[npt.NDArray[Any]], dict[int, Rejection]]:
        columns = []
        refused: dict[int, Rejection] = {}
        for feature, read in zip(self._features, self._read, strict=True):
            values = list(map(read, events))
            for row, (code, why) in unfit_numbers(feature, values).items():
                message = f"the field {'.'.join(feature.path)!r} {why}"
                refused.setdefault(row, Rejection(Stage.VALIDATE, code, message))
                values[row] = 0
            columns.append(build_column(feature, values))
        return columns, refused

    def _explain(self, value: bytes | None, error: Exception) -> Rejection:
        """Why the typed parser refused an event."""
        if not value:
            return _TOMBSTONE if value is None else _EMPTY
        try:
            value.decode()
            event = orjson.loads(value)
        except UnicodeDecodeError as broken:
            return _not_utf8(broken)
        except orjson.JSONDecodeError as broken:
            # No parser holds such a number: this one refuses it even where no feature is.
            infinite = "infinity" in broken.msg and isinstance(error, msgspec.ValidationError)
            return _misfit(error) if infinite else _not_json(broken)
        if isinstance(error, RecursionError) or is_too_deep(value):
            return TOO_DEEP
        if not isinstance(event, dict):
            message = f"the event is {_json_type(event)}, not an object"
            return Rejection(Stage.DECODE, Code.NOT_AN_OBJECT, message)
        twice = rows_with_duplicates([value], self._paths)
        return twice.get(0) or self._first_misfit(event) or _misfit(error)

    def _first_misfit(self, event: dict[str, Any]) -> Rejection | None:
        for feature in self._features:
            rejection = _feature_misfit(feature, event)
            if rejection:
                return rejection
        found, event_id = _look_up(self._id_path, event)
        if found and event_id is not None and not isinstance(event_id, str):
            field = ".".join(self._id_path)
            message = f"the event's id (field {field!r}) is {_json_type(event_id)}, not text"
            return Rejection(Stage.VALIDATE, Code.INVALID_ID, message)
        return None


def _leaf_type(feature: Feature) -> Any:  # noqa: ANN401 - a type expression
    kind = _TYPES[feature.kind]
    return kind | None if feature.nullable else kind


def _require_no_nesting(path: tuple[str, ...], leaves: Iterable[tuple[str, ...]]) -> None:
    for leaf in leaves:
        shorter, longer = sorted((path, leaf), key=len)
        if path != leaf and longer[: len(shorter)] == shorter:
            msg = f"event_id_field is {'.'.join(path)!r}, and {'.'.join(leaf)!r} is a feature"
            raise SettingsError(msg, hint="name a field that holds the event's id, as text")


def _struct(
    leaves: Mapping[tuple[str, ...], Any],
    prefix: tuple[str, ...],
    attributes: dict[tuple[str, ...], str],
    optional: tuple[str, ...] | None,
) -> Any:  # noqa: ANN401 - a class that is made here
    """A struct class for the paths below a prefix; notes each leaf's dotted attribute."""
    depth = len(prefix)
    dotted = attributes.get(prefix, "")
    steps = dict.fromkeys(path[depth] for path in leaves if path[:depth] == prefix)
    required: list[Any] = []
    defaulted: list[Any] = []
    rename = {}
    for number, step in enumerate(steps):
        path, attribute = (*prefix, step), f"f{number}"
        rename[attribute] = step
        attributes[path] = f"{dotted}.{attribute}" if dotted else attribute
        if path == optional:
            defaulted.append((attribute, leaves[path], None))
        elif path in leaves:
            required.append((attribute, leaves[path]))
        else:
            required.append((attribute, _struct(leaves, path, attributes, optional)))
    return msgspec.defstruct(f"Event{depth}", [*required, *defaulted], rename=rename, gc=False)


def _feature_misfit(feature: Feature, event: dict[str, Any]) -> Rejection | None:
    name = ".".join(feature.path)
    found, value = _look_up(feature.path, event)
    if not found:
        message = f"the field {name!r} is missing"
        if feature.nullable:
            message += " (send null where there is no value)"
        return Rejection(Stage.VALIDATE, Code.MISSING_FEATURE, message)
    if value is None:
        if feature.nullable:
            return None
        message = f"the field {name!r} is null and the model has not learned missing values of it"
        return Rejection(Stage.VALIDATE, Code.NULL_NOT_ALLOWED, message)
    if type(value) in PYTHON_TYPES[feature.kind]:
        return None
    message = f"the field {name!r} must be {feature.kind.value}, not {_json_type(value)}"
    return Rejection(Stage.VALIDATE, Code.WRONG_TYPE, message)


def _look_up(path: tuple[str, ...], event: Any) -> tuple[bool, Any]:  # noqa: ANN401 - any JSON
    for step in path:
        if not isinstance(event, dict) or step not in event:
            return False, None
        event = event[step]
    return True, event


def _json_type(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "text", bool: "a boolean"}
    return names.get(type(value), "null" if value is None else "a number")


def _not_utf8(error: UnicodeDecodeError) -> Rejection:
    message = f"the event is not UTF-8: byte {error.start}"
    return Rejection(Stage.DECODE, Code.NOT_UTF8, message)


def _not_json(error: orjson.JSONDecodeError) -> Rejection:
    if "depth limit" in error.msg:
        return TOO_DEEP
    message = f"not JSON: {error.msg} at byte {error.pos}"
    return Rejection(Stage.DECODE, Code.NOT_JSON, message)


def _misfit(error: Exception) -> Rejection:
    """What only the typed parser saw, in its words: they name the path and hold no value."""
    message = str(error)
    if "out of range" in message:
        return Rejection(Stage.VALIDATE, Code.OUT_OF_RANGE, message)
    code = Code.MISSING_FEATURE if "required field" in message else Code.WRONG_TYPE
    return Rejection(Stage.VALIDATE, code, message)
