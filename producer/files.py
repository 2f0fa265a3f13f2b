"""Events from files and standard input, one at a time and in flat memory.

NDJSON is read here, CSV in `producer.csv_file`, Parquet in `producer.parquet_file`. A file that
cannot be read to its end raises InputFileError naming the line; what came before it has been
yielded. Must not know Kafka.
"""

import os
import select
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from model.errors import InputFileError, WrongUsage
from producer.keys import UnusableKey, key_of

STANDARD_INPUT = "-"
LINE_LIMIT_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 256 * 1024
_IDLE_S = 0.2
_NDJSON = (".ndjson", ".jsonl", ".json")
_CSV = (".csv",)
_PARQUET = (".parquet", ".pq")


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a file: what goes onto the topic. `place` is its line or row, from 1."""

    value: bytes
    key: bytes | None
    place: int


def read_file(
    path: Path, *, key_field: str | None = None, text_columns: Collection[str] = ()
) -> Iterator[Event]:
    """Yield the events of an NDJSON, CSV or Parquet file, chosen by its suffix.

    `key_field` names the field that gives each event's key. `text_columns` are columns of a CSV
    file that stay text whatever they look like. Raises WrongUsage for an unknown suffix and
    InputFileError for a file that cannot be opened, both at once; and InputFileError on the way for
    one that is empty, or broken from some line on.
    """
    _require_readable(path)
    suffix = path.suffix.lower()
    if text_columns and suffix not in _CSV:
        raise WrongUsage(f"{path}: only the columns of a .csv file can be declared to be text")
    if suffix in _NDJSON:
        events = _read_ndjson_file(path, key_field)
    elif suffix in _CSV:
        from producer.csv_file import read_csv  # noqa: PLC0415 - its reader, only where needed

        events = read_csv(path, key_field, text_columns)
    elif suffix in _PARQUET:
        from producer.parquet_file import read_parquet  # noqa: PLC0415 - loads pyarrow

        events = read_parquet(path, key_field)
    else:
        raise WrongUsage(
            f"{path}: cannot tell the format from the suffix {suffix!r}",
            hint=f"files are {', '.join((*_NDJSON, *_CSV, *_PARQUET))}; `-` is NDJSON on stdin",
        )
    return _not_empty(events, path)


def read_ndjson(
    descriptor: int, name: str, key_field: str | None, idle: Callable[[], bool] = lambda: True
) -> Iterator[Event]:
    """Yield one event per line of an open file, pipe or terminal; blank lines are skipped.

    A line goes out byte for byte once it has been found to be a JSON object. `idle` is called
    every 0.2 s while nothing arrives; when it gives False, the reading ends. Raises InputFileError.
    """
    for place, raw in enumerate(_lines(descriptor, name, idle), start=1):
        line = raw.rstrip(b"\r")
        if not line.strip():
            continue
        event = _parsed(line, name, place)
        yield Event(line, keyed(event, key_field, f"{name}, line {place}"), place)


def keyed(event: dict[str, object], key_field: str | None, where: str) -> bytes | None:
    """Give an event's key, or InputFileError saying where the field is missing."""
    if key_field is None:
        return None
    try:
        return key_of(event, key_field)
    except UnusableKey as error:
        raise InputFileError(f"{where}: {error}") from None


def _require_readable(path: Path) -> None:
    """Look without opening: to open and close a named pipe would end its writer."""
    if not path.exists():
        raise InputFileError(f"{path} does not exist")
    if path.is_dir():
        raise InputFileError(f"{path} is a directory")
    if not os.access(path, os.R_OK):
        raise InputFileError(f"{path} cannot be read: permission denied")


def _not_empty(events: Iterator[Event], path: Path) -> Iterator[Event]:
    empty = True
    for event in events:
        empty = False
        yield event
    if empty:
        raise InputFileError(f"{path} is empty: it holds no events")


def _read_ndjson_file(path: Path, key_field: str | None) -> Iterator[Event]:
    with opening(path), path.open("rb", buffering=0) as file:
        yield from read_ndjson(file.fileno(), str(path), key_field)


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Turn what the operating system says of a file into InputFileError."""
    try:
        yield
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror or error}") from error


def _lines(descriptor: int, name: str, idle: Callable[[], bool]) -> Iterator[bytes]:
    """Split what a descriptor gives into lines, without ever blocking for longer than 0.2 s."""
    pending = b""
    while True:
        ready, _, _ = select.select([descriptor], [], [], _IDLE_S)
        if not ready:
            if not idle():
                return
            continue
        chunk = os.read(descriptor, _CHUNK_BYTES)
        if not chunk:
            break
        *whole, pending = (pending + chunk).split(b"\n")
        yield from whole
        if len(pending) > LINE_LIMIT_BYTES:
            raise InputFileError(
                f"{name}: a line is longer than {LINE_LIMIT_BYTES // 1024**2} MiB",
                hint="NDJSON has one event on each line",
            )
    if pending:
        yield pending


def _parsed(line: bytes, name: str, place: int) -> dict[str, object]:
    where = f"{name}, line {place}"
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InputFileError(
            f"{where} is not JSON: {error.msg} (column {error.colno})", hint=_mend(line, place)
        ) from None
    if isinstance(event, dict):
        return event
    raise InputFileError(
        f"{where} is {_json_kind(event)}, not a JSON object", hint=_mend(line, place)
    )


def _mend(line: bytes, place: int) -> str:
    if place == 1 and line.startswith(b"\xef\xbb\xbf"):
        return "save the file as UTF-8 without a byte order mark"
    if place == 1 and line.lstrip()[:1] in {b"[", b"{"}:
        return "an event is one object on one line: `jq -c '.[]'` splits an array, `jq -c .` joins"
    return "an event is one JSON object on one line, in UTF-8"


def _json_kind(value: object) -> str:
    if value is None:
        return "null"
    names = {list: "an array", str: "a text", bool: "a boolean"}
    return names.get(type(value), "a number")
