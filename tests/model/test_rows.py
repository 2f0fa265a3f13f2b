"""Rows of a database become the table that events with the same values become."""

import json
import math
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.codec import EventDecoder
from model.rejection import Code
from model.rows import LONGEST_ID, DecodedRows, decode_rows
from model.signature import Feature, Kind, Signature, Task

DTYPES = {
    Kind.NUMBER: ("float64", "float32"),
    Kind.INTEGER: ("int64", "int8", "uint64", "float64", "float32"),
    Kind.BOOLEAN: ("bool", "object"),
    Kind.STRING: ("str", "category", "object"),
}
COLUMNS = [
    (kind, dtype, nullable)
    for kind, dtypes in DTYPES.items()
    for dtype in dtypes
    for nullable in (False, True)
    if not (nullable and (dtype == "bool" or dtype.startswith(("int", "uint"))))
]


def signature_of(kind: Kind, dtype: str, *, nullable: bool = False) -> Signature:
    return Signature((Feature("x", kind, nullable, dtype, ("x",)),), Task.REGRESSION)


def decode(
    kind: Kind, values: list[Any], *, dtype: str | None = None, nullable: bool = False
) -> DecodedRows:
    ids = [f"row {number}" for number in range(len(values))]
    return decode_rows(
        signature_of(kind, dtype or DTYPES[kind][0], nullable=nullable), ids, [values]
    )


def codes(decoded: DecodedRows) -> dict[int, Code]:
    return {row: why.code for row, why in decoded.rejections.items()}


EVERYTHING = Signature(
    tuple(
        Feature(f"f{number}", kind, nullable, dtype, (f"f{number}",))
        for number, (kind, dtype, nullable) in enumerate(COLUMNS)
    ),
    Task.REGRESSION,
)
DECODER = EventDecoder(EVERYTHING)

numbers = st.one_of(
    st.integers(-(10**25), 10**25),
    st.integers(-300, 300),
    st.sampled_from([2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([3.4028235e38, 3.5e38, -3.5e38, -0.0, 1e-320]),
    st.integers(-200, 200).map(float),
)
text = st.text(st.characters(codec="utf-8"), max_size=6)
FITTING: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.NUMBER: st.integers(-1000, 1000) | st.floats(-1e30, 1e30),
    Kind.INTEGER: st.integers(0, 127) | st.integers(0, 127).map(float),
    Kind.BOOLEAN: st.booleans(),
    Kind.STRING: text,
}
# What SQLite has for a boolean is a number; an event has true and false alone.
ODD: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.NUMBER: st.one_of(st.none(), st.booleans(), numbers, text),
    Kind.INTEGER: st.one_of(st.none(), st.booleans(), numbers, text),
    Kind.BOOLEAN: st.one_of(st.none(), numbers.filter(lambda n: n not in {0, 1}), text),
    Kind.STRING: st.one_of(st.none(), st.booleans(), numbers, text),
}


