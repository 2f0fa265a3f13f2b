"""Events from a Parquet file, read by small record batches. Must not know Kafka.

NaN becomes null, timestamps become ISO 8601 in UTC (one without a zone is taken as UTC), decimals
keep their digits. What JSON has no form for (infinity, binary, durations) is an error.
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model.errors import InputFileError
from producer.files import Event, keyed, opening

BATCH_ROWS = 2_048
_BUFFER_BYTES = 1024 * 1024
_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


def read_parquet(
    path: Path, key_field: str | None = None, batch_rows: int = BATCH_ROWS
) -> Iterator[Event]:
    """Yield one event per row. Raises InputFileError naming the row."""
    try:
        with opening(path), pq.ParquetFile(path, buffer_size=_BUFFER_BYTES) as file:
            names = _names(file.schema_arrow, path, key_field)
            row = 1
            for batch in file.iter_batches(batch_size=batch_rows):
                yield from _events(batch, names, path, key_field, row)
                row += batch.num_rows
    except (pa.ArrowException, UnicodeDecodeError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise InputFileError(f"{path} is broken or no Parquet file: {reason}") from error


def _names(schema: pa.Schema, path: Path, key_field: str | None) -> list[str]:
    names: list[str] = schema.names
    if len(set(names)) != len(names):
        raise InputFileError(f"{path} has two columns of the same name")
    if key_field is not None and key_field not in names:
        raise InputFileError(
            f"{path} has no column {key_field!r}",
            hint=f"its columns are {', '.join(map(repr, names))}",
        )
    return names


def _events(
    batch: pa.RecordBatch, names: list[str], path: Path, key_field: str | None, first: int
) -> Iterator[Event]:
    columns = [
        _values(column, name, path, first) for name, column in zip(names, batch, strict=True)
    ]
    for row, values in enumerate(zip(*columns, strict=True), start=first):
        event = dict(zip(names, values, strict=True))
        where = f"{path}, row {row}"
        try:
            value = orjson.dumps(event, default=_other, option=_OPTIONS)
        except TypeError as error:
            raise InputFileError(
                f"{where} holds what JSON has no form for: {error.__cause__ or error}",
                hint="leave the column out, or turn it into text or numbers",
            ) from None
        yield Event(value, keyed(event, key_field, where), row)


def _values(column: pa.Array, name: str, path: Path, first: int) -> list[object]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", "UTC"), safe=False)  # nanoseconds are cut off
    if pa.types.is_floating(column.type):
        _require_finite(column, name, path, first)
    values: list[object] = column.to_pylist()
    return values


def _require_finite(column: pa.Array, name: str, path: Path, first: int) -> None:
    where = pc.index(pc.is_inf(column), value=True).as_py()
    if where >= 0:
        raise InputFileError(
            f"{path}, row {first + where}: the column {name!r} is infinite, which JSON cannot say"
        )


def _other(value: object) -> object:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(type(value).__name__)
