"""Events from CSV: a column is typed as a whole, and no digit is lost."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import InputFileError
from producer.csv_file import Kind, infer, read_csv
from producer.files import read_file


def events(path: Path, text: str, **options: object) -> list[dict[str, object]]:
    path.write_text(text, encoding="utf-8", newline="")
    read = read_file(path, **options)  # type: ignore[arg-type] # the options of each test
    return [orjson.loads(event.value) for event in read]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.csv"


def test_kinds_are_told_apart(path: Path) -> None:
    """Numbers, true/false and text come out as such; an empty field is null."""
    text = "id,delay,late,note\na,1.5,true,x\nb,,false,\nc,-2,,\n"

    assert events(path, text) == [
        {"id": "a", "delay": 1.5, "late": True, "note": "x"},
        {"id": "b", "delay": None, "late": False, "note": None},
        {"id": "c", "delay": -2, "late": None, "note": None},
    ]


def test_a_column_is_typed_as_a_whole(path: Path) -> None:
    """A zip code with a leading zero keeps the whole column text, and so does one odd value."""
    text = "zip,mixed,flag\n12345,1,true\n01234,x,maybe\n"

    assert events(path, text) == [
        {"zip": "12345", "mixed": "1", "flag": "true"},
        {"zip": "01234", "mixed": "x", "flag": "maybe"},
    ]


def test_numbers_keep_their_digits(path: Path) -> None:
    """A number goes into the event as it stands in the file: no rounding, no rewriting."""
    path.write_text("a,b\n2.50,12345678901234567890\n1e-7,0\n")

    values = [event.value for event in read_file(path)]

    assert values == [b'{"a":2.50,"b":12345678901234567890}', b'{"a":1e-7,"b":0}']


def test_numbers_that_json_writes_differently_are_rewritten(path: Path) -> None:
    """What other programs write (a plus, no digit before or after the point) stays a number."""
    assert events(path, "a\n+5\n.5\n-3.\n") == [{"a": 5}, {"a": 0.5}, {"a": -3.0}]


def test_missing_values_of_other_programs_do_not_make_numbers_text(path: Path) -> None:
    """NA, NaN and NULL among numbers are null; among text they are text."""
    text = "delay,carrier\n1,UA\nNA,NA\nNaN,NaN\nNULL,DL\n"

    assert events(path, text) == [
        {"delay": 1, "carrier": "UA"},
        {"delay": None, "carrier": "NA"},
        {"delay": None, "carrier": "NaN"},
        {"delay": None, "carrier": "DL"},
    ]


def test_a_column_can_be_declared_text(path: Path) -> None:
    """A column of codes that look like numbers stays text where the user says so."""
    assert events(path, "zip,n\n12345,1\n", text_columns=["zip"]) == [{"zip": "12345", "n": 1}]


def test_a_later_block_may_hold_what_the_first_left_out(path: Path) -> None:
    """A column that is empty at first is typed when it first holds something."""
    path.write_text("a,b\n1,\n2,\n3.5,\n4,x\n")

    read = [orjson.loads(event.value) for event in read_csv(path, block_rows=2)]

    assert [row["a"] for row in read] == [1, 2, 3.5, 4]
    assert [row["b"] for row in read] == [None, None, None, "x"]


def test_a_later_value_of_another_kind_is_named(path: Path) -> None:
    """A value that does not fit its column is an error with its line, column and mend."""
    path.write_text("n,zip\n1,12345\n2,12346\n3,01234\n")

    with pytest.raises(InputFileError, match=r"line 4: the column 'zip' held numbers") as caught:
        list(read_csv(path, block_rows=2))

    assert "--text zip" in caught.value.hint


def test_an_infinite_number_is_no_number(path: Path) -> None:
    """`inf` makes a column text: JSON has no infinity."""
    assert events(path, "a\n1\ninf\n") == [{"a": "1"}, {"a": "inf"}]


def test_quotes_line_breaks_and_a_byte_order_mark(path: Path) -> None:
    """Quoted fields hold commas, quotes and line breaks; Excel's mark is not part of a name."""
    text = '\ufeffid,note\r\na,"x, ""y""\r\nz"\r\n'

    assert events(path, text) == [{"id": "a", "note": 'x, "y"\r\nz'}]


def test_the_key_is_the_text_of_its_column(path: Path) -> None:
    """The key has the characters of the file, whatever kind the column has."""
    path.write_text("id,n\n7,1\n8,2\n")

    assert [event.key for event in read_file(path, key_field="id")] == [b"7", b"8"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,x\na,1\nb\n", "line 3 has 1 fields and the first line 2"),
        ("id,x\na,1\nb,1,2\n", "line 3 has 3 fields and the first line 2"),
        ("id,id\na,1\n", "the first line names 'id' twice"),
        ('id,x\na,"1\n', "line 2: unexpected end of data"),
        ("key,x\na,1\n", "has no column 'id'"),
        ("id,x\na,1\n,2\n", "line 3: the key field 'id' is empty"),
        ("id,x\n", "is empty"),
        ("", "is empty"),
    ],
)
def test_broken_files_are_told(path: Path, text: str, says: str) -> None:
    """Each way in which a CSV file can be broken has an error that names the place."""
    with pytest.raises(InputFileError, match=says):
        events(path, text, key_field="id")


def test_another_encoding_is_told(path: Path) -> None:
    """A Latin-1 file is no UTF-8, and the hint says how to convert it."""
    path.write_bytes("id\nM\u00fcnchen\n".encode("latin-1"))

    with pytest.raises(InputFileError, match="is not UTF-8") as caught:
        list(read_file(path))

    assert "iconv" in caught.value.hint


def test_a_field_of_a_megabyte_is_read(path: Path) -> None:
    """Python's own limit of 128 KB a field does not hold here."""
    assert events(path, "t\n" + "x" * 1_000_000 + "\n") == [{"t": "x" * 1_000_000}]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(), min_size=1))
def test_numbers_as_python_writes_them_are_numbers(values: list[float]) -> None:
    """Any finite number, as Python writes it, is one here too."""
    assert infer(map(str, values)) is Kind.NUMBER
