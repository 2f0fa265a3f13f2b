"""A whole file as a DataFrame: the table that a model is trained on or sampled from.

Reads by the file's suffix, and gives columns the kinds that `streamscore produce` gives the
fields of the same file's events. Knows nothing of models or Kafka.
"""

from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from model.errors import InputFileError, WrongUsage
from runtime.csv_table import read_csv

_MOST_DEPTH = 32


def read_table(path: Path) -> pd.DataFrame:
    """Read all rows of a .csv, .parquet, .ndjson or .jsonl file.

    A nested object of an NDJSON line becomes a column for each of its values, named by the
    dotted path to it. Empty values are missing values.

    Raises:
        InputFileError: the file is missing, empty or broken; names the line that is.
        WrongUsage: the suffix is none of these.

    """
    readers = {
        ".csv": read_csv,
        ".parquet": _read_parquet,
        ".pq": _read_parquet,
        ".ndjson": _read_ndjson,
        ".jsonl": _read_ndjson,
        ".json": _read_ndjson,
    }
    read = readers.get(path.suffix.lower())
    if read is None:
        msg = f"{path}: cannot tell the format from the suffix {path.suffix!r}"
        raise WrongUsage(msg, hint=f"files are {', '.join(readers)}")
    require_file(path)
    try:
        frame = read(path)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise InputFileError(msg) from error
    if frame.empty:
        msg = f"{path} is empty: it has no rows"
        raise InputFileError(msg)
    return frame


def require_file(path: Path) -> None:
    """Refuse a path that leads to no file.

    Raises:
        InputFileError: it does not exist, or is a directory.

    """
    if not path.exists():
        msg = f"{path} does not exist"
        raise InputFileError(msg)
    if path.is_dir():
        msg = f"{path} is a directory"
        raise InputFileError(msg)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = pa.parquet.read_table(path).to_pandas()
    except pa.ArrowException as error:
        msg = f"{path} is not Parquet: {error}"
        raise InputFileError(msg) from error
    named_index = any(name is not None for name in frame.index.names)
    return frame.reset_index() if named_index else frame.reset_index(drop=True)


def _read_ndjson(path: Path) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                rows.append(_flat(_parsed(line, f"{path}, line {number}"), "", 0))
    return pd.DataFrame(rows)


def _parsed(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        msg = f"{where} is not JSON: {error.msg} (column {error.colno})"
        raise InputFileError(msg, hint="NDJSON has one JSON object on each line") from None
    if not isinstance(row, dict):
        msg = f"{where} is not a JSON object"
        raise InputFileError(msg, hint="NDJSON has one JSON object on each line")
    return row


def _flat(row: dict[str, Any], prefix: str, depth: int) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict) and value and depth < _MOST_DEPTH:
            flat |= _flat(value, f"{prefix}{name}.", depth + 1)
        else:
            flat[prefix + name] = value
    return flat
