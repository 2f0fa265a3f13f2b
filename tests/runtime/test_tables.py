"""Whole files as tables: the kinds of their columns, and what is said of a broken one."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.errors import InputFileError, WrongUsage
from runtime.tables import read_table


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def values(frame: pd.DataFrame, column: str) -> list[Any]:
    return [None if pd.isna(value) else value for value in frame[column].tolist()]


@pytest.mark.parametrize(
    ("texts", "dtype", "expected"),
    [
        (["1", "-2", "+3"], "int64", [1, -2, 3]),
        (["1", "", "3"], "float64", [1.0, None, 3.0]),
        (["1.5", "NA", "1e3", ".5", "2."], "float64", [1.5, None, 1000.0, 0.5, 2.0]),
        (["99999999999999999999", "1"], "float64", [1e20, 1.0]),
        (["true", "False"], "bool", [True, False]),
        (["TRUE", "", "false"], "object", [True, None, False]),
        (["01234", "99999"], "str", ["01234", "99999"]),
        (["UA", "NA", ""], "str", ["UA", "NA", None]),
        (["1", "x"], "str", ["1", "x"]),
        (["nan", ""], "float64", [None, None]),
        (["2013-12-01", "2013-12-02"], "str", ["2013-12-01", "2013-12-02"]),
    ],
)
def test_a_csv_column_has_one_kind(
    tmp_path: Path, texts: list[str], dtype: str, expected: list[Any]
) -> None:
    """Numbers, booleans and text are told apart by all of a column's values; empty is missing."""
    rows = "".join(f'"{text}",1\n' for text in texts)

    frame = read_table(written(tmp_path, "t.csv", f"x,y\n{rows}"))

    assert frame["x"].dtype == dtype
    assert values(frame, "x") == expected


def test_csv_may_have_a_byte_order_mark_blank_lines_and_line_breaks_in_fields(
    tmp_path: Path,
) -> None:
    """What spreadsheets write is read."""
    content = '\ufeffname,x\r\n"a\nb",1\r\n\r\n"c, ""d""",2\r\n'

    frame = read_table(written(tmp_path, "t.csv", content))

    assert frame.to_dict("list") == {"name": ["a\nb", 'c, "d"'], "x": [1, 2]}


@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False),
            st.integers(-(10**17), 10**17),
            st.booleans(),
        ),
        min_size=1,
        max_size=20,
    )
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_csv_and_parquet_and_ndjson_give_the_same_table(
    tmp_path: Path, rows: list[tuple[float, int, bool]]
) -> None:
    """A table reads the same from each format that it was written in."""
    frame = pd.DataFrame(rows, columns=["x", "n", "b"])
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    lines = "".join(json.dumps(row) + "\n" for row in frame.to_dict("records"))
    (tmp_path / "t.ndjson").write_text(lines)

    for name in ("t.csv", "t.parquet", "t.ndjson"):
        pd.testing.assert_frame_equal(read_table(tmp_path / name), frame, check_exact=True)


def test_nested_objects_become_columns_by_their_paths(tmp_path: Path) -> None:
    """A nested event is flattened to dotted names; null and absent are missing."""
    content = '{"a": {"b": {"c": 1}}, "d": "x"}\n\n{"a": {"b": {"c": null}}}\n'

    frame = read_table(written(tmp_path, "t.ndjson", content))

    assert list(frame.columns) == ["a.b.c", "d"]
    assert values(frame, "a.b.c") == [1.0, None]
    assert values(frame, "d") == ["x", None]


def test_an_index_with_a_name_is_a_column(tmp_path: Path) -> None:
    """What pandas wrote beside the columns of a Parquet file is not lost."""
    frame = pd.DataFrame({"x": [1, 2]}, index=pd.Index(["a", "b"], name="id"))
    frame.to_parquet(tmp_path / "t.parquet")

    assert read_table(tmp_path / "t.parquet").to_dict("list") == {"id": ["a", "b"], "x": [1, 2]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "", "is empty"),
        ("t.csv", "a,b\n", "is empty"),
        ("t.csv", "a,b\n1,2\n\n3\n", "line 4 has 1 fields and the first line 2"),
        ("t.csv", 'a,b\n"1\n1",2\n3,4,5\n', "line 4 has 3 fields"),
        ("t.csv", 'a,b\n1,"2\n', "line 2 is not CSV"),
        ("t.csv", 'a,b\n1,"2"3\n', "line 2 is not CSV"),
        ("t.csv", "a,a\n1,2\n", "names 'a' twice"),
        ("t.csv", b"a,b\n1,\xff\n", "not UTF-8"),
        ("t.ndjson", "", "is empty"),
        ("t.ndjson", "\n\n", "is empty"),
        ("t.ndjson", '{"a":1}\n\n{"a":\n', "line 3 is not JSON"),
        ("t.jsonl", '{"a":1}\n[1]\n', "line 2 is not a JSON object"),
        ("t.ndjson", '{"a":1}\n{"a":NaN}\n', "line 2 is not JSON"),
        ("t.parquet", "PAR1", "is not Parquet"),
    ],
)
def test_a_broken_file_is_an_error_that_says_where(
    tmp_path: Path, name: str, content: bytes | str, message: str
) -> None:
    """A file that cannot be read whole is refused, with its line where it has lines."""
    path = written(tmp_path, name, content)

    with pytest.raises(InputFileError, match=message) as caught:
        read_table(path)

    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A missing file, a directory and an unknown suffix are told apart."""
    with pytest.raises(InputFileError, match="does not exist"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(InputFileError, match="is a directory"):
        read_table(tmp_path / "d.csv")
    with pytest.raises(WrongUsage, match="suffix"):
        read_table(written(tmp_path, "t.xlsx", "x"))
