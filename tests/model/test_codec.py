"""Events to tables: each bad event is rejected with its cause, and touches no other."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.codec import EventDecoder
from model.errors import SettingsError
from model.event import encode_event
from model.rejection import Code, Stage
from model.signature import Feature, Kind, Signature, Task

DTYPES = {"number": "float64", "integer": "int64", "boolean": "bool", "string": "str"}
DECODE, VALIDATE = Stage.DECODE, Stage.VALIDATE


def feature(
    name: str,
    kind: str,
    *,
    nullable: bool = False,
    dtype: str | None = None,
    path: tuple[str, ...] | None = None,
) -> Feature:
    return Feature(name, Kind(kind), nullable, dtype or DTYPES[kind], path or (name,))


SIGNATURE = Signature(
    (
        feature("delay", "number"),
        feature("distance", "integer"),
        feature("holiday", "boolean"),
        feature("carrier", "string"),
        feature("wind", "number", nullable=True),
        feature("seats", "integer", nullable=True, dtype="float64"),
        feature("late", "boolean", nullable=True, dtype="object"),
        feature("gate", "string", nullable=True),
        feature("pilot", "string", nullable=True, dtype="object"),
        feature("dest", "string", path=("arrival", "airport", "code")),
        feature("rain", "number", path=("arrival", "rain")),
        feature("small", "number", dtype="float32"),
        feature("byte", "integer", dtype="int8"),
    ),
    Task.REGRESSION,
)
FIELDS: dict[str, str] = {  # a good event: the JSON text of each field
    "id": '"UA-1545"',
    "delay": "2.5",
    "distance": "1400",
    "holiday": "false",
    "carrier": '"UA"',
    "wind": "12.7",
    "seats": "180",
    "late": "true",
    "gate": '"C3"',
    "pilot": '"Ann"',
    "arrival": '{"airport":{"code":"IAH"},"rain":0.25}',
    "small": "0.5",
    "byte": "7",
}
DECODER = EventDecoder(SIGNATURE)


def event(**texts: str | None) -> bytes:
    """Give the good event with other JSON texts for some fields; None leaves a field out."""
    fields = {**FIELDS, **texts}
    members = [f"{json.dumps(k)}:{v}" for k, v in fields.items() if v is not None]
    return ("{" + ",".join(members) + "}").encode()


GOOD = event()
ARRIVAL = FIELDS["arrival"]


def more(members: str) -> bytes:
    """Give the good event with something behind its last field."""
    return GOOD[:-1] + b"," + members.encode() + b"}"


def nested(depth: int) -> bytes:
    """Give the good event with an ignored field, so that all is `depth` levels deep."""
    return more('"x":' + "[" * (depth - 1) + "]" * (depth - 1))


# name, event, stage, code, and a word that the message must hold
BAD: list[tuple[str, bytes | None, Stage, Code, str]] = [
    ("tombstone", None, DECODE, Code.TOMBSTONE, "tombstone"),
    ("empty value", b"", DECODE, Code.EMPTY_VALUE, "empty"),
    # JSON, facts 20
    ("blank", b" \n", DECODE, Code.NOT_JSON, "empty"),
    ("NaN", event(delay="NaN"), DECODE, Code.NOT_JSON, "byte"),
    ("Infinity", event(delay="Infinity"), DECODE, Code.NOT_JSON, "byte"),
    ("-Infinity", event(delay="-Infinity"), DECODE, Code.NOT_JSON, "byte"),
    ("ignored NaN", more('"x":NaN'), DECODE, Code.NOT_JSON, "byte"),
    ("1e400", event(delay="1e400"), VALIDATE, Code.OUT_OF_RANGE, "delay"),
    ("-1e400", event(delay="-1e400"), VALIDATE, Code.OUT_OF_RANGE, "delay"),
    ("1e400 nested", event(arrival='{"airport":{"code":"I"},"rain":1e400}'), VALIDATE,
     Code.OUT_OF_RANGE, "arrival"),
    ("1e400 integer", event(distance="1e400"), VALIDATE, Code.OUT_OF_RANGE, "distance"),
    ("400 digits", event(delay="9" * 400), VALIDATE, Code.OUT_OF_RANGE, "delay"),
    ("400 digits integer", event(distance="9" * 400), VALIDATE, Code.OUT_OF_RANGE, "distance"),
    ("5000 digits", event(delay="9" * 5000), VALIDATE, Code.OUT_OF_RANGE, "delay"),
    ("5000 digits integer", event(distance="-" + "9" * 5000), VALIDATE, Code.OUT_OF_RANGE,
     "distance"),
    ("1e400 ignored, text", event(x="1e400", delay='"late"'), VALIDATE, Code.WRONG_TYPE, "delay"),
    ("1e400 ignored, missing", event(x="1e400", delay=None), VALIDATE, Code.MISSING_FEATURE,
     "delay"),
    ("byte order mark", b"\xef\xbb\xbf" + GOOD, DECODE, Code.NOT_JSON, "byte order mark"),
    ("UTF-16", GOOD.decode().encode("utf-16"), DECODE, Code.NOT_UTF8, "UTF-8"),
    ("UTF-16-LE", GOOD.decode().encode("utf-16-le"), DECODE, Code.NOT_JSON, "byte"),
    ("UTF-32", GOOD.decode().encode("utf-32"), DECODE, Code.NOT_UTF8, "UTF-8"),
    ("Latin-1", event(carrier='"é"').decode().encode("latin-1"), DECODE, Code.NOT_UTF8, "UTF-8"),
    ("Latin-1 ignored", more('"x":"é"').decode().encode("latin-1"), DECODE, Code.NOT_UTF8, "byte"),
    ("Latin-1 ignored name", more('"é":1').decode().encode("latin-1"), DECODE, Code.NOT_UTF8,
     "byte"),
    ("encoded surrogate", more('"x":"?"').replace(b"?", b"\xed\xa0\x80"), DECODE, Code.NOT_UTF8,
     "byte"),
    ("trailing text", GOOD + b"x", DECODE, Code.NOT_JSON, "byte"),
    ("two events", GOOD + GOOD, DECODE, Code.NOT_JSON, "byte"),
    ("cut off", GOOD[:-9], DECODE, Code.NOT_JSON, "end of data"),
    ("comment", b"/* so */" + GOOD, DECODE, Code.NOT_JSON, "byte"),
    ("comment inside", event(delay="1 // so\n"), DECODE, Code.NOT_JSON, "byte"),
    ("trailing comma", GOOD[:-1] + b",}", DECODE, Code.NOT_JSON, "byte"),
    ("single quotes", GOOD.replace(b'"', b"'"), DECODE, Code.NOT_JSON, "byte"),
    ("leading zero", event(delay="012"), DECODE, Code.NOT_JSON, "byte"),
    ("lone surrogate", event(carrier=r'"\ud800"'), DECODE, Code.NOT_JSON, "surrogate"),
    ("lone surrogate ignored", more(r'"x":"\udc00"'), DECODE, Code.NOT_JSON, "surrogate"),
    ("lone surrogate name", more(r'"\ud800":1'), DECODE, Code.NOT_JSON, "surrogate"),
    ("control character", event(carrier='"a\nb"'), DECODE, Code.NOT_JSON, "control"),
    ("control character ignored", more('"x":"a\0b"'), DECODE, Code.NOT_JSON, "control"),
    ("binary", bytes(range(128)), DECODE, Code.NOT_JSON, "byte"),
    ("random bytes", bytes(range(255, 127, -1)), DECODE, Code.NOT_UTF8, "byte 0"),
    ("Avro", b"\0\0\0\0\x01\x06abc", DECODE, Code.NOT_JSON, "byte"),
    ("CSV", b"UA-1545,2.5,1400", DECODE, Code.NOT_JSON, "byte"),
    ("501 levels", nested(501), DECODE, Code.TOO_DEEP, "500 levels"),
    ("900 levels", nested(900), DECODE, Code.TOO_DEEP, "500 levels"),
    ("1000 levels", nested(1000), DECODE, Code.TOO_DEEP, "500 levels"),
    ("1024 levels", nested(1024), DECODE, Code.TOO_DEEP, "500 levels"),
    ("1025 levels", nested(1025), DECODE, Code.TOO_DEEP, "500 levels"),
    ("100000 levels", nested(100_000), DECODE, Code.TOO_DEEP, "500 levels"),
    ("100000 levels, cut off", b"[" * 100_000, DECODE, Code.TOO_DEEP, "500 levels"),
    ("1024 objects", b'{"a":' * 1024 + b"1" + b"}" * 1024, DECODE, Code.TOO_DEEP, "500 levels"),
    ("deep feature", event(delay="[" * 600 + "]" * 600), DECODE, Code.TOO_DEEP, "500 levels"),
    # not an object, facts 21
    ("array", b"[" + GOOD + b"]", DECODE, Code.NOT_AN_OBJECT, "an array"),
    ("string", b'"UA-1545"', DECODE, Code.NOT_AN_OBJECT, "text"),
    ("long string", b'"' + b"[" * 2000 + b'"', DECODE, Code.NOT_AN_OBJECT, "text"),
    ("number", b"12", DECODE, Code.NOT_AN_OBJECT, "a number"),
    ("boolean", b"true", DECODE, Code.NOT_AN_OBJECT, "a boolean"),
    ("null", b"null", DECODE, Code.NOT_AN_OBJECT, "null"),
    # fields named twice, facts 21
    ("twice", more('"delay":2.5'), DECODE, Code.DUPLICATE_FIELD, "delay"),
    ("twice, escaped", more(r'"del\u0061y":2.5'), DECODE, Code.DUPLICATE_FIELD, "delay"),
    ("twice, apart", more('"delay"\t\r\n :2.5'), DECODE, Code.DUPLICATE_FIELD, "delay"),
    ("twice, second wrong", more('"delay":"late"'), DECODE, Code.DUPLICATE_FIELD, "delay"),
    ("twice, first wrong", event(delay='"late","delay":2'), DECODE, Code.DUPLICATE_FIELD, "delay"),
    ("twice the id", more('"id":"UA-1"'), DECODE, Code.DUPLICATE_FIELD, "id"),
    ("twice the outer", more(f'"arrival":{ARRIVAL}'), DECODE, Code.DUPLICATE_FIELD, "arrival"),
    ("twice the outer, cut", more('"arrival":{}'), DECODE, Code.DUPLICATE_FIELD, "arrival"),
    ("twice the inner", event(arrival='{"airport":{"code":"A","code":"A"},"rain":1}'), DECODE,
     Code.DUPLICATE_FIELD, "code"),
    # features
    ("no features", b"{}", VALIDATE, Code.MISSING_FEATURE, "delay"),
    ("missing", event(carrier=None), VALIDATE, Code.MISSING_FEATURE, "carrier"),
    ("missing nullable", event(wind=None), VALIDATE, Code.MISSING_FEATURE, "null"),
    ("missing outer", event(arrival=None), VALIDATE, Code.MISSING_FEATURE, "arrival.airport.code"),
    ("null outer", event(arrival="null"), VALIDATE, Code.MISSING_FEATURE, "arrival.airport.code"),
    ("array outer", event(arrival="[1]"), VALIDATE, Code.MISSING_FEATURE, "arrival.airport.code"),
    ("missing inner", event(arrival='{"airport":{},"rain":1}'), VALIDATE, Code.MISSING_FEATURE,
     "arrival.airport.code"),
    ("inner as dotted name", event(arrival=None, **{"arrival.rain": "1"}), VALIDATE,
     Code.MISSING_FEATURE, "arrival"),
    ("string for number", event(delay='"2.5"'), VALIDATE, Code.WRONG_TYPE, "number, not text"),
    ("bool for number", event(delay="true"), VALIDATE, Code.WRONG_TYPE, "number, not a boolean"),
    ("array for number", event(delay="[2.5]"), VALIDATE, Code.WRONG_TYPE, "number, not an array"),
    ("object for number", event(delay="{}"), VALIDATE, Code.WRONG_TYPE, "number, not an object"),
    ("bool for integer", event(distance="true"), VALIDATE, Code.WRONG_TYPE, "not a boolean"),
    ("string for integer", event(distance='"7"'), VALIDATE, Code.WRONG_TYPE, "integer, not text"),
    ("fraction", event(distance="1400.5"), VALIDATE, Code.WRONG_TYPE, "whole number"),
    ("fraction, nullable", event(seats="0.5"), VALIDATE, Code.WRONG_TYPE, "seats"),
    ("number for boolean", event(holiday="1"), VALIDATE, Code.WRONG_TYPE, "boolean, not a number"),
    ("string for boolean", event(holiday='"true"'), VALIDATE, Code.WRONG_TYPE, "holiday"),
    ("number for string", event(carrier="1"), VALIDATE, Code.WRONG_TYPE, "string, not a number"),
    ("bool for string", event(carrier="true"), VALIDATE, Code.WRONG_TYPE, "string"),
    ("nested wrong", event(arrival='{"airport":{"code":7},"rain":1}'), VALIDATE, Code.WRONG_TYPE,
     "arrival.airport.code"),
    ("null number", event(delay="null"), VALIDATE, Code.NULL_NOT_ALLOWED, "delay"),
    ("null integer", event(distance="null"), VALIDATE, Code.NULL_NOT_ALLOWED, "distance"),
    ("null boolean", event(holiday="null"), VALIDATE, Code.NULL_NOT_ALLOWED, "holiday"),
    ("null string", event(carrier="null"), VALIDATE, Code.NULL_NOT_ALLOWED, "carrier"),
    ("2^63", event(distance=str(2**63)), VALIDATE, Code.OUT_OF_RANGE, "int64"),
    ("-2^63-1", event(distance=str(-(2**63) - 1)), VALIDATE, Code.OUT_OF_RANGE, "int64"),
    ("2^64", event(distance=str(2**64)), VALIDATE, Code.OUT_OF_RANGE, "distance"),
    ("2^64, nullable", event(seats=str(2**64)), VALIDATE, Code.OUT_OF_RANGE, "seats"),
    ("9.3e18", event(distance="9.3e18"), VALIDATE, Code.OUT_OF_RANGE, "distance"),
    ("128 in int8", event(byte="128"), VALIDATE, Code.OUT_OF_RANGE, "int8"),
    ("-129.0 in int8", event(byte="-129.0"), VALIDATE, Code.OUT_OF_RANGE, "int8"),
    ("1e39 in float32", event(small="1e39"), VALIDATE, Code.OUT_OF_RANGE, "float32"),
    ("-1e39 in float32", event(small="-1e39"), VALIDATE, Code.OUT_OF_RANGE, "float32"),
    # ids
    ("number id", event(id="1545"), VALIDATE, Code.INVALID_ID, "a number, not text"),
    ("object id", event(id="{}"), VALIDATE, Code.INVALID_ID, "an object, not text"),
    ("boolean id", event(id="false"), VALIDATE, Code.INVALID_ID, "a boolean, not text"),
    ("empty id", event(id='""'), VALIDATE, Code.INVALID_ID, "empty"),
    ("NUL in the id", event(id=r'"UA\u00001545"'), VALIDATE, Code.INVALID_ID, "NUL"),
]  # fmt: skip
BAD_NAMES = [name for name, *_ in BAD]


@pytest.mark.parametrize(("value", "stage", "code", "word"), [b[1:] for b in BAD], ids=BAD_NAMES)
def test_a_bad_event_is_rejected_alone(
    value: bytes | None, stage: Stage, code: Code, word: str
) -> None:
    """A bad event is rejected with a cause that names the field; its neighbours are decoded."""
    neighbours = [event(id='"before"', delay="1"), event(id='"after"', delay="3")]

    decoded = DECODER.decode([neighbours[0], value, neighbours[1]])

    rejection = decoded.rejections.pop(1)
    assert (rejection.stage, rejection.code) == (stage, code)
    assert word in rejection.message
    assert len(rejection.message) < 200
    assert decoded.rejections == {}
    assert decoded.positions == [0, 2]
    assert decoded.ids == ["before", "after"]
    assert decoded.table.rows == 2
    assert decoded.table.columns[0].tolist() == [1.0, 3.0]


@pytest.mark.parametrize("size", [1, 8, 9, 100])
def test_a_batch_decodes_as_its_events_do(size: int) -> None:
    """Every event comes to the same in batches of any size: the same cause, or the same row."""
    values = [value for _, value, *_ in BAD] + [GOOD, event(wind="null"), event(id=None)]
    values += [value for _, value, *_ in FINE]
    alone = [DECODER.decode([value]) for value in values]

    for start in range(0, len(values), size):
        batch = values[start : start + size]
        batch += [GOOD] * (size - len(batch))
        decoded = DECODER.decode(batch)

        row = 0
        for position, single in enumerate(alone[start : start + size]):
            assert decoded.rejections.get(position) == single.rejections.get(0)
            if not single.rejections:
                assert decoded.positions[row] == position
                assert decoded.ids[row] == single.ids[0]
                np.testing.assert_equal(cells(decoded.table.columns, row), cells_of(single))
                row += 1


def cells(columns: Sequence[Any], row: int) -> list[Any]:
    return [column[row] for column in columns]


def cells_of(decoded: Any) -> list[Any]:
    return cells(decoded.table.columns, 0)


# name, event, feature, its value in the table
FINE: list[tuple[str, bytes, str, Any]] = [
    ("integer for number", event(delay="2"), "delay", 2.0),
    ("2^63 for number", event(delay=str(2**63)), "delay", 2.0**63),
    ("2^64 for number", event(delay=str(2**64)), "delay", 2.0**64),
    ("300 digits for number", event(delay="1" + "0" * 300), "delay", 1e300),
    ("-0.0", event(delay="-0.0"), "delay", -0.0),
    ("underflow", event(delay="1e-400"), "delay", 0.0),
    ("long fraction", event(delay="0." + "1" * 2000), "delay", float("0." + "1" * 2000)),
    ("whole float for integer", event(distance="1400.0"), "distance", 1400),
    ("exponent for integer", event(distance="1.4e3"), "distance", 1400),
    ("-0.0 for integer", event(distance="-0.0"), "distance", 0),
    ("2^63-1", event(distance=str(2**63 - 1)), "distance", 2**63 - 1),
    ("-2^63", event(distance=str(-(2**63))), "distance", -(2**63)),
    ("2^53+1", event(distance=str(2**53 + 1)), "distance", 2**53 + 1),
    ("127 in int8", event(byte="127"), "byte", 127),
    ("-128.0 in int8", event(byte="-128.0"), "byte", -128),
    ("largest float32", event(small="3.4028234663852886e38"), "small", float(np.finfo("f4").max)),
    ("true", event(holiday="true"), "holiday", True),
    ("null number", event(wind="null"), "wind", math.nan),
    ("null integer", event(seats="null"), "seats", math.nan),
    ("null boolean", event(late="null"), "late", None),
    ("null str", event(gate="null"), "gate", math.nan),
    ("null object", event(pilot="null"), "pilot", None),
    ("empty text", event(carrier='""'), "carrier", ""),
    ("unseen category", event(carrier='"nobody has seen it"'), "carrier", "nobody has seen it"),
    ("NUL in text", event(carrier=r'"\u0000"'), "carrier", "\0"),
    ("surrogate pair", event(carrier=r'"\ud83d\ude00"'), "carrier", "😀"),
    ("non-ASCII", event(carrier='"Ærø"'), "carrier", "Ærø"),
    ("1 MB of text", event(carrier='"' + "é[" * 500_000 + '"'), "carrier", "é[" * 500_000),
    ("1 MB ignored", more('"x":"' + r"[\"" * 300_000 + '"'), "delay", 2.5),
    ("blanks", b" \r\n" + GOOD.replace(b":", b" :\t").replace(b",", b"\n,"), "delay", 2.5),
    ("500 levels", nested(500), "delay", 2.5),
    ("ignored twice", more('"x":1,"x":2'), "delay", 2.5),
    ("ignored inner twice", more('"x":{"delay":1,"delay":2}'), "delay", 2.5),
    ("ignored in array twice", more('"x":[{"delay":1,"delay":2}]'), "delay", 2.5),
    ("same name elsewhere", more('"x":{"delay":"late","id":7}'), "delay", 2.5),
    ("ignored 1e400", more('"x":1e400'), "delay", 2.5),
    ("ignored 5000 digits", more('"x":' + "9" * 5000), "delay", 2.5),
    ("nested", event(arrival='{"rain":7,"airport":{"x":1,"code":"EWR"}}'), "dest", "EWR"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "name", "expected"), [f[1:] for f in FINE], ids=[f[0] for f in FINE]
)
def test_what_an_event_may_say(value: bytes, name: str, expected: object) -> None:
    """A value of its feature's kind comes into the table exactly, whatever its form."""
    decoded = DECODER.decode([value])

    assert decoded.rejections == {}
    cell = decoded.table.columns[SIGNATURE.names.index(name)].tolist()[0]
    assert type(cell) is type(expected)
    np.testing.assert_equal(cell, expected)  # NaN equals NaN, and -0.0 is not 0.0


