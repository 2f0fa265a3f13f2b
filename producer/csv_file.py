"""Events from a CSV file. A column is typed as a whole, so that a field never changes its kind.

The kind comes from the first block of rows in which the column holds anything: numbers if all of
them are, else true/false, else text. So "01234" among zip codes stays text, and a number is written
into the event with the digits that the file has. Must not know Kafka.
"""

import csv
import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import IO

import orjson

from model.errors import InputFileError
from producer.files import LINE_LIMIT_BYTES, Event, keyed, opening

BLOCK_ROWS = 5_000

# What R, SQL clients and pandas write for "no value": it does not make a column of numbers text.
_MISSING = frozenset({"NA", "N/A", "NaN", "nan", "null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False}
_BOOLEANS |= {"FALSE": False}
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

Row = tuple[int, list[str]]  # the line on which it ends, and its fields


class Kind(Enum):
    """What the values of a column are."""

    NUMBER = "numbers"
    BOOLEAN = "true or false"
    TEXT = "text"
    UNDECIDED = "empty"


def read_csv(
    path: Path,
    key_field: str | None = None,
    text_columns: Collection[str] = (),
    block_rows: int = BLOCK_ROWS,
) -> Iterator[Event]:
    """Yield one event per row; the first line has the names. Empty fields become null.

    Raises InputFileError for a missing column, a row with too few or too many fields, and a value
    that does not fit the kind of its column.
    """
    with opening(path), path.open(encoding="utf-8-sig", newline="") as file:
        rows = _rows(file, path)
        names = next(rows, (0, []))[1]
        _require_columns(path, names, [*text_columns, *filter(None, [key_field])])
        kinds = [Kind.TEXT if name in text_columns else Kind.UNDECIDED for name in names]
        while block := list(islice(rows, block_rows)):
            _require_width(path, names, block)
            kinds = [
                infer(fields[column] for _, fields in block) if kind is Kind.UNDECIDED else kind
                for column, kind in enumerate(kinds)
            ]
            yield from _events(path, names, kinds, block, key_field)


def infer(values: Iterator[str]) -> Kind:
    """Decide the kind of a column by the values of a block; UNDECIDED when none holds anything."""
    seen = {value for value in values if value and value not in _MISSING}
    if not seen:
        return Kind.UNDECIDED
    if all(_NUMBER.fullmatch(value) for value in seen):
        return Kind.NUMBER
    return Kind.BOOLEAN if seen <= _BOOLEANS.keys() else Kind.TEXT


def _events(
    path: Path, names: Sequence[str], kinds: Sequence[Kind], block: list[Row], key_field: str | None
) -> Iterator[Event]:
    converters = [_CONVERTERS[kind] for kind in kinds]
    key_column = names.index(key_field) if key_field is not None else None
    for line, fields in block:
        try:
            values = [convert(text) for convert, text in zip(converters, fields, strict=True)]
        except ValueError:
            raise _misfit(path, names, kinds, (line, fields)) from None
        key = None
        if key_column is not None and key_field is not None:
            key = keyed({key_field: fields[key_column]}, key_field, f"{path}, line {line}")
        yield Event(orjson.dumps(dict(zip(names, values, strict=True))), key, line)


def _rows(file: IO[str], path: Path) -> Iterator[Row]:
    csv.field_size_limit(LINE_LIMIT_BYTES)  # Python's own limit, 128 KB, is below Kafka's
    reader = csv.reader(file, strict=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, fields
    except csv.Error as error:
        raise InputFileError(f"{path}, line {reader.line_num}: {error}") from None
    except UnicodeDecodeError as error:
        raise InputFileError(
            f"{path} is not UTF-8 somewhere after line {reader.line_num}: {error.reason}",
            hint="convert it, for example with `iconv -f LATIN1 -t UTF-8`",
        ) from None


def _require_columns(path: Path, names: list[str], wanted: Collection[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputFileError(f"{path}: the first line names {', '.join(map(repr, twice))} twice")
    missing = sorted(set(wanted) - set(names))
    if names and missing:
        raise InputFileError(
            f"{path} has no column {', '.join(map(repr, missing))}",
            hint=f"its first line names {', '.join(map(repr, names))}",
        )


def _require_width(path: Path, names: Sequence[str], block: list[Row]) -> None:
    for line, fields in block:
        if len(fields) != len(names):
            raise InputFileError(
                f"{path}, line {line} has {len(fields)} fields and the first line {len(names)}",
                hint='a field that holds a comma or a line break stands in "double quotes"',
            )


def _misfit(path: Path, names: Sequence[str], kinds: Sequence[Kind], row: Row) -> InputFileError:
    line, fields = row
    for name, kind, text in zip(names, kinds, fields, strict=True):
        try:
            _CONVERTERS[kind](text)
        except ValueError:
            return InputFileError(
                f"{path}, line {line}: the column {name!r} held {kind.value} so far, "
                "and here it does not",
                hint=f"mend the line, or take the whole column as text: --text {name}",
            )
    return InputFileError(f"{path}, line {line} cannot be read")


def _number(text: str) -> object:
    if _JSON_NUMBER.fullmatch(text):
        return orjson.Fragment(text)  # digit for digit: no rounding on the way
    if not text or text in _MISSING:
        return None
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError(text)
    return float(text) if set(text) & set(".eE") else int(text)


def _boolean(text: str) -> bool | None:
    if not text or text in _MISSING:
        return None
    if text not in _BOOLEANS:
        raise ValueError(text)
    return _BOOLEANS[text]


def _text(text: str) -> str | None:
    return text or None


def _nothing(_: str) -> None:
    return None


_CONVERTERS: dict[Kind, Callable[[str], object]] = {
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.TEXT: _text,
    Kind.UNDECIDED: _nothing,
}
