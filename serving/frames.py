"""MLflow's request bodies to events: its four JSON shapes, and CSV.

After mlflow.pyfunc.scoring_server of MLflow 3. Columns are features by their names; those that are
none are ignored, as there. Without names they are the features in the signature's order. Values
are handed on as they are written, so that the decoder of events judges them. Pure.
"""

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from model.errors import BadRequest
from model.signature import Feature, Kind, Signature
from serving.encoding import encode, encode_columns, known_paths, nested, read_json

Row = list[Raw]
Records = list[dict[str, Raw]]

_SHAPES: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")
_ONE_OF: Final = f"give exactly one of: {', '.join(_SHAPES)}"
# What R, SQL clients and pandas write for "no value".
_MISSING: Final = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL"})
_BOOLEANS: Final = dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(
    ("false", "False", "FALSE"), False
)
_JSON_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST_NUMBER: Final = 400  # characters


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A DataFrame as `DataFrame.to_dict(orient="split")` gives it."""

    data: list[Row]
    columns: list[str | int] | None = None
    index: list[Any] | None = None


class Invocation(msgspec.Struct, frozen=True):
    """A request's body: one of the four shapes."""

    dataframe_split: Split | UnsetType = UNSET
    dataframe_records: Records | UnsetType = UNSET
    instances: Raw | UnsetType = UNSET
    inputs: Raw | UnsetType = UNSET
    params: dict[str, Raw] | None = None
    signature_name: Raw | UnsetType = UNSET


def json_events(body: bytes, signature: Signature, event_id_field: str) -> list[bytes]:
    """An event for each row of a JSON body.

    Raises:
        BadRequest: it is none of the four shapes, or its rows and columns do not match.

    """
    given: Invocation = read_json(body, Invocation, "a request of MLflow")
    if given.params:
        msg = "the model takes no params"
        raise BadRequest(msg, hint="leave them out: its answer depends on the event alone")
    if given.signature_name is not UNSET:
        raise BadRequest("signature_name is not supported", hint="leave it out")
    shapes = [name for name in _SHAPES if getattr(given, name) is not UNSET]
    if len(shapes) != 1:
        found = " and ".join(shapes) or "none of MLflow's shapes"
        raise BadRequest(f"the request has {found}", hint=_ONE_OF)
    to_events = _Rows(signature, event_id_field)
    if isinstance(given.dataframe_split, Split):
        return to_events.of_split(given.dataframe_split)
    if not isinstance(given.dataframe_records, UnsetType):
        return to_events.of_records(given.dataframe_records)
    if isinstance(given.instances, Raw):
        return to_events.of_instances(given.instances, "instances")
    return to_events.of_inputs(given.inputs)  # type: ignore[arg-type] # one of the four is set


class _Rows:
    """Turns rows and records of one signature into events."""

    def __init__(self, signature: Signature, event_id_field: str) -> None:
        self._signature = signature
        self._id_field = event_id_field
        self._paths = known_paths(signature, event_id_field)
        self._names = signature.names

    def of_split(self, split: Split) -> list[bytes]:
        if split.columns is None:
            return self._of_rows(split.data, self._names, "dataframe_split")
        names = [str(name) for name in split.columns]
        _require_apart(names, "dataframe_split")
        return self._of_rows(split.data, names, "dataframe_split")

    def of_records(self, records: Records) -> list[bytes]:
        return [
            encode(
                nested(
                    (self._paths[name], value)
                    for name, value in record.items()
                    if name in self._paths and self._is_wanted(name, value)
                )
            )
            for record in records
        ]

    def of_instances(self, raw: Raw, shape: str) -> list[bytes]:
        first = raw_items(raw, shape)[:1]
        if first and _begins(first[0], b"{"):
            return self.of_records(_typed(raw, Records, shape))
        if first and _begins(first[0], b"["):
            return self._of_rows(_typed(raw, list[Row], shape), self._names, shape)
        values = raw_items(raw, shape)
        return self._of_rows([[value] for value in values], self._names, shape)

    def of_inputs(self, raw: Raw) -> list[bytes]:
        if not _begins(raw, b"{"):
            return self.of_instances(raw, "inputs")
        columns: dict[str, Raw] = _typed(raw, dict[str, Raw], "inputs")
        lists: dict[str, Sequence[object]] = {
            name: raw_items(value, f"the column {name!r} of inputs")
            for name, value in columns.items()
            if _begins(value, b"[")
        }
        if not lists:  # values instead of lists of values: one row
            return self.of_records([columns])
        lengths = {name: len(lists.get(name, [])) for name in columns}
        rows = max(lengths.values())
        for name, length in lengths.items():
            if length != rows:
                msg = f"the column {name!r} of inputs has {length} values, another has {rows}"
                raise BadRequest(msg, hint="all columns have as many")
        if self._id_field in lists:
            lists[self._id_field] = self._ids(raw_items(columns[self._id_field], self._id_field))
        return encode_columns(self._signature, lists, rows, self._id_field)

    def _of_rows(self, rows: list[Row], names: Sequence[str], shape: str) -> list[bytes]:
        for number, row in enumerate(rows):
            if len(row) != len(names):
                msg = f"row {number} of {shape} has {len(row)} values for {len(names)} columns"
                raise BadRequest(msg, hint=f"the columns are: {', '.join(names)}")
        columns: dict[str, Any] = dict(zip(names, zip(*rows, strict=True), strict=False))
        if self._id_field in columns:
            columns[self._id_field] = self._ids(columns[self._id_field])
        return encode_columns(self._signature, columns, len(rows), self._id_field)

    def _ids(self, values: Iterable[Raw]) -> list[Raw | None]:
        return [v if self._is_wanted(self._id_field, v) else None for v in values]

    def _is_wanted(self, name: str, value: Raw) -> bool:
        """Whether a value is the model's business: a frame may call a column of numbers `id`."""
        return name in self._names or (_begins(value, b'"') and bytes(value) != b'""')


