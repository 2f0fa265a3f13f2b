"""Events from Parquet: what columns hold, as JSON says it."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.errors import InputFileError
from producer.files import read_file
from producer.parquet_file import read_parquet


def written(path: Path, columns: dict[str, object]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.parquet"


def events(path: Path, key_field: str | None = None) -> list[dict[str, object]]:
    return [orjson.loads(event.value) for event in read_file(path, key_field=key_field)]


def test_values_become_json(path: Path) -> None:
    """Numbers, booleans, text and nulls come out as such, NaN as null."""
    columns = {
        "id": ["a", "b"],
        "n": [1, None],
        "x": [1.5, float("nan")],
        "late": [True, None],
        "text": [None, "\u00e9"],
        "small": pa.array([1.5, float("nan")], pa.float32()),
        "category": pa.array(["UA", None]).dictionary_encode(),
        "nested": [{"delay": 1.0}, None],
        "many": [[1, 2], []],
        "money": [Decimal("12.50"), None],
        "day": [date(2013, 12, 1), None],
    }

    assert events(written(path, columns)) == [
        {
            "id": "a",
            "n": 1,
            "x": 1.5,
            "late": True,
            "text": None,
            "small": 1.5,
            "category": "UA",
            "nested": {"delay": 1.0},
            "many": [1, 2],
            "money": 12.5,
            "day": "2013-12-01",
        },
        {
            "id": "b",
            "n": None,
            "x": None,
            "late": None,
            "text": "\u00e9",
            "small": None,
            "category": None,
            "nested": None,
            "many": [],
            "money": None,
            "day": None,
        },
    ]


def test_times_are_iso_8601_in_utc(path: Path) -> None:
    """Times of any zone and unit come out in UTC; one without a zone is taken as UTC."""
    tokyo = timezone(timedelta(hours=9))
    at = datetime(2013, 12, 1, 10, 15, 0, 123456, tzinfo=UTC)
    columns = {
        "naive": pa.array([at.replace(tzinfo=None)]),
        "utc": pa.array([at]),
        "tokyo": pa.array([at.astimezone(tokyo)], pa.timestamp("us", "Asia/Tokyo")),
        "nanos": pa.array([1_385_892_900_123_456_789], pa.timestamp("ns", "UTC")),
        "seconds": pa.array([1_385_892_900], pa.timestamp("s")),
        "none": pa.array([None], pa.timestamp("ms")),
    }

    assert events(written(path, columns)) == [
        {
            "naive": "2013-12-01T10:15:00.123456Z",
            "utc": "2013-12-01T10:15:00.123456Z",
            "tokyo": "2013-12-01T10:15:00.123456Z",
            "nanos": "2013-12-01T10:15:00.123456Z",
            "seconds": "2013-12-01T10:15:00Z",
            "none": None,
        }
    ]


def test_keys_and_rows_are_counted_over_batches(path: Path) -> None:
    """Rows are numbered through the file, however it is cut into batches."""
    written(path, {"id": list(range(10))})

    read = list(read_parquet(path, "id", batch_rows=3))

    assert [event.place for event in read] == list(range(1, 11))
    assert [event.key for event in read] == [str(number).encode() for number in range(10)]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"id": ["a", "b"], "x": [1.0, float("inf")]}, "row 2: the column 'x' is infinite"),
        ({"id": ["a", None]}, "row 2: the key field 'id' is null"),
        ({"id": ["a"], "raw": [b"\xff"]}, "row 1 holds what JSON has no form for: bytes"),
        (
            {"id": ["a"], "took": [timedelta(seconds=1)]},
            "JSON has no form for: timedelta",
        ),
        ({"name": ["a"]}, "has no column 'id'"),
        ({"id": pa.array([], pa.string())}, "is empty"),
    ],
)
def test_what_cannot_be_an_event_is_told(path: Path, columns: dict[str, object], says: str) -> None:
    """What JSON cannot say, and what lacks its key, is an error that names the row."""
    with pytest.raises(InputFileError, match=says):
        events(written(path, columns), key_field="id")


def test_another_file_is_told(path: Path) -> None:
    """A file that is no Parquet is an error, not a traceback."""
    path.write_bytes(b"id,x\na,1\n" * 10)

    with pytest.raises(InputFileError, match="is broken or no Parquet file"):
        events(path)


def test_a_truncated_file_is_told(path: Path) -> None:
    """A file whose end is missing is an error, not a traceback."""
    written(path, {"id": list(range(1000))})
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(InputFileError, match="is broken or no Parquet file"):
        events(path)