def test_columns_have_the_dtypes_of_the_signature() -> None:
    """Each column has its feature's dtype, text the dtype object; also when no event is left."""
    expected = ["f8", "i8", "?", "O", "f8", "f8", "O", "O", "O", "O", "f8", "f4", "i1"]

    for values in ([GOOD], [None], []):
        table = DECODER.decode(values).table
        assert [column.dtype for column in table.columns] == [np.dtype(e) for e in expected]
        assert {len(column) for column in table.columns} == {table.rows}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("null", None),
        ('"UA-1545"', "UA-1545"),
        (r'"\u00e9\"%\\"', 'é"%\\'),
        ('"😀 %s \x7f"', "😀 %s \x7f"),
        ('" "', " "),
    ],
)
def test_an_id_is_text_or_absent(text: str | None, expected: str | None) -> None:
    """An event names itself with any text, or not at all."""
    assert DECODER.decode([event(id=text)]).ids == [expected]


def test_the_id_can_be_another_field() -> None:
    """`event_id_field` is one field of the event itself, also when its name has a dot."""
    decoder = EventDecoder(SIGNATURE, "flight.no")

    decoded = decoder.decode(
        [event(id="7", **{"flight.no": '"UA-7"'}), event(**{"flight.no": "7"})]
    )

    assert decoded.ids == ["UA-7"]
    assert decoded.rejections[1].code is Code.INVALID_ID
    assert "'flight.no'" in decoded.rejections[1].message


