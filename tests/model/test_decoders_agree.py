"""What the extension takes is what the careful decoder gives: value, dtype, id and refusal."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.careful import CarefulDecoder, Decoded
from model.codec import EventDecoder
from model.errors import UnsupportedModel
from model.event import encode_event
from model.signature import Feature, Kind, Signature, Task

PATHS = [("a",), ("id",), ("Ø",), ("in ner", "x"), ("in ner", "y"), ("x" * 60,), ("o", "p", "q")]
FLOATS = ["float64", "float32"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
DTYPES = {
    Kind.NUMBER: (FLOATS, FLOATS),
    Kind.INTEGER: (INTEGERS + FLOATS, FLOATS),
    Kind.BOOLEAN: (["bool", "object"], ["object"]),
    Kind.STRING: (["str", "category", "object"],) * 2,
}
HOSTILE_NUMBERS = [
    *("-0", "-0.0", "0e5", "0E-5", "1E+2", "01", "-01", "1.", ".5", "+1", "1e", "--1", "-", "00"),
    *("1e400", "-1e400", "1e-400", "5e-324", "2.4703282292062328e-324", "1.7976931348623159e308"),
    *("3.4028234663852886e38", "3.4028235677973366e38", "3.4028236e38", "1e39", "7e-46", "1e0"),
    *("9007199254740993", "9007199254740993.0", "9223372036854775807", "9223372036854775808"),
    *("-9223372036854775808", "-9223372036854775809", "18446744073709551615", "1" + "0" * 30),
    *("127", "128", "-128", "-129", "255", "256", "65535", "65536", "4294967296", "2.0", "2.5"),
    *("0.1234567890123456789", "123456789.0123456789", "0." + "0" * 1001 + "1", "NaN", "Infinity"),
]
HOSTILE_TEXTS = [
    *('""', '"\\u0000"', '"\\u0041\\n\\"\\\\\\/\\b\\f\\r\\t"', '"\\ud83d\\ude00"', '"\\ud83d"'),
    *('"\\uDE00"', '"\\u12G4"', '"\\u00', '"\\x"', '"\\', '"\\"', '"a\nb"', '"a\x00b"', '"\x7f"'),
    *('"\\uffff\\u07ff\\u0800\\u007f\\u0080"', '"\ufeff\u2028"', '"' + "é" * 40 + '"'),
    *(f'"{"x" * size}{tail}"' for size in (1015, 1020, 1023, 1024, 3000) for tail in ("", "\\n")),
]
number = st.one_of(
    st.sampled_from(HOSTILE_NUMBERS),
    st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,21})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.integers(-200, 200).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
string = st.one_of(
    st.sampled_from(HOSTILE_TEXTS),
    st.builds(json.dumps, st.text(st.characters(codec="utf-8")), ensure_ascii=st.booleans()),
)
scalar = st.one_of(number, string, st.sampled_from(["true", "false", "null", "tru", "nan", ""]))
ignored = st.recursive(
    scalar,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(string, inner), max_size=3).map(
            lambda items: "{" + ",".join(f"{name}:{value}" for name, value in items) + "}"
        )
    ),
    max_leaves=5,
) | st.integers(25, 40).map(lambda depth: "[" * depth + "]" * depth)
PLAIN = {
    Kind.NUMBER: st.floats(-1e30, 1e30).map(repr) | st.integers(-100, 100).map(str),
    Kind.INTEGER: st.integers(0, 127).map(str),
    Kind.BOOLEAN: st.sampled_from(["true", "false"]),
    Kind.STRING: st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1).map(
        lambda text: json.dumps(text, ensure_ascii=False)
    ),
}
USUAL = {Kind.NUMBER: number, Kind.INTEGER: number, Kind.BOOLEAN: scalar, Kind.STRING: string}
blanks = st.sampled_from(["", "", "", " ", "\n\t\r "])
mutations = st.lists(
    st.tuples(
        st.integers(0, 400), st.integers(0, 2), st.sampled_from(b'"\\{}[]:,0-.e \n\0\xff\xc3t')
    ),
    max_size=2,
)


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    paths = draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=5, unique=True))
    features = []
    for number, path in enumerate(paths):
        kind = Kind.STRING if path == ("id",) else draw(st.sampled_from(list(Kind)))
        nullable = draw(st.booleans())
        dtype = draw(st.sampled_from(DTYPES[kind][nullable]))
        features.append(Feature(f"f{number}", kind, nullable, dtype, path))
    return Signature(tuple(features), Task.REGRESSION)


@st.composite
def events(draw: st.DrawFn, signature: Signature) -> bytes:
    """Draw an event of this signature with some odd values, fields and bytes."""
    members: dict[str, Any] = {}
    for feature in signature.features:
        inside = members
        for step in feature.path[:-1]:
            inside = inside.setdefault(step, {})
        odd = draw(st.integers(0, 5))
        value = USUAL[feature.kind] if odd == 1 else ignored if odd == 2 else PLAIN[feature.kind]
        null = st.just("null") if feature.nullable else value
        inside[feature.path[-1]] = draw(value | null)
    members.setdefault("id", draw(PLAIN[Kind.STRING] | st.just("null")))
    extra = draw(
        st.lists(st.tuples(st.sampled_from(['"a"', '"z"', '"\\u0061"']), ignored), max_size=1)
    )

    def write(value: Any) -> str:
        if isinstance(value, str):
            return value
        pairs = [(json.dumps(name, ensure_ascii=False), write(v)) for name, v in value.items()]
        pairs = draw(st.permutations(pairs + (extra if value is members else [])))
        between = draw(blanks)
        inner = f"{between},{between}".join(f"{n}{between}:{between}{v}" for n, v in pairs)
        return f"{between}{{{between}{inner}{between}}}{between}"

    text = bytearray(write(members).encode())
    for place, how, byte in draw(mutations if draw(st.integers(0, 2)) == 0 else st.just([])):
        at = place % len(text)
        text[at : at + min(how, 1)] = [byte] if how < 2 else []
    return bytes(text)


def plain(column: npt.NDArray[Any]) -> Any:
    """Give a column in a form that compares to the last bit and type."""
    if column.dtype == object:
        return [(type(value), repr(value)) for value in column.tolist()]
    return (column.dtype, column.tobytes())


def same(decoded: Decoded, expected: Decoded) -> None:
    assert list(decoded.positions) == list(expected.positions)
    assert decoded.rejections == expected.rejections
    assert decoded.ids == expected.ids
    assert decoded.table.rows == expected.table.rows
    assert list(map(plain, decoded.table.columns)) == list(map(plain, expected.table.columns))


def agree(signature: Signature, values: Sequence[bytes | None]) -> Decoded:
    decoded = EventDecoder(signature).decode(values)
    same(decoded, CarefulDecoder(signature).decode(values))
    return decoded


def signature_of(kind: Kind, dtype: str, *, nullable: bool = False) -> Signature:
    return Signature((Feature("x", kind, nullable, dtype, ("x",)),), Task.REGRESSION)


@settings(max_examples=120)
@given(st.data())
def test_both_decoders_agree(data: st.DataObject) -> None:
    """Whatever the signature and the events, both decoders give the same rows and refusals."""
    signature = data.draw(signatures())

    agree(signature, data.draw(st.lists(events(signature), min_size=1, max_size=5)))


@settings(max_examples=60)
@given(st.data())
def test_the_extension_takes_plain_events(data: st.DataObject) -> None:
    """Events without anything unusual are not left to the slow decoder, whatever their order."""
    signature = data.draw(signatures())
    decoder = EventDecoder(signature)
    text = {f.path: data.draw(PLAIN[f.kind]) for f in signature.features}
    text.setdefault(("id",), '"é-1"')
    tops = {path[0]: "" for path in data.draw(st.permutations(list(text)))}
    for top in tops:
        inside = ", ".join(f'"{p[-1]}":{text[p]}' for p in text if p[0] == top and len(p) > 1)
        tops[top] = text.get((top,)) or (
            "{" + inside + "}" if top != "o" else f'{{"p":{{{inside}}}}}'
        )
    event = "{" + ",".join(f'"{name}": {value}' for name, value in tops.items()) + ',"z":[1,{}]}'

    columns = tuple(np.empty(2, dtype=dtype) for dtype in decoder._dtypes)
    doubtful = decoder._decoder.decode([event.encode()] * 2, columns, [None, None])

    assert doubtful == []


@settings(max_examples=150)
@given(st.lists(number, min_size=1, max_size=20))
def test_a_number_is_the_nearest_double(numbers: list[str]) -> None:
    """A number of any length is the double that Python reads, to the last bit; whole -0 is 0."""
    signature = signature_of(Kind.NUMBER, "float64")

    decoded = agree(signature, [f'{{"x":{text}}}'.encode() for text in numbers])

    read = [0.0 if numbers[at] == "-0" else float(numbers[at]) for at in decoded.positions]
    assert decoded.table.columns[0].tobytes() == np.array(read).tobytes()


@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_integers_agree_at_their_limits(dtype: str, nullable: bool) -> None:  # noqa: FBT001
    """Around the limits of each dtype both decoders take and refuse the same numbers."""
    if nullable and dtype in INTEGERS:
        dtype = "float64"  # what the signature makes of it
    powers = [2**bits for bits in (7, 8, 15, 16, 24, 31, 32, 53, 63, 64)]
    wholes = [sign * power + step for power in powers for sign in (1, -1) for step in (-1, 0, 1)]
    texts = [str(whole) + tail for whole in [*wholes, 0, 7] for tail in ("", ".0", "e0", ".5")]

    decoded = agree(
        signature_of(Kind.INTEGER, dtype, nullable=nullable),
        [f'{{"x":{text}}}'.encode() for text in [*texts, "null", "true", '"1"']],
    )

    assert 8 < decoded.table.rows < len(texts)


@pytest.mark.parametrize("kind", list(Kind))
def test_values_of_every_other_kind_agree(kind: Kind) -> None:
    """What is of another kind, missing or null is answered alike, in columns of each dtype."""
    texts = [*HOSTILE_TEXTS, *HOSTILE_NUMBERS, "true", "false", "null", "[]", "{}", "truex", "nul"]
    values = [f'{{"x":{text}}}'.encode(errors="surrogatepass") for text in texts]
    for nullable, dtypes in enumerate(DTYPES[kind]):
        for dtype in dtypes:
            agree(signature_of(kind, dtype, nullable=bool(nullable)), [*values, b"{}", b'{"y":1}'])


GOOD = '{"id":"Ø-1","x":"æ\\u00e9","z":[1.5e3,{"x":null},"\\ud83d\\ude00"],"u":true}'.encode()


@pytest.mark.parametrize(
    "values",
    [
        [GOOD[:size] for size in range(len(GOOD) + 1)],
        [
            GOOD[:at] + bytes([byte]) + GOOD[at:]
            for at in range(len(GOOD))
            for byte in b"\0\xff\xed "
        ],
        [
            b"\xef\xbb\xbf" + GOOD,
            GOOD + b"\0",
            GOOD + b" \r\n\t",
            GOOD + b",",
            GOOD * 2,
            b"\x0c" + GOOD,
        ],
        [None, b"", b" ", b"[]", b"null", b'"x"', b"{", b"{,}", b'{"x"}', b'{"x":}', b'{"x":"",}'],
        [
            GOOD.replace(b"true", b"[" * depth + b"]" * depth)
            for depth in (30, 31, 32, 33, 499, 501)
        ],
        [GOOD.replace(b'"u"', name) for name in (b'"x"', b'"\\u0078"', b'"id"', b'"z"', b'"x\\n"')],
        [GOOD.decode().encode("utf-16"), GOOD.decode().encode("latin-1", "replace")],
        [
            b'{"x":"\xc0\x80"}',
            b'{"x":"\xed\xa0\x80"}',
            b'{"x":"\xf4\x90\x80\x80"}',
            b'{"x":"a\xc3"}',
        ],
    ],
    ids=[
        "truncated",
        "spiced",
        "framed",
        "no object",
        "deep",
        "named twice",
        "encoded",
        "not UTF-8",
    ],
)
def test_broken_events_agree(values: list[bytes | None]) -> None:
    """Broken bytes come to the same, alone and after a good event that the decoder remembers."""
    signature = signature_of(Kind.STRING, "str", nullable=True)

    agree(signature, values)
    agree(signature, [GOOD, *values, GOOD])


@pytest.mark.parametrize("levels", [31, 32, 33, 200])
def test_a_feature_may_lie_deep(levels: int) -> None:
    """However deep the signature says that a feature lies, it is found there."""
    path = tuple(f"p{level}" for level in range(levels))
    signature = Signature((Feature("x", Kind.NUMBER, False, "float64", path),), Task.REGRESSION)
    event = "".join(f'{{"{step}":' for step in path) + "1.5" + "}" * levels

    decoded = agree(signature, [event.encode()])

    assert decoded.table.columns[0].tolist() == [1.5]


def test_a_text_is_what_its_event_says_after_many_others() -> None:
    """Texts that repeat are kept; they are never taken for one another."""
    texts = [f"{'é' * (at % 40)}{at % 3000}" for at in range(6000)]
    values = [json.dumps({"x": text}, ensure_ascii=False).encode() for text in texts]

    decoded = EventDecoder(signature_of(Kind.STRING, "str")).decode(values)

    assert decoded.table.columns[0].tolist() == texts


@pytest.mark.parametrize(
    ("kind", "dtype", "nullable"),
    [
        (Kind.NUMBER, "int8", False),
        (Kind.NUMBER, "object", False),
        (Kind.INTEGER, "int8", True),
        (Kind.INTEGER, "bool", False),
        (Kind.BOOLEAN, "bool", True),
        (Kind.BOOLEAN, "float64", False),
        (Kind.STRING, "float64", False),
        (Kind.NUMBER, "float16", False),
        (Kind.NUMBER, "nonsense", False),
    ],
)
def test_a_column_that_does_not_hold_its_kind_is_refused(
    kind: Kind,
    dtype: str,
    nullable: bool,  # noqa: FBT001
) -> None:
    """A signature that was forged is an error when the decoder is made, not at an event."""
    with pytest.raises(UnsupportedModel, match="'x'"):
        EventDecoder(signature_of(kind, dtype, nullable=nullable))


def test_missing_values_are_nan_or_none() -> None:
    """Null is NaN in numbers and text, None where the estimator learned None, and no id."""
    features = (
        Feature("number", Kind.NUMBER, True, "float32", ("number",)),
        Feature("whole", Kind.INTEGER, True, "float64", ("whole",)),
        Feature("text", Kind.STRING, True, "str", ("text",)),
        Feature("none", Kind.STRING, True, "object", ("none",)),
        Feature("flag", Kind.BOOLEAN, True, "object", ("flag",)),
    )
    names = [*(f.name for f in features), "id"]

    decoded = agree(
        Signature(features, Task.REGRESSION), [json.dumps(dict.fromkeys(names)).encode()]
    )

    row = [column[0] for column in decoded.table.columns]
    assert [isinstance(value, float | np.floating) and math.isnan(value) for value in row[:3]] == [
        True
    ] * 3
    assert row[3:] == [None, None]
    assert decoded.ids == [None]


def test_wide_events_are_decoded_too() -> None:
    """More fields than most events have, in an order that changes from event to event."""
    names = [f"feature_{number:03}" for number in range(300)]
    features = tuple(
        Feature(name, Kind.NUMBER, nullable=False, dtype="float64", path=(name,)) for name in names
    )
    signature = Signature(features, Task.REGRESSION)
    events: list[bytes | None] = [
        encode_event({"id": "e", **{name: names.index(name) + row for name in order}})
        for row, order in enumerate((names, names, names[::-1]))
    ]

    decoded = EventDecoder(signature).decode(events)

    assert not decoded.rejections
    for number, column in enumerate(decoded.table.columns):
        assert column.tolist() == [number, number + 1, number + 2]