@st.composite
def rows(draw: st.DrawFn) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Rows that mostly fit, with a few values that do not, and ids that mostly do."""
    count = draw(st.integers(1, 5))
    made = []
    for _ in range(count):
        odd = draw(st.sets(st.integers(0, len(COLUMNS) - 1), max_size=2))
        made.append(
            tuple(
                draw(ODD[kind] if at in odd else FITTING[kind])
                for at, (kind, _, _) in enumerate(COLUMNS)
            )
        )
    ids = st.text(st.characters(codec="utf-8"), max_size=5)
    return draw(st.lists(ids, min_size=count, max_size=count, unique=True)), made


@given(rows())
def test_a_row_means_what_its_event_means(
    given_rows: tuple[list[str], list[tuple[Any, ...]]],
) -> None:
    """For values that JSON can express: accepted as the event is, with its code, to its table."""
    ids, values = given_rows
    events: list[bytes | None] = [
        json.dumps(
            {"id": row_id, **dict(zip(EVERYTHING.names, row, strict=True))}, ensure_ascii=False
        ).encode()
        for row_id, row in zip(ids, values, strict=True)
    ]
    columns = list(zip(*values, strict=True))

    by_row, by_event = decode_rows(EVERYTHING, ids, columns), DECODER.decode(events)

    assert codes(by_row) == {row: why.code for row, why in by_event.rejections.items()}
    assert by_row.positions.tolist() == list(by_event.positions)
    assert [by_row.ids[row] for row in by_row.positions] == by_event.ids
    for ours, theirs in zip(by_row.table.columns, by_event.table.columns, strict=True):
        assert ours.dtype == theirs.dtype
        assert list(map(repr, ours.tolist())) == list(map(repr, theirs.tolist()))


@pytest.mark.parametrize(("kind", "dtype", "nullable"), COLUMNS)
def test_null_is_a_missing_value_where_the_model_learned_them(
    kind: Kind,
    dtype: str,
    nullable: bool,  # noqa: FBT001
) -> None:
    """Given NULL, then it is missing, or its row alone is refused."""
    sound: Any = {Kind.BOOLEAN: True, Kind.STRING: "a"}.get(kind, 1)

    decoded = decode(kind, [sound, None, sound], dtype=dtype, nullable=nullable)

    assert codes(decoded) == ({} if nullable else {1: Code.NULL_NOT_ALLOWED})
    if nullable:
        missing = decoded.table.columns[0][1]
        assert missing is None if dtype == "object" else math.isnan(missing)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_nan_is_no_number(dtype: str) -> None:
    """NaN, of floats and of decimals, is a missing value."""
    values = [math.nan, Decimal("NaN"), Decimal("sNaN"), 1.0]

    refused = decode(Kind.NUMBER, values, dtype=dtype)
    taken = decode(Kind.NUMBER, values, dtype=dtype, nullable=True)

    assert codes(refused) == dict.fromkeys(range(3), Code.NULL_NOT_ALLOWED)
    assert np.isnan(taken.table.columns[0]).tolist() == [True, True, True, False]


@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.INTEGER])
def test_what_no_column_holds_is_out_of_range(
    kind: Kind,
    nullable: bool,  # noqa: FBT001
) -> None:
    """Infinities and numbers of 400 digits are refused, whatever type they come in."""
    dtype = "float64" if nullable else DTYPES[kind][0]
    endless = [math.inf, -math.inf, Decimal("Infinity"), 10**400, Decimal(10) ** 400]

    decoded = decode(kind, [1, *endless, 2], dtype=dtype, nullable=nullable)

    assert codes(decoded) == dict.fromkeys(range(1, 6), Code.OUT_OF_RANGE)
    assert decoded.table.columns[0].tolist() == [1, 2]


@pytest.mark.parametrize("dtype", ["int64", "float64"])
def test_an_integer_beyond_64_bits_is_refused_alone(dtype: str) -> None:
    """Given whole numbers only, then those outside of int64 are refused and the others exact."""
    values = [2**63, 2**62, 2**64, -(2**63) - 1025, 5]

    decoded = decode(Kind.INTEGER, values, dtype=dtype, nullable=dtype == "float64")

    assert codes(decoded) == dict.fromkeys((0, 2, 3), Code.OUT_OF_RANGE)
    assert decoded.table.columns[0].tolist() == [2**62, 5]


def test_decimals_are_numbers() -> None:
    """A NUMERIC is the nearest float; whole, it is an integer of any length."""
    whole = [Decimal(2**62 + 1), Decimal("3.00"), Decimal("1E+3"), Decimal("0.5")]

    numbers_, integers = decode(Kind.NUMBER, [Decimal("0.1"), 2]), decode(Kind.INTEGER, whole)

    assert numbers_.table.columns[0].tolist() == [0.1, 2.0]
    assert integers.table.columns[0].tolist() == [2**62 + 1, 3, 1000]
    assert codes(integers) == {3: Code.WRONG_TYPE}


def test_booleans_of_databases_without_any_are_0_and_1() -> None:
    """0 and 1 are booleans where those are wanted; 2, text and fractions are none."""
    decoded = decode(Kind.BOOLEAN, [True, 0, 1, 2, "t", 1.0])

    assert decoded.table.columns[0].tolist() == [True, False, True]
    assert codes(decoded) == dict.fromkeys((3, 4, 5), Code.WRONG_TYPE)


@pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.INTEGER, Kind.STRING])
def test_a_value_of_another_kind_is_refused_and_not_shown(kind: Kind) -> None:
    """Booleans and bytes are no numbers and no text, and the message holds nothing of them."""
    decoded = decode(kind, [True, b"secret", [1]])

    assert codes(decoded) == dict.fromkeys(range(3), Code.WRONG_TYPE)
    assert "secret" not in str(decoded.rejections)


def test_a_uuid_is_text() -> None:
    """A column of UUIDs is what the same text would be, as a feature and as an id."""
    uuid = UUID("12345678123456781234567812345678")

    decoded = decode_rows(signature_of(Kind.STRING, "str"), [uuid], [[uuid]])

    assert decoded.ids == [str(uuid)]
    assert decoded.table.columns[0].tolist() == [str(uuid)]


def test_text_without_a_form_in_utf_8_is_refused() -> None:
    """Half a surrogate pair is no text; NUL is a character like any other."""
    decoded = decode(Kind.STRING, ["a", "\ud800", "b\0c", "ø"])

    assert codes(decoded) == {1: Code.NOT_UTF8}
    assert decoded.table.columns[0].tolist() == ["a", "b\0c", "ø"]


@pytest.mark.parametrize(
    ("row_id", "text"),
    [
        ("UA-1", "UA-1"),
        (7, "7"),
        (Decimal("0.0000001"), "0.0000001"),
        (Decimal("1E+3"), "1000"),
        (10**30, str(10**30)),
        ("é" * (LONGEST_ID // 2), "é" * (LONGEST_ID // 2)),
        (None, None),
        ("", None),
        ("a\0b", None),
        ("\udcff", None),
        ("x" * (LONGEST_ID + 1), None),
        ("é" * (LONGEST_ID // 2 + 1), None),
        (True, None),
        (1.5, None),
        (b"id", None),
        (Decimal("NaN"), None),
        (Decimal("Infinity"), None),
    ],
)
def test_an_id_is_text_or_a_number(row_id: object, text: str | None) -> None:
    """What an index can hold for certain is an id; anything else is refused for its row alone."""
    decoded = decode_rows(signature_of(Kind.NUMBER, "float64"), ["a", row_id, "z"], [[1, 2, 3]])

    assert decoded.ids == ["a", text, "z"]
    assert codes(decoded) == ({} if text else {1: Code.INVALID_ID})
    alone = decode_rows(signature_of(Kind.NUMBER, "float64"), [row_id], [[1]])
    assert codes(alone) == ({} if text else {0: Code.INVALID_ID})


@pytest.mark.parametrize(
    ("ids", "twins"),
    [
        (["a", "a", "b", "c", "c", "c"], [0, 1, 3, 4, 5]),
        (["a", "A", "a"], [0, 2]),  # as a collation that knows no case sorts them
        ([5, "5", 6], [0, 1]),  # a column of SQLite holds what it is given
        ([Decimal("1.0"), Decimal("1.00"), Decimal(2)], [0, 1]),
        ([1, 1], [0, 1]),
    ],
)
def test_rows_that_share_an_id_are_refused(ids: list[Any], twins: list[int]) -> None:
    """Given one id several times, then none of its rows is scored: which counts is not known."""
    decoded = decode_rows(signature_of(Kind.NUMBER, "float64"), ids, [[1.0] * len(ids)])

    assert codes(decoded) == dict.fromkeys(twins, Code.DUPLICATE_ID)


def test_no_rows_are_an_empty_table() -> None:
    """Given no rows, then there is a table without any."""
    decoded = decode_rows(signature_of(Kind.STRING, "str"), [], [[]])

    assert (decoded.table.rows, decoded.ids, decoded.rejections) == (0, [], {})