def raw_items(raw: Raw, what: str) -> list[Raw]:
    """The items of a JSON array, unread."""
    items: list[Raw] = _typed(raw, list[Raw], what)
    return items


def _typed(raw: Raw, kind: Any, what: str) -> Any:  # noqa: ANN401 - an instance of `kind`
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.MsgspecError as error:
        hint = "instances are objects or arrays, all alike; inputs are columns or rows"
        raise BadRequest(f"{what} cannot be read: {error}", hint=hint) from None


def _begins(raw: Raw, start: bytes) -> bool:
    return memoryview(raw)[:1] == start


def _require_apart(names: Sequence[str], where: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise BadRequest(f"{where} has several columns {name!r}", hint="name each column once")


def csv_events(body: bytes, signature: Signature, event_id_field: str) -> list[bytes]:
    """An event for each row of a CSV file whose first line names the columns.

    An empty field is null, in columns of numbers and booleans also "NA", "NaN" and "null".

    Raises:
        BadRequest: it is no CSV in UTF-8, or a row has not as many fields as the first line.

    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8: byte {error.start}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    try:
        for fields in reader:
            if fields:
                rows.append(fields)
                if len(fields) != len(rows[0]):
                    msg = f"line {reader.line_num} has {len(fields)} fields, the first line has"
                    raise BadRequest(f"{msg} {len(rows[0])}")
    except csv.Error as error:
        raise BadRequest(f"line {reader.line_num} is no CSV: {error}") from None
    if not rows:
        raise BadRequest("the body is empty", hint="its first line names the columns")
    names, *data = rows
    _require_apart(names, "the first line")
    features = {feature.name: feature for feature in signature.features}
    columns: dict[str, Sequence[object]] = {}
    for name, values in zip(names, zip(*data, strict=True) if data else (), strict=False):
        read = _reader(features.get(name))
        columns[name] = [read(value) for value in values]
    return encode_columns(signature, columns, len(data), event_id_field)


def _reader(feature: Feature | None) -> Callable[[str], object]:
    if feature is None or feature.kind is Kind.STRING:
        return lambda text: text or None
    return _boolean if feature.kind is Kind.BOOLEAN else _number


def _boolean(text: str) -> object:
    return None if text in _MISSING else _BOOLEANS.get(text, text)


def _number(text: str) -> object:
    """A number digit for digit; what is none stays text, which the decoder refuses."""
    if _JSON_NUMBER.fullmatch(text):
        return Raw(text.encode())
    if text in _MISSING:
        return None
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return text
    if not math.isfinite(float(text)):
        return text
    return float(text) if set(text) & set(".eE") else int(text)


def predictions_body(predictions: Iterable[Mapping[str, Any]]) -> bytes:
    """The answers as MLflow gives them: what `predict` returned, and nothing else."""
    return encode({"predictions": [each["prediction"] for each in predictions]})
