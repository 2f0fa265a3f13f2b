"""The typed decoder agrees with a plain one that walks the parsed event, on random events."""

import json
import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.codec import EventDecoder
from model.rejection import Code, Rejection
from model.signature import Feature, Kind, Signature, Task

DTYPES = {"number": "float64", "integer": "int64", "boolean": "bool", "string": "str"}


def feature(
    name: str,
    kind: str,
    *,
    nullable: bool = False,
    dtype: str | None = None,
    path: tuple[str, ...] | None = None,
) -> Feature:
    return Feature(name, Kind(kind), nullable, dtype or DTYPES[kind], path or (name,))


class Members(list[tuple[str, Any]]):
    """An object as its members: it can name one twice."""


def members(
    names: st.SearchStrategy[str], values: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    return st.lists(st.tuples(names, values), max_size=3).map(Members)


numbers = st.one_of(
    st.integers(-(10**20), 10**20),
    st.integers(-200, 200),
    st.sampled_from([2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-200, 200).map(float),
)
text = st.text(st.characters(codec="utf-8"), max_size=8)
scalars = st.one_of(st.none(), st.booleans(), numbers, text)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | members(text, inner), max_leaves=4
)


whole = st.integers(-128, 127)
BY_KIND: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.NUMBER: numbers,
    Kind.INTEGER: whole | whole.map(float),
    Kind.BOOLEAN: st.booleans(),
    Kind.STRING: text,
}
SIGNATURE = Signature(
    (
        feature("number", "number"),
        feature("maybe", "number", nullable=True),
        feature("integer", "integer"),
        feature("byte", "integer", dtype="int8"),
        feature("some", "integer", nullable=True, dtype="float64"),
        feature("boolean", "boolean"),
        feature("string", "string", nullable=True),
        feature("inner", "string", path=("outer", "in ner")),
        feature("deeper", "integer", path=("outer", "Ø", "deeper")),
    ),
    Task.REGRESSION,
)
DECODER = EventDecoder(SIGNATURE)
GOOD = (
    '{"id":"UA","number":1,"maybe":null,"integer":2.0,"byte":3,"some":4,"boolean":true,'
    '"string":"Ærø \\u00e9","outer":{"in ner":"","Ø":{"deeper":5}},"x":[1,{"a":null}]}'
).encode()


@st.composite
def events(draw: st.DrawFn) -> Members:
    """Draw an event in which at most two fields are not as they should be, in any order."""
    names = [*SIGNATURE.names, "id", "outer", "Ø"]
    spoilt = draw(st.sets(st.sampled_from(names), max_size=2))
    extra = draw(st.lists(st.tuples(text | st.sampled_from([*spoilt, "x"]), anything), max_size=2))

    def choose(name: str, usual: st.SearchStrategy[Any]) -> Any:
        return draw(numbers | anything if name in spoilt else usual)

    values = {
        f.name: choose(f.name, BY_KIND[f.kind] | st.none() if f.nullable else BY_KIND[f.kind])
        for f in SIGNATURE.features
    }
    deeper = Members([("deeper", values.pop("deeper"))])
    outer = Members([("in ner", values.pop("inner")), ("Ø", choose("Ø", st.just(deeper)))])
    values["outer"] = choose("outer", st.just(outer))
    values["id"] = choose("id", st.none() | text.filter(bool))
    if spoilt and draw(st.integers(0, 3)) == 0:
        values.pop(min(spoilt), None)
    return Members(draw(st.permutations([*values.items(), *extra])))


def write(value: Any, style: random.Random) -> str:
    """Write JSON with blanks and escapes as the dice fall."""
    blank = style.choice(["", "", "", " ", "\n", "\t "])
    if isinstance(value, Members):
        inside = (f"{write(k, style)}{blank}:{write(v, style)}" for k, v in value)
        return blank + "{" + ",".join(inside) + blank + "}"
    if isinstance(value, list):
        return "[" + ",".join(write(item, style) for item in value) + blank + "]"
    if isinstance(value, str):
        quoted = json.dumps(value, ensure_ascii=style.random() < 0.3)
        if value.isascii() and value.isalpha() and style.random() < 0.1:
            quoted = f'"\\u{ord(value[0]):04x}{value[1:]}"'
        return blank + quoted + blank
    return json.dumps(value) + blank