@pytest.mark.parametrize("nullable", [False, True])
def test_the_id_can_be_a_feature(*, nullable: bool) -> None:
    """A text feature can name the event; it must be there like any feature."""
    signature = Signature((feature("id", "string", nullable=nullable),), Task.REGRESSION)

    decoded = EventDecoder(signature).decode([b'{"id":"UA-7"}', b"{}"])

    assert decoded.ids == ["UA-7"]
    assert decoded.rejections[1].code is Code.MISSING_FEATURE


@pytest.mark.parametrize("name", ["delay", "distance", "arrival", "", 'a"b', "a\\b", "a\nb"])
def test_an_impossible_id_field_is_a_wrong_setting(name: str) -> None:
    """A field that cannot hold a text id is refused, by its name."""
    with pytest.raises(SettingsError, match="event_id_field"):
        EventDecoder(SIGNATURE, name)


@pytest.mark.parametrize(
    "name",
    ["a b", "a.b", "%", "%s", "{}", "$.x", "'", "`", "a/b", "Ærø", "😀", "\u2028", "\x7f", "f1",
     "class", "__slots__", "id ", "x" * 500],
)  # fmt: skip
def test_a_feature_may_have_any_name(name: str) -> None:
    """A name is looked up as one field, whatever it is made of, and is named in messages."""
    decoder = EventDecoder(
        Signature((feature(name, "number"), feature("other", "number")), Task.REGRESSION)
    )
    good = json.dumps({name: 1, "other": 2}).encode()
    plain = json.dumps({name: 1, "other": 2}, ensure_ascii=False).encode()
    wrong = json.dumps({name: "x", "other": 2}).encode()
    twice = good[:-1] + b"," + json.dumps(name).encode() + b":1}"
    missing = json.dumps({"other": 2, "a": {"b": 1}}).encode()

    decoded = decoder.decode([good, plain, wrong, twice, missing] + [good] * 10)

    codes = {position: rejection.code for position, rejection in decoded.rejections.items()}
    assert codes == {2: Code.WRONG_TYPE, 3: Code.DUPLICATE_FIELD, 4: Code.MISSING_FEATURE}
    assert all(repr(name) in rejection.message for rejection in decoded.rejections.values())
    assert decoded.table.columns[0].tolist() == [1.0] * 12


