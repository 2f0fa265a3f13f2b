"""A CSV file as a DataFrame, typed column by column.

Text is kept until a whole column was seen, so that a column never mixes kinds: numbers if all
its values are, else true/false, else text. Knows nothing of models or Kafka.
"""

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from model.errors import InputFileError

_BLOCK_ROWS = 20_000
_FIELD_LIMIT_BYTES = 64 * 1024**2

# What R, SQL clients and pandas write for "no value" among numbers and booleans.
_MISSING = pa.array(["", "NA", "N/A", "NaN", "nan", "null", "NULL"])
_TRUE = pa.array(["true", "True", "TRUE"])
_FALSE = pa.array(["false", "False", "FALSE"])
# A leading zero makes a code, not a number: "01234" among zip codes stays text.
_NUMBER = r"^[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_INTEGER = r"^[+-]?[0-9]{1,18}$"  # as many digits always fit 64 bits


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file in UTF-8 whose first line names the columns.

    Raises:
        InputFileError: a line has too few or too many fields, or is no CSV; says which.
        OSError: the file cannot be read.

    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = _rows(file, path)
        names = next(rows, [])
        _require_distinct(path, names)
        blocks = list(_blocks(rows, len(names)))
    return pd.DataFrame(
        {
            name: _typed(pa.concat_arrays([block[position] for block in blocks]))
            for position, name in enumerate(names)
        }
        if blocks
        else {}
    )


def _rows(file: IO[str], path: Path) -> Iterator[list[str]]:
    csv.field_size_limit(_FIELD_LIMIT_BYTES)  # Python's own limit is 128 KB
    reader = csv.reader(file, strict=True)
    width = 0
    try:
        for fields in reader:
            width = width or len(fields)
            if fields and len(fields) != width:
                msg = f"{path}, line {reader.line_num} has {len(fields)} fields and the first "
                hint = 'a field that holds a comma or a line break stands in "double quotes"'
                raise InputFileError(f"{msg}line {width}", hint=hint)
            if fields:
                yield fields
    except csv.Error as error:
        msg = f"{path}, line {reader.line_num} is not CSV: {error}"
        raise InputFileError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8 somewhere after line {reader.line_num}"
        hint = "convert it, for example with `iconv -f LATIN1 -t UTF-8`"
        raise InputFileError(msg, hint=hint) from error


def _require_distinct(path: Path, names: Sequence[str]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        msg = f"{path}: the first line names {', '.join(map(repr, twice))} twice"
        raise InputFileError(msg)


def _blocks(rows: Iterator[list[str]], width: int) -> Iterator[list["pa.StringArray"]]:
    while block := list(islice(rows, _BLOCK_ROWS)):
        columns = list(zip(*block, strict=True))
        yield [pa.array(columns[position], type=pa.large_string()) for position in range(width)]


def _typed(texts: "pa.Array[Any]") -> "pd.Series[Any]":
    empty = pc.is_in(texts, _MISSING.cast(texts.type))
    present = texts.filter(pc.invert(empty))
    if not len(present):
        typed = pa.nulls(len(texts), pa.float64())
    elif pc.all(pc.match_substring_regex(present, _NUMBER)).as_py():
        whole = pc.all(pc.match_substring_regex(present, _INTEGER)).as_py()
        digits = pc.replace_substring_regex(texts, r"^\+", "")
        typed = pc.if_else(empty, None, digits).cast(pa.int64() if whole else pa.float64())
    elif pc.all(pc.is_in(present, pa.concat_arrays([_TRUE, _FALSE]).cast(texts.type))).as_py():
        typed = pc.if_else(empty, None, pc.is_in(texts, _TRUE.cast(texts.type)))
    else:
        typed = pc.if_else(pc.equal(texts, ""), None, texts)
    column: pd.Series[Any] = typed.to_pandas()
    return column
