"""Tables: columns as the estimator was fitted on, from values and from DataFrames."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from model.errors import UnsupportedModel
from model.rejection import Code
from model.signature import Feature, Kind, Signature, Task
from model.table import (
    Table,
    array_from_table,
    build_column,
    frame_from_table,
    table_from_frame,
    unfit_numbers,
)


def feature(kind: str, dtype: str, *, nullable: bool = False, name: str = "x") -> Feature:
    return Feature(name, Kind(kind), nullable, dtype, (name,))


def signature(*features: Feature) -> Signature:
    return Signature(features, Task.REGRESSION)


@pytest.mark.parametrize(
    ("kind", "dtype", "values", "expected"),
    [
        ("number", "float64", [1.5, None], [1.5, math.nan]),
        ("number", "float32", [0.1, None], [float(np.float32(0.1)), math.nan]),
        ("integer", "int64", [2**53 + 1, 2.0, -(2**63)], [2**53 + 1, 2, -(2**63)]),
        ("integer", "uint64", [2**64 - 1, 2.0], [2**64 - 1, 2]),
        ("integer", "int8", [-128, 127.0], [-128, 127]),
        ("integer", "float64", [1, 2.0, None], [1.0, 2.0, math.nan]),
        ("boolean", "bool", [True, False], [True, False]),
        ("boolean", "object", [True, None], [True, None]),
        ("string", "str", ["a", None], ["a", math.nan]),
        ("string", "object", ["a", None], ["a", None]),
        ("string", "category", ["a", None], ["a", math.nan]),
    ],
)
def test_a_column_has_its_dtype_and_its_nulls(
    kind: str, dtype: str, values: list[Any], expected: list[Any]
) -> None:
    """Values become an array of the feature's dtype, with None in its form of a missing value."""
    chosen = feature(kind, dtype, nullable=None in values)

    column = build_column(chosen, values)

    assert column.dtype == (object if dtype in {"str", "category"} else np.dtype(dtype))
    assert [type(value) for value in column.tolist()] == [type(value) for value in expected]
    np.testing.assert_equal(column.tolist(), expected)
    assert build_column(chosen, []).dtype == column.dtype


@pytest.mark.parametrize(
    ("kind", "dtype", "values", "unfit"),
    [
        ("integer", "int64", [2**63 - 1, -(2**63), 0.0, None, -0.0], {}),
        ("integer", "int64", [2**63, 0.5, 9.3e18, -(2**63) - 1], {0, 1, 2, 3}),
        ("integer", "float64", [2**63 - 1, None, 1e18], {}),
        ("integer", "float32", [2**63, 0.25], {0, 1}),
        ("integer", "uint8", [255, 0, 256, -1, 255.0, 256.0], {2, 3, 5}),
        ("integer", "uint64", [2**64 - 1, 2**64], {1}),
        ("number", "float64", [1e308, -1e308, 0.5, None], {}),
        ("number", "float32", [3.4e38, 3.5e38, None, -3.5e38], {1, 3}),
        ("boolean", "bool", [True], {}),
        ("string", "str", ["a", None], {}),
    ],
)
def test_numbers_that_do_not_fit_are_told(
    kind: str, dtype: str, values: list[Any], unfit: set[int]
) -> None:
    """A number that the column would change or cannot hold is told with its row."""
    assert set(unfit_numbers(feature(kind, dtype), values)) == set(unfit)


def test_a_number_that_does_not_fit_is_told_with_its_cause() -> None:
    """A fraction is a wrong type, a number too large for the dtype is out of its range."""
    assert unfit_numbers(feature("integer", "int8"), [0.5, 128]) == {
        0: (Code.WRONG_TYPE, "must be a whole number and has a fraction"),
        1: (Code.OUT_OF_RANGE, "does not fit int8"),
    }


def test_rows_are_taken_by_slice_and_by_position() -> None:
    """`take` gives the chosen rows of every column, in the order asked for."""
    table = Table((np.arange(5), np.array(list("abcde"), dtype=object)), 5)

    some, part, none = table.take([3, 1]), table.take(slice(1, 3)), table.take(slice(2, 2))

    assert ([c.tolist() for c in some.columns], some.rows) == ([[3, 1], ["d", "b"]], 2)
    assert ([c.tolist() for c in part.columns], part.rows) == ([[1, 2], ["b", "c"]], 2)
    assert none.rows == 0


FRAME = pd.DataFrame(
    {
        "number": [1.5, math.nan],
        "integer": [1, 2],
        "boolean": [True, False],
        "text": pd.Series(["a", None], dtype="str"),
        "none": pd.Series(["a", None], dtype=object),
        "flag": pd.Series([True, None], dtype=object),
        "category": pd.Categorical(["a", None], categories=["a", "z"]),
    }
)
FRAME_SIGNATURE = signature(
    feature("number", "float64", nullable=True, name="number"),
    feature("integer", "int64", name="integer"),
    feature("boolean", "bool", name="boolean"),
    feature("string", "str", nullable=True, name="text"),
    feature("string", "object", nullable=True, name="none"),
    feature("boolean", "object", nullable=True, name="flag"),
    feature("string", "category", nullable=True, name="category"),
)


