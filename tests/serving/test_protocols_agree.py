"""One event, seven ways to write it: whichever protocol carries it, the model sees the same row."""

import csv
import io
import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.codec import Decoded, EventDecoder
from model.event import encode_event
from model.signature import Feature, Kind, Signature, Task
from serving.frames import csv_events, json_events
from serving.tensors import datatype, read_request, tensor_events

NUMBER = Feature("speed", Kind.NUMBER, nullable=True, dtype="float64", path=("speed",))
WHOLE = Feature("hour", Kind.INTEGER, nullable=False, dtype="int64", path=("at", "hour"))
FLAG = Feature("late", Kind.BOOLEAN, nullable=True, dtype="object", path=("late",))
TEXT = Feature("origin", Kind.STRING, nullable=True, dtype="str", path=("at", "origin"))
PLAIN = Feature("weight", Kind.NUMBER, nullable=False, dtype="float32", path=("weight",))

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
values = {
    NUMBER: st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70)),
    WHOLE: st.integers(-(2**63), 2**63 - 1),
    FLAG: st.none() | st.booleans(),
    TEXT: st.none() | texts,
    PLAIN: st.floats(width=32, allow_nan=False, allow_infinity=False),
}


@st.composite
def cases(draw: st.DrawFn, pool: tuple[Feature, ...]) -> tuple[Signature, list[dict[str, Any]]]:
    """Some features in some order, and rows of values for them."""
    features = draw(st.lists(st.sampled_from(pool), min_size=1, unique=True))
    row = st.fixed_dictionaries({feature.name: values[feature] for feature in features})
    rows = draw(st.lists(row, min_size=1, max_size=6))
    return Signature(tuple(features), Task.REGRESSION), rows


EVERY = cases((NUMBER, WHOLE, FLAG, TEXT, PLAIN))


def events(signature: Signature, rows: list[dict[str, Any]]) -> list[bytes]:
    """The rows as senders write them onto the topic."""
    return [json.dumps(nest(signature, row)).encode() for row in rows]