def causes(event: Members) -> Iterator[Code | None]:
    """Give a plain decoder's checks of an event, in their order: the first cause counts."""
    yield from (duplicate(f.path, event) for f in SIGNATURE.features)
    yield duplicate(("id",), event)
    yield from (misfit(f, event) for f in SIGNATURE.features)
    _, event_id = look_up(event, ("id",))
    yield None if isinstance(event_id, str | None) else Code.INVALID_ID
    yield from (unfit(f, event) for f in SIGNATURE.features if f.kind is Kind.INTEGER)
    yield Code.INVALID_ID if event_id is not None and (not event_id or "\0" in event_id) else None


def duplicate(path: tuple[str, ...], event: Any) -> Code | None:
    for step in path:
        if isinstance(event, Members):
            if [name for name, _ in event].count(step) > 1:
                return Code.DUPLICATE_FIELD
            event = dict(event).get(step)
    return None


def misfit(feature: Feature, event: Members) -> Code | None:
    found, value = look_up(event, feature.path)
    if not found:
        return Code.MISSING_FEATURE
    if value is None:
        return None if feature.nullable else Code.NULL_NOT_ALLOWED
    types = {Kind.STRING: (str,), Kind.BOOLEAN: (bool,)}.get(feature.kind, (int, float))
    return None if type(value) in types else Code.WRONG_TYPE


def unfit(feature: Feature, event: Members) -> Code | None:
    _, value = look_up(event, feature.path)
    bits = 7 if feature.dtype == "int8" else 63
    if value is not None and value != int(value):
        return Code.WRONG_TYPE
    return None if value is None or -(2**bits) <= value < 2**bits else Code.OUT_OF_RANGE


def look_up(event: Any, path: tuple[str, ...]) -> tuple[bool, Any]:
    for step in path:
        if not isinstance(event, Members) or step not in dict(event):
            return False, None
        event = dict(event)[step]
    return True, event


def cell(feature: Feature, event: Members) -> Any:
    _, value = look_up(event, feature.path)
    if value is None:
        return math.nan
    return float(value) if feature.dtype == "float64" else value


@settings(max_examples=40, deadline=None)
@given(st.lists(events(), min_size=1, max_size=12), st.integers())
def test_the_decoder_agrees_with_a_plain_one(batch: list[Members], seed: int) -> None:
    """Every event comes to the code or the row that a plain decoder gives it."""
    style = random.Random(seed)

    decoded = DECODER.decode([write(event, style).encode() for event in batch])

    rows = dict(zip(decoded.positions, range(decoded.table.rows), strict=True))
    for position, event in enumerate(batch):
        cause = next(filter(None, causes(event)), None)
        if cause is not None:
            assert decoded.rejections[position].code is cause
            continue
        assert position not in decoded.rejections
        row = [column[rows[position]] for column in decoded.table.columns]
        np.testing.assert_equal(row, [cell(f, event) for f in SIGNATURE.features])
        assert decoded.ids[rows[position]] == look_up(event, ("id",))[1]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40) | st.none(), max_size=12))
def test_any_bytes_are_answered(values: list[bytes | None]) -> None:
    """Whatever bytes come, each event ends as a row or as a rejection, and never both."""
    decoded = DECODER.decode([*values, GOOD])

    assert sorted([*decoded.positions, *decoded.rejections]) == list(range(len(values) + 1))
    assert all(isinstance(rejection, Rejection) for rejection in decoded.rejections.values())


@settings(deadline=None)
@given(st.data())
def test_a_broken_event_is_refused_as_json_says(data: st.DataObject) -> None:
    """Of an event with a few bytes changed, what is no JSON for `json` is none for the decoder."""
    value = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(value) - 1))
        value[at] = data.draw(st.sampled_from(b'{}[]":,\\ue0.-+1tn \n\x00\xc3\xff'))

    decoded = DECODER.decode([bytes(value)] + [GOOD] * data.draw(st.sampled_from([0, 9])))

    if not decoded.rejections:
        json.loads(bytes(value), parse_constant=pytest.fail)
