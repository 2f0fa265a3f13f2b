"""Fields named twice are found, whatever the text looks like, in batches of any size."""

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.duplicates import rows_with_duplicates
from model.rejection import Code, Stage

LONG = "a_reading_of_the_sensor_in_front_"
PATHS = [
    ("id",),
    ("delay",),
    ("Ærø",),
    ("a b",),
    (":x",),
    ("a:",),
    (LONG + "1",),
    ("b" + LONG[1:] + "1",),  # as long, with the same last sixteen bytes
    ("outer", "inner"),
    ("outer", "other", "delay"),
]
NAMES = sorted({step for path in PATHS for step in path})
PLAIN = b'{"id":"7","delay":1}'


def rows_of(batch: Sequence[bytes], paths: Sequence[tuple[str, ...]] = PATHS) -> list[int]:
    return sorted(rows_with_duplicates(batch, paths))


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (b'{"delay":1,"delay":1}', "delay"),
        (b'{"delay":1,"x":{"y":2},"delay":1}', "delay"),
        (b'{"delay":1,"del\\u0061y":1}', "delay"),
        (b'{"\\u0064elay":1,"del\\u0061y":1}', "delay"),
        (b'{"delay" :1,"delay"\r\n\t:1}', "delay"),
        ('{"Ærø":1,"Ærø":1}'.encode(), "Ærø"),
        ('{"Ærø":1,"\\u00c6r\\u00F8":1}'.encode(), "Ærø"),
        (b'{":x":1,":x":1}', ":x"),
        (b'{"a:":1,"a:":1}', "a:"),
        (f'{{"{LONG}1":1,"{LONG}1":1}}'.encode(), LONG + "1"),
        (b'{"outer":{},"outer":{}}', "outer"),
        (b'{"outer":{"inner":1,"inner":1}}', "inner"),
        (b'{"outer":{"other":{"delay":1,"delay":2}}}', "delay"),
        (b'{"x":{"delay":1},"outer":{"other":{"delay":1,"delay":2}}}', "delay"),
    ],
)
@pytest.mark.parametrize("others", [0, 7, 8, 100])
def test_a_field_named_twice_is_found(row: bytes, name: str, others: int) -> None:
    """A field that stands twice is found and named, alone and among many others."""
    batch = [PLAIN] * (others // 2) + [row] + [PLAIN] * (others - others // 2)

    found = rows_with_duplicates(batch, PATHS)

    assert list(found) == [others // 2]
    rejection = found[others // 2]
    assert (rejection.stage, rejection.code) == (Stage.DECODE, Code.DUPLICATE_FIELD)
    assert repr(name) in rejection.message


@pytest.mark.parametrize(
    "row",
    [
        b"{}",
        b' { "id" : 1 } ',
        b'{":x":1}',  # the first quote of all stands before a colon
        b'{"":1,"id":":"}',
        b'{"x":1,"x":2}',
        b'{"x":{"delay":1,"delay":2}}',
        b'{"x":[{"delay":1,"delay":2}]}',
        b'{"outer":[{"inner":1,"inner":1}]}',
        b'{"outer":{"inner":{"delay":1,"delay":2}}}',
        b'{"inner":1,"outer":{"inner":1}}',
        b'{"delay":1,"x":"\\"delay\\":2,\\"delay\\":3"}',
        b'{"delay":1,"DELAY":1,"delay ":1,"dela":1}',
        f'{{"{LONG}1":1,"b{LONG[1:]}1":1}}'.encode(),
        b'{"id":"' + b'\\"delay\\":' * 50 + b'"}',
    ],
)
@pytest.mark.parametrize("others", [0, 8])
def test_what_is_not_looked_up_may_stand_twice(row: bytes, others: int) -> None:
    """Names that no path passes may be repeated, and text may look like names."""
    assert rows_of([row] * (others + 1)) == []
    assert rows_of([row] + [PLAIN] * others) == []
    assert rows_of([PLAIN] * others + [row]) == []


@pytest.mark.parametrize("name", ["a/b", 'a"b', "a\\b", "a\tb", "a\nb", "a\x7fb", "\u2028"])
def test_every_form_of_a_name_is_the_same_name(name: str) -> None:
    """A name that JSON can write in several ways is found in any two of them."""
    short = json.dumps(name, ensure_ascii=False)
    number = '"' + "".join(f"\\u{ord(letter):04X}" for letter in name) + '"'
    slash = short.replace("/", "\\/")

    batch = [f"{{{one}:1,{two}:2}}".encode() for one in (short, slash) for two in (slash, number)]

    assert rows_of(batch, [(name,)]) == [0, 1, 2, 3]
    assert rows_of(batch * 3, [(name,)]) == list(range(12))


def test_no_rows_have_no_duplicates() -> None:
    """An empty batch and a batch without any field are clean."""
    assert rows_of([]) == []
    assert rows_of([b"{}"] * 20) == []


class Members(list[tuple[str, Any]]):
    """An object as its members: it can name one twice."""


names = st.sampled_from([*NAMES, "x", "y", 'a"b', "a\\b", "", '":'])
text = st.sampled_from(['":', '"', "\\", 'id":1,"id":2', "{", "é", "delay", ": ", ""])
trees = st.recursive(
    st.integers() | text,
    lambda inner: (
        st.lists(st.tuples(names, inner), max_size=6).map(Members) | st.lists(inner, max_size=2)
    ),
    max_leaves=20,
)
rows = st.lists(st.tuples(names, trees), max_size=12).map(Members)


def write(value: Any, style: random.Random) -> str:
    """Write JSON with blanks and escapes as the dice fall."""
    blank = style.choice(["", "", "", "", "", " ", "\r\n"])
    if isinstance(value, Members):
        inside = (f"{write(k, style)}{blank}:{write(v, style)}" for k, v in value)
        return "{" + blank + ",".join(inside) + "}"
    if isinstance(value, list):
        return "[" + ",".join(write(item, style) for item in value) + "]"
    if isinstance(value, str) and style.random() < 0.05:
        return '"' + "".join(f"\\u{ord(letter):04x}" for letter in value) + '"'
    return json.dumps(value, ensure_ascii=style.random() < 0.1) + blank


def stands_twice(row: Any) -> bool:
    """Tell by plain walks whether a step of a path is named twice where it is looked up."""
    for path in PATHS:
        node = row
        for step in path:
            if not isinstance(node, Members):
                break
            if [name for name, _ in node].count(step) > 1:
                return True
            node = dict(node).get(step)
    return False


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, max_size=4), rows, st.integers(0, 15), st.integers())
def test_the_screening_agrees_with_plain_walks(
    some: list[Members], usual: Members, count: int, seed: int
) -> None:
    """In small and large batches, uniform and mixed, exactly the rows with duplicates are found."""
    style = random.Random(seed)
    batch = some + [usual] * count
    style.shuffle(batch)
    written = [write(row, style).encode() for row in batch]

    expected = [at for at, row in enumerate(batch) if stands_twice(row)]

    assert rows_of(written) == expected
    assert [at for at, row in enumerate(written) if rows_of([row])] == expected