def nest(signature: Signature, row: dict[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = {}
    for feature in signature.features:
        inner = event
        for step in feature.path[:-1]:
            inner = inner.setdefault(step, {})
        inner[feature.path[-1]] = row[feature.name]
    return event


def require_same(signature: Signature, found: list[bytes], expected: list[bytes]) -> None:
    decoder = EventDecoder(signature)
    one, other = decoder.decode(found), decoder.decode(expected)
    assert not other.rejections
    assert not one.rejections
    assert bits(one) == bits(other)


def bits(decoded: Decoded) -> list[Any]:
    return [
        column.tolist() if column.dtype == object else column.view(np.uint8).tolist()
        for column in decoded.table.columns
    ]


@given(EVERY, st.data())
def test_a_tensor_for_each_feature(
    case: tuple[Signature, list[dict[str, Any]]], data: st.DataObject
) -> None:
    """Given tensors in any order, as [n] or [n, 1], nested or flat: the rows are the events'."""
    signature, rows = case
    inputs = []
    for feature in data.draw(st.permutations(signature.features)):
        flat = [row[feature.name] for row in rows]
        shape = data.draw(st.sampled_from([[len(rows)], [len(rows), 1]]))
        nested = len(shape) == 2 and data.draw(st.booleans())
        kind = datatype(feature.kind)
        if kind == "FP64" and all(type(value) is int for value in flat if value is not None):
            kind = data.draw(st.sampled_from(["FP64", "INT64"])) if in_int64(flat) else "FP64"
        inputs.append(
            {
                "name": feature.name,
                "shape": shape,
                "datatype": kind,
                "data": [[value] for value in flat] if nested else flat,
            }
        )
    request = read_request(json.dumps({"inputs": inputs}).encode())
    require_same(signature, tensor_events(request, signature, "id"), events(signature, rows))


def in_int64(flat: list[Any]) -> bool:
    return all(value is None or -(2**63) <= value < 2**63 for value in flat)


@given(cases((NUMBER, WHOLE, PLAIN)), st.booleans(), st.sampled_from(["predict", "x", "speed"]))
def test_one_tensor_of_all_features(
    case: tuple[Signature, list[dict[str, Any]]],
    nested: bool,  # noqa: FBT001 - drawn
    name: str,
) -> None:
    """Given one matrix of a column each, as clients of MLServer send: the rows are the events'."""
    signature, rows = case
    matrix = [[row[feature] for feature in signature.names] for row in rows]
    data = matrix if nested else [value for row in matrix for value in row]
    shape = [len(rows), len(signature.names)]
    given_input = {"name": name, "shape": shape, "datatype": "FP64", "data": data}
    request = read_request(json.dumps({"inputs": [given_input]}).encode())
    require_same(signature, tensor_events(request, signature, "id"), events(signature, rows))


def bodies(signature: Signature, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All the ways in which MLflow's clients write a table."""
    names = list(signature.names)
    split = {"columns": list(rows[0]), "index": [*range(len(rows))]}
    table = [[row[name] for name in rows[0]] for row in rows]
    in_order = [[row[name] for name in names] for row in rows]
    columns = {name: [row[name] for row in rows] for name in names}
    given: list[dict[str, Any]] = [
        {"dataframe_split": {**split, "data": table}},
        {"dataframe_split": {"data": in_order}},
        {"dataframe_records": rows},
        {"instances": rows},
        {"instances": in_order},
        {"inputs": rows},
        {"inputs": in_order},
        {"inputs": columns},
    ]
    if len(rows) == 1:
        given.append({"inputs": rows[0]})
    if len(names) == 1:
        given += ({"instances": columns[names[0]]}, {"inputs": columns[names[0]]})
    return given


@given(EVERY)
def test_the_four_shapes_of_mlflow(case: tuple[Signature, list[dict[str, Any]]]) -> None:
    """Given a table in any of the four shapes, by name or by position: the rows are the events'."""
    signature, rows = case
    for body in bodies(signature, rows):
        found = json_events(json.dumps(body).encode(), signature, "id")
        require_same(signature, found, events(signature, rows))


@given(EVERY, st.booleans())
def test_a_csv_file(
    case: tuple[Signature, list[dict[str, Any]]],
    upper: bool,  # noqa: FBT001 - drawn
) -> None:
    """Given the rows as CSV, null as an empty field: the rows are the events'."""
    signature, rows = case
    written = io.StringIO()
    writer = csv.writer(written, quoting=csv.QUOTE_ALL)  # else a lone empty field is an empty line
    writer.writerow(signature.names)
    for row in rows:
        values = (row[name] for name in signature.names)
        texts = [
            str(v).upper() if upper and isinstance(v, bool) else "" if v is None else v
            for v in values
        ]
        writer.writerow(texts)
    found = csv_events(written.getvalue().encode(), signature, "id")
    require_same(signature, found, events(signature, rows))


def test_the_id_goes_along() -> None:
    """Given ids beside the features: every protocol hands them on."""
    signature = Signature((PLAIN,), Task.REGRESSION)
    rows = [{"id": "a", "weight": 1.5}, {"id": "b", "weight": 2.5}]
    inputs = [
        {"name": "id", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]},
        {"name": "weight", "shape": [2], "datatype": "FP32", "data": [1.5, 2.5]},
    ]
    request = read_request(json.dumps({"inputs": inputs}).encode())
    ways = [
        tensor_events(request, signature, "id"),
        csv_events(b"id,weight\na,1.5\nb,2.5\n", signature, "id"),
        json_events(encode_event({"dataframe_records": rows}), signature, "id"),
        json_events(
            encode_event({"inputs": {"weight": [1.5, 2.5], "id": ["a", "b"]}}), signature, "id"
        ),
    ]
    for found in ways:
        assert EventDecoder(signature).decode(found).ids == ["a", "b"]


def test_a_frame_may_have_an_id_of_its_own() -> None:
    """Given a column `id` of numbers: it is no event's id, and in nobody's way."""
    signature = Signature((PLAIN,), Task.REGRESSION)
    split = {"columns": ["id", "weight", "note"], "data": [[7, 1.5, "x"], ["", 2.5, None]]}
    for body in (
        {"dataframe_split": split},
        {"instances": [{"id": 7, "weight": 1.5}, {"id": "", "weight": 2.5}]},
        {"inputs": {"id": [7, ""], "weight": [1.5, 2.5], "note": [None, {"a": []}]}},
    ):
        decoded = EventDecoder(signature).decode(json_events(encode_event(body), signature, "id"))
        assert not decoded.rejections
        assert decoded.ids == [None, None]
        assert decoded.table.columns[0].tolist() == [1.5, 2.5]
