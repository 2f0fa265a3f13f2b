"""Events from NDJSON: lines go out as they are, and a broken one is named."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import InputFileError, WrongUsage
from producer.files import Event, read_file, read_ndjson
from producer.keys import UnusableKey, key_of

objects = st.dictionaries(st.text(max_size=5), st.integers(-5, 5) | st.text(max_size=5), max_size=4)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@contextmanager
def pipe(content: bytes = b"") -> Iterator[tuple[int, int]]:
    """A pipe with something in it: the descriptors to read from and to write to."""
    reading, writing = os.pipe()
    try:
        os.write(writing, content)
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


@given(st.lists(objects, min_size=1, max_size=20), st.sampled_from([b"\n", b"\r\n"]))
def test_every_line_is_an_event(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]], ending: bytes
) -> None:
    """Whatever the objects and the line ends are, each line comes out as it was written."""
    lines = [orjson.dumps(row) for row in rows]
    path = written(tmp_path_factory.mktemp("events") / "e.ndjson", ending.join(lines))

    events = list(read_file(path))

    assert [event.value for event in events] == lines
    assert [event.place for event in events] == list(range(1, len(lines) + 1))


def test_lines_are_not_rewritten(tmp_path: Path) -> None:
    """What the user wrote goes out byte for byte: spacing, digits, order and doubled names."""
    line = b' { "b": 1.50, "a": 1e2,\t"b": "\\u00e9" } '

    assert list(read_file(written(tmp_path / "e.jsonl", line + b"\n"))) == [Event(line, None, 1)]


def test_blank_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    """Blank lines are no events, but they count where a line is named."""
    path = written(tmp_path / "e.json", b'\n{"id": "a"}\n  \n\r\n{"id": "b"}\n\n')

    assert list(read_file(path, key_field="id")) == [
        Event(b'{"id": "a"}', b"a", 2),
        Event(b'{"id": "b"}', b"b", 5),
    ]


def test_a_line_longer_than_a_chunk_is_one_event(tmp_path: Path) -> None:
    """An event of a megabyte of text comes out whole."""
    line = orjson.dumps({"text": "x" * 1_000_000})

    assert [e.value for e in read_file(written(tmp_path / "e.ndjson", line))] == [line]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"a": 1', "line 3 is not JSON"),
        (b'{"a": NaN}', "line 3 is not JSON"),
        (b'{"a": "\xff"}', "line 3 is not JSON"),
        (b'{"a": 1} {"a": 2}', "line 3 is not JSON"),
        (b"[1]", "line 3 is an array, not a JSON object"),
        (b'"a"', "line 3 is a text, not a JSON object"),
        (b"true", "line 3 is a boolean, not a JSON object"),
        (b"12", "line 3 is a number, not a JSON object"),
        (b"null", "line 3 is null, not a JSON object"),
    ],
)
def test_a_broken_line_is_named_after_those_before_it(
    tmp_path: Path, line: bytes, says: str
) -> None:
    """The events before a broken line come out; then the error names the line."""
    path = written(tmp_path / "e.ndjson", b'{"a": 1}\n{"a": 2}\n' + line + b'\n{"a": 3}\n')
    events = read_file(path)

    assert [next(events).place, next(events).place] == [1, 2]
    with pytest.raises(InputFileError, match=says):
        next(events)


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b'\xef\xbb\xbf{"a": 1}\n', "without a byte order mark"),
        (b'[{"a": 1},\n {"a": 2}]\n', "jq -c"),
        (b'{\n  "a": 1\n}\n', "jq -c"),
    ],
)
def test_what_is_json_but_not_by_lines_is_told_how_to_mend(
    tmp_path: Path, content: bytes, hint: str
) -> None:
    """A byte order mark, an array and an indented object each get the hint that helps."""
    with pytest.raises(InputFileError) as caught:
        list(read_file(written(tmp_path / "e.json", content)))

    assert hint in caught.value.hint


def test_a_missing_key_is_named_with_its_line(tmp_path: Path) -> None:
    """An event without the key field is an error that names the line and the field."""
    path = written(tmp_path / "e.ndjson", b'{"id": "a"}\n{"name": "b"}\n')
    events = read_file(path, key_field="id")

    assert next(events).key == b"a"
    with pytest.raises(InputFileError, match=r"line 2: the key field 'id' is missing"):
        next(events)


@pytest.mark.parametrize(
    ("value", "key"), [("a", b"a"), ("01", b"01"), (7, b"7"), (-7, b"-7"), ("\u00e9", b"\xc3\xa9")]
)
def test_text_and_whole_numbers_are_keys(value: object, key: bytes) -> None:
    """Text is a key as UTF-8, a whole number in decimal."""
    assert key_of({"id": value}, "id") == key


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        ("", "empty"),
        (True, "a boolean"),
        (1.5, "a number with a fraction"),
        ({}, "an object"),
        ([], "a list"),
    ],
)
def test_nothing_else_is_a_key(value: object, kind: str) -> None:
    """What would scatter an entity's events, or gather those without one, is refused."""
    with pytest.raises(UnusableKey, match=f"the key field 'id' is {kind}"):
        key_of({"id": value}, "id")


@pytest.mark.parametrize("name", ["e.ndjson", "e.csv"])
def test_an_empty_file_is_an_error(tmp_path: Path, name: str) -> None:
    """A file without events is most likely the wrong one."""
    with pytest.raises(InputFileError, match="is empty"):
        list(read_file(written(tmp_path / name, b"\n")))


def test_a_file_that_cannot_be_opened_is_told_at_once(tmp_path: Path) -> None:
    """Before anything is sent, a missing file, a directory and a strange suffix are errors."""
    with pytest.raises(InputFileError, match="does not exist"):
        read_file(tmp_path / "none.ndjson")
    with pytest.raises(InputFileError, match="is a directory"):
        read_file(tmp_path)
    with pytest.raises(WrongUsage, match=r"the suffix '\.xlsx'"):
        read_file(written(tmp_path / "e.xlsx", b"PK"))
    with pytest.raises(WrongUsage, match=r"only the columns of a \.csv file"):
        read_file(written(tmp_path / "e.ndjson", b"{}"), text_columns=["zip"])


def test_a_pipe_gives_each_line_when_it_is_there() -> None:
    """An event written to a pipe comes out at once, not when the pipe is closed."""
    with pipe(b'{"a": 1}\n{"a"') as (reading, writing):
        events = read_ndjson(reading, "standard input", None)

        assert next(events) == Event(b'{"a": 1}', None, 1)
        os.write(writing, b": 2}\n")
        assert next(events) == Event(b'{"a": 2}', None, 2)


def test_waiting_on_a_pipe_can_be_ended() -> None:
    """While nothing arrives, the reader asks whether to go on."""
    asked = iter([True, False])
    with pipe(b'{"a": 1}\n{"half') as (reading, _):
        events = read_ndjson(reading, "standard input", None, lambda: next(asked))

        assert [event.place for event in events] == [1]
    assert list(asked) == []