def test_an_event_is_encoded_as_json() -> None:
    """What `encode_event` writes is decoded again, with numpy's numbers and NaN as null."""
    fields = {key: json.loads(text) for key, text in FIELDS.items()}
    fields |= {"delay": np.float64(2.5), "distance": np.int64(1400), "wind": math.nan}

    decoded = DECODER.decode([encode_event(fields)])

    np.testing.assert_equal(cells_of(decoded), cells_of(DECODER.decode([event(wind="null")])))


@pytest.mark.parametrize("value", [{1, 2}, object(), 2**64, b"x"])
def test_what_json_cannot_say_is_not_encoded(value: object) -> None:
    """A value without a JSON form is a TypeError."""
    with pytest.raises(TypeError):
        encode_event({"x": value})


MARK = "7351842"  # stands in what is changed, and nowhere else
MARKED = [
    MARK,
    f"{MARK}e400",
    f"{MARK}.5",
    f"[{MARK}]",
    f'"{MARK}"',
    f'"{MARK}\\u0000"',
    "null",
    "true",
]
MARKED += [f'{{"{MARK}":{MARK},"{MARK}":{MARK}}}', MARK * 700, f'"{MARK}","delay":"{MARK}"', "NaN"]


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from([*FIELDS, f"x{MARK}"]), st.sampled_from(MARKED), min_size=1),
    st.integers(0, 10**6),
    st.sampled_from([b"\xff", b"\0", b'"', b"{", b"]", b"\\", MARK.encode(), b"1e999", b"\xf0"]),
)
def test_a_message_holds_nothing_of_the_payload(
    changes: dict[str, str], at: int, inserted: bytes
) -> None:
    """However an event is broken, its message repeats no value and no unknown name of it."""
    value = event(**changes)
    at %= len(value)

    decoded = DECODER.decode([value, value[:at] + inserted + value[at:], value[:at], GOOD])

    assert 3 in decoded.positions
    for rejection in decoded.rejections.values():
        assert MARK not in rejection.message
