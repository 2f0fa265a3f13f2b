"""Rows of a database to a table, with one rejection for each row that does not fit.

A row means what the event with the same values means (model/careful.py): NULL is null, and NaN is
none. Knows nothing of SQL: it is handed Python values, a sequence for each column.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite, isinf, isnan
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

from model.rejection import Code, Rejection, Stage
from model.signature import Feature, Kind, Signature
from model.table import PYTHON_TYPES, Table, build_column, column_dtype, unfit_numbers

LONGEST_ID: Final = 2_000  # bytes in UTF-8: an index of PostgreSQL holds no more for certain

_NULL: Final = type(None)
_USUAL: Final[dict[Kind, frozenset[type]]] = {
    Kind.NUMBER: frozenset({float, int}),
    Kind.INTEGER: frozenset({int}),
    Kind.BOOLEAN: frozenset({bool}),
    Kind.STRING: frozenset({str}),
}
_WIDE: Final = frozenset({"float64", "int64"})  # what most databases call an integer fits them
_TOO_WIDE: Final = 2.0**63


@dataclass(frozen=True, slots=True)
class DecodedRows:
    """What a chunk of rows came to.

    `ids` has the text of every row's id (None where it has none that can be written); `table` has
    a row for each that was accepted, and `positions` says which; `rejections` has the others.
    """

    ids: list[str | None]
    table: Table
    positions: npt.NDArray[np.int64]
    rejections: dict[int, Rejection]


def decode_rows(
    signature: Signature, ids: Sequence[object], columns: Sequence[Sequence[object]]
) -> DecodedRows:
    """Decode a chunk: `columns` has a sequence of values for each feature, in their order.

    Rows of the same id are rejected, all of them.
    """
    rows = len(ids)
    texts, bad_ids = _texts(ids)
    arrays = []
    misfits: dict[int, Rejection] = {}
    unfit: dict[int, Rejection] = {}
    for feature, values in zip(signature.features, columns, strict=True):
        array, of_kind, of_size = _column(feature, values)
        arrays.append(array)
        misfits = of_kind | misfits
        unfit = of_size | unfit
    # Of several causes the one stands that an event would have: a kind, a number's size, the id.
    rejections = bad_ids | unfit | misfits | dict.fromkeys(_twins(ids, texts), _TWIN)
    table = Table(tuple(arrays), rows)
    if not rejections:
        return DecodedRows(texts, table, np.arange(rows), {})
    kept = np.setdiff1d(np.arange(rows), list(rejections))
    return DecodedRows(texts, table.take(kept.tolist()), kept, dict(sorted(rejections.items())))


def row_ids(ids: Sequence[object]) -> list[str | None]:
    """The text of every row's id, as predictions have it; None where it has none."""
    return _texts(ids)[0]


_TWIN: Final = Rejection(
    Stage.VALIDATE,
    Code.DUPLICATE_ID,
    "several rows of this day have this id: which one counts is not known",
)
NO_ID: Final = Rejection(Stage.VALIDATE, Code.INVALID_ID, "the row has no id: it is NULL")


def _texts(ids: Sequence[object]) -> tuple[list[str | None], dict[int, Rejection]]:
    kinds = set(map(type, ids))
    if kinds <= {int}:
        return list(map(str, ids)), {}
    if kinds <= {str} and _are_plain(ids):  # type: ignore[arg-type]
        return list(ids), {}  # type: ignore[arg-type]
    texts: list[str | None] = []
    refused = {}
    for row, value in enumerate(ids):
        text, why = _text(value)
        texts.append(text)
        if why is not None:
            refused[row] = why
    return texts, refused


def _are_plain(texts: Sequence[str]) -> bool:
    whole = "".join(texts)
    if not whole.isascii() or "\0" in whole:
        return all(map(_is_plain, texts))
    return "" not in texts and max(map(len, texts), default=0) <= LONGEST_ID


def _is_plain(text: str) -> bool:
    return bool(text) and "\0" not in text and _bytes(text) <= LONGEST_ID