def test_a_frame_comes_back_as_the_estimator_knows_it() -> None:
    """Through a table and back, a frame keeps its dtypes and its forms of missing values."""
    frame = frame_from_table(FRAME_SIGNATURE, table_from_frame(FRAME_SIGNATURE, FRAME))

    assert [str(dtype) for dtype in frame.dtypes] == [str(dtype) for dtype in FRAME.dtypes]
    assert frame["none"].tolist() == ["a", None]
    assert frame["flag"].tolist() == [True, None]
    assert frame["text"].isna().tolist() == [False, True]
    np.testing.assert_equal(frame["number"].to_numpy(), FRAME["number"].to_numpy())
    np.testing.assert_equal(
        frame["category"].astype(object).tolist(), FRAME["category"].astype(object).tolist()
    )


def test_a_frame_of_one_row_is_like_a_row_of_many() -> None:
    """A row alone has the dtypes that it has among others, also where all it has is missing."""
    table = table_from_frame(FRAME_SIGNATURE, FRAME)

    alone = frame_from_table(FRAME_SIGNATURE, table.take([1]))

    assert alone["none"].tolist() == [None]
    assert alone["flag"].tolist() == [None]
    assert alone["category"].dtype == "category"
    assert alone["none"].dtype == object


def test_a_frame_is_not_the_table_itself() -> None:
    """An estimator that works in its input does not touch the table."""
    chosen = signature(feature("number", "float64"))
    table = Table((np.array([1.0, 2.0]),), 2)

    frame, array = frame_from_table(chosen, table), array_from_table(table)
    frame.iloc[0, 0] = 9.0
    array[0, 0] = 9.0

    assert table.columns[0].tolist() == [1.0, 2.0]


def test_an_array_has_the_columns_in_order() -> None:
    """The 2-D array for an estimator without names has one column per feature, in order."""
    table = Table((np.array([1, 2]), np.array([0.5, 1.5])), 2)

    assert array_from_table(table).tolist() == [[1.0, 0.5], [2.0, 1.5]]


def test_a_frame_may_have_more_columns_and_names_that_are_numbers() -> None:
    """Other columns are ignored, and a column is known by the text of its name."""
    chosen = signature(feature("number", "float64", name="1"), feature("integer", "int8", name="0"))

    table = table_from_frame(chosen, pd.DataFrame({0: [1, 2], 1: [0.5, 1], "x": ["", ""]}))

    assert [column.tolist() for column in table.columns] == [[0.5, 1.0], [1, 2]]


def test_numpy_and_nullable_columns_are_taken() -> None:
    """The scalars of numpy and pandas' nullable dtypes hold the same values."""
    chosen = signature(feature("integer", "float64", nullable=True))
    scalars = pd.Series([np.int8(1), np.float32(2), None], dtype=object)

    for series in (scalars, pd.Series([1, 2, None], dtype="Int64"), pd.Series([1, 2.0, np.nan])):
        column = table_from_frame(chosen, pd.DataFrame({"x": series})).columns[0]
        np.testing.assert_equal(column.tolist(), [1.0, 2.0, math.nan])


@pytest.mark.parametrize(
    ("chosen", "values", "word"),
    [
        (feature("number", "float64"), ["1"], "no number"),
        (feature("number", "float64"), [True], "no number"),
        (feature("number", "float64"), [math.inf], "no number"),
        (feature("number", "float64"), [10**400], "no number"),
        (feature("number", "float64"), [1 + 2j], "no number"),
        (feature("number", "float64"), [pd.Timestamp(0)], "no number"),
        (feature("number", "float64"), [None], "missing values"),
        (feature("number", "float32"), [1e300], "float32"),
        (feature("integer", "int64"), [0.5], "whole number"),
        (feature("integer", "int64"), [math.inf], "no integer"),
        (feature("integer", "int64"), [2**70], "int64"),
        (feature("integer", "uint8"), [300.0], "uint8"),
        (feature("boolean", "bool"), [1], "no boolean"),
        (feature("string", "str"), [1], "no string"),
        (feature("string", "str"), [b"a"], "no string"),
        (feature("string", "str"), [math.nan], "missing values"),
        (feature("string", "str", name="y"), ["a"], "'y'"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused(
    chosen: Feature, values: list[Any], word: str
) -> None:
    """A column that is missing, null or of another kind is an error that names it."""
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object)})

    with pytest.raises(UnsupportedModel, match=word) as caught:
        table_from_frame(signature(chosen), frame)

    assert f"'{chosen.name}'" in str(caught.value)
    assert caught.value.hint


def test_a_column_that_is_there_twice_is_refused() -> None:
    """Which of two columns with one name is meant, nobody knows."""
    frame = pd.DataFrame([[1.0, 2.0]], columns=["x", "x"])

    with pytest.raises(UnsupportedModel, match="'x'"):
        table_from_frame(signature(feature("number", "float64")), frame)