def _bytes(text: str) -> float:
    """The length in UTF-8; infinite where a text has no such form."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return float("inf")


def _text(value: object) -> tuple[str | None, Rejection | None]:
    if value is None:
        return None, NO_ID
    if isinstance(value, bool) or not isinstance(value, str | int | UUID | Decimal):
        return None, _bad_id(f"is {_in_words(value)}, not text or a whole number")
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None, _bad_id("is no finite number")
        value = format(value, "f")
    text = str(value)
    if not text or "\0" in text:
        return None, _bad_id("is empty or has a NUL character")
    if (length := _bytes(text)) > LONGEST_ID:
        return None, _bad_id("is too long" if isfinite(length) else "is no text in UTF-8")
    return text, None


def _bad_id(why: str) -> Rejection:
    return Rejection(Stage.VALIDATE, Code.INVALID_ID, f"the row's id {why}")


def _twins(ids: Sequence[object], texts: Sequence[str | None]) -> set[int]:
    """The rows that share an id: by its value, or by the text that it is written as."""
    if len(set(texts)) == len(texts) == len(set(ids)):
        return set()
    counts = Counter(texts)
    return {row for row, text in enumerate(texts) if text is not None and counts[text] > 1} | {
        each
        for row in range(1, len(ids))
        if ids[row] == ids[row - 1] and ids[row] is not None
        for each in (row - 1, row)
    }


_Column = tuple[npt.NDArray[Any], dict[int, Rejection], dict[int, Rejection]]


def _column(feature: Feature, values: Sequence[object]) -> _Column:
    """The column, the rows that are not of its kind, and those whose number does not fit it."""
    kinds = set(map(type, values))
    if feature.nullable:
        kinds.discard(_NULL)
    if kinds <= _USUAL[feature.kind] and (array := _usual(feature, values)) is not None:
        return array, {}, {}
    return _unusual(feature, values)


def _usual(feature: Feature, values: Sequence[Any]) -> npt.NDArray[Any] | None:
    """The column of values whose types fit; None where one of them has to be looked at."""
    match feature.kind:
        case Kind.NUMBER if feature.dtype == "float64":
            array = _floats(values)
            if array is None:
                return None
            sound = ~np.isinf(array) if feature.nullable else np.isfinite(array)
            return array if sound.all() else None
        case Kind.INTEGER if feature.dtype in _WIDE:
            return _whole(feature, values)
        case Kind.STRING if not _has_bytes("".join(filter(None, values))):
            return None
        case Kind.STRING | Kind.BOOLEAN:
            return build_column(feature, list(values))
        case _:
            return None


def _whole(feature: Feature, values: Sequence[Any]) -> npt.NDArray[Any] | None:
    try:
        array = np.array(values, dtype=feature.dtype)
    except OverflowError:
        return None
    # In float64, what lies just outside of int64 is rounded to its limits.
    inside = feature.dtype == "int64" or not (np.abs(array) >= _TOO_WIDE).any()
    return array if inside else None


def _floats(values: Sequence[Any]) -> npt.NDArray[np.float64] | None:
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        return None


def _has_bytes(text: str) -> bool:
    return isfinite(_bytes(text))


def _unusual(feature: Feature, values: Sequence[object]) -> _Column:
    plain = [_plain(feature.kind, value) for value in values]
    misfits: dict[int, Rejection] = {}
    for row, value in enumerate(plain):
        if (why := _misfit(feature, value)) is not None:
            misfits[row] = why
            plain[row] = None
    unfit = {
        row: Rejection(Stage.VALIDATE, code, f"the column {feature.name!r} {text}")
        for row, (code, text) in unfit_numbers(feature, plain).items()
    }
    for row in (*misfits, *unfit):
        plain[row] = _STAND_IN[feature.kind]
    return build_column(feature, plain).astype(column_dtype(feature), copy=False), misfits, unfit


_STAND_IN: Final = {Kind.NUMBER: 0.0, Kind.INTEGER: 0, Kind.BOOLEAN: False, Kind.STRING: ""}


def _plain(kind: Kind, value: Any) -> Any:  # noqa: ANN401 - whatever a driver gives
    """The value as an event would have it."""
    if isinstance(value, Decimal) and kind in {Kind.NUMBER, Kind.INTEGER}:
        if value.is_nan():
            return None
        whole = kind is Kind.INTEGER and value.is_finite() and value == value.to_integral_value()
        return int(value) if whole else float(value)
    if type(value) is float and isnan(value):
        return None
    if kind is Kind.STRING and isinstance(value, UUID):
        return str(value)
    if kind is Kind.BOOLEAN and type(value) is int and value in {0, 1}:
        return bool(value)  # SQLite has no booleans of its own
    return value


def _misfit(feature: Feature, value: Any) -> Rejection | None:  # noqa: ANN401 - as above
    column = f"the column {feature.name!r}"
    if value is None:
        if feature.nullable:
            return None
        message = f"{column} is NULL and the model has not learned missing values of it"
        return Rejection(Stage.VALIDATE, Code.NULL_NOT_ALLOWED, message)
    if type(value) not in PYTHON_TYPES[feature.kind]:
        message = f"{column} must be {feature.kind.value}, not {_in_words(value)}"
        return Rejection(Stage.VALIDATE, Code.WRONG_TYPE, message)
    if isinstance(value, str):
        broken = Rejection(Stage.DECODE, Code.NOT_UTF8, f"{column} is no text in UTF-8")
        return None if _has_bytes(value) else broken
    number = np.zeros(1) if isinstance(value, bool) else _floats([value])
    if number is None or isinf(number[0]):
        return Rejection(Stage.VALIDATE, Code.OUT_OF_RANGE, f"{column} is too large")
    return None


def _in_words(value: object) -> str:
    names = {bool: "a boolean", str: "text", bytes: "bytes", int: "a number", float: "a number"}
    return names.get(type(value), f"a {type(value).__name__}")
