"""MLflow's bodies, without HTTP: what is refused, and in which words."""

import csv
import json
from collections.abc import Iterator
from typing import Any

import pytest

from model.codec import EventDecoder
from model.errors import BadRequest
from model.signature import Feature, Kind, Signature, Task
from serving.frames import csv_events, json_events, predictions_body

SIGNATURE = Signature(
    (
        Feature("speed", Kind.NUMBER, nullable=True, dtype="float64", path=("speed",)),
        Feature("late", Kind.BOOLEAN, nullable=True, dtype="object", path=("late",)),
        Feature("origin", Kind.STRING, nullable=True, dtype="str", path=("at", "origin")),
    ),
    Task.REGRESSION,
)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"\xff", "not UTF-8: byte 0"),
        (b'{"instances": [[NaN]]}', "not JSON"),
        (b"[[1]]", "not a request of MLflow"),
        ({}, "the request has none of MLflow's shapes"),
        ({"columns": ["a"], "data": [[1]]}, "the request has none of MLflow's shapes"),
        ({"instances": [], "inputs": []}, "the request has instances and inputs"),
        ({"instances": [], "params": {"threshold": 0.5}}, "the model takes no params"),
        ({"instances": [], "signature_name": "x"}, "signature_name is not supported"),
        ({"dataframe_split": [[1]]}, "at `$.dataframe_split`"),
        ({"dataframe_split": {"columns": ["a"]}}, "missing required field `data`"),
        ({"dataframe_split": {"data": [], "dtypes": []}}, "unknown field `dtypes`"),
        ({"dataframe_split": {"data": [1]}}, "at `$.dataframe_split.data[0]`"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": []}}, "several columns 'a'"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1], [1, 2]]}}, "row 1 of datafra"),
        ({"dataframe_split": {"data": [[1, 2]]}}, "row 0 of dataframe_split has 2 values for 3"),
        ({"dataframe_records": {"a": [1]}}, "at `$.dataframe_records`"),
        ({"dataframe_records": [[1]]}, "at `$.dataframe_records[0]`"),
        ({"instances": {"a": 1}}, "instances cannot be read"),
        ({"instances": 3}, "instances cannot be read"),
        ({"instances": [{"speed": 1}, [1, 2, 3]]}, "instances cannot be read"),
        ({"instances": [[1, 2, 3], {"speed": 1}]}, "instances cannot be read"),
        ({"instances": [1, 2]}, "row 0 of instances has 1 values for 3 columns"),
        ({"inputs": "x"}, "inputs cannot be read"),
        ({"inputs": {"speed": [1, 2], "late": [True]}}, "'late' of inputs has 1 values"),
        ({"inputs": {"speed": [1], "late": True}}, "'late' of inputs has 0 values"),
    ],
)  # fmt: skip
def test_what_is_no_invocation_is_refused(body: Any, complaint: str) -> None:
    """Given a body that is none of the four shapes: the message says what it lacks, or where."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(BadRequest) as caught:
        json_events(raw, SIGNATURE, "id")
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["speed"], "data": []}},
        {"dataframe_split": {"data": []}},
        {"dataframe_records": []},
        {"instances": []},
        {"inputs": []},
        {"inputs": {"speed": [], "late": [], "origin": []}},
    ],
)
def test_no_rows_are_no_events(body: dict[str, Any]) -> None:
    """Given a table without rows: there is nothing to score, and nothing wrong."""
    assert json_events(json.dumps(body).encode(), SIGNATURE, "id") == []


def test_a_missing_column_is_missing_in_each_event() -> None:
    """Given columns of which none is a feature: each row is an event, which is then refused."""
    for body in ({"inputs": {"x": [1, 2]}}, {"instances": [{"x": 1}, {}]}):
        events = json_events(json.dumps(body).encode(), SIGNATURE, "id")
        assert events == [b"{}", b"{}"]
    why = EventDecoder(SIGNATURE).decode(events).rejections
    assert [each.code for each in why.values()] == ["missing_feature", "missing_feature"]


def test_empty_params_are_no_params() -> None:
    """Given the `params` that MLflow's clients send anyway: they are in nobody's way."""
    row = {"speed": 1, "late": None, "origin": "x"}
    nothing: tuple[dict[str, Any] | None, ...] = (None, {})
    for params in nothing:
        body = json.dumps({"instances": [row], "params": params}).encode()
        assert len(json_events(body, SIGNATURE, "id")) == 1


def test_csv_as_pandas_and_r_write_it() -> None:
    """Given numbers and booleans in any usual spelling: values, null, or text that is refused."""
    lines = ("origin,speed,late,note", "NA,1e-05,True,x", ",NA,,y", "", '"a,b",+.5,FALSE,z', "")
    body = "\r\n".join(lines).encode("utf-8-sig")
    assert [json.loads(event) for event in csv_events(body, SIGNATURE, "id")] == [
        {"speed": 1e-05, "late": True, "at": {"origin": "NA"}},
        {"speed": None, "late": None, "at": {"origin": None}},
        {"speed": 0.5, "late": False, "at": {"origin": "a,b"}},
    ]
    for field in ("abc", "inf", "0x10", "1_000", "+" + "9" * 400, "+" + "0" * 5000 + "1"):
        (event,) = csv_events(f"speed,late,origin\n{field},,x\n".encode(), SIGNATURE, "id")
        (why,) = EventDecoder(SIGNATURE).decode([event]).rejections.values()
        assert why.message == "the field 'speed' must be number, not text"
    assert csv_events(b"speed,late,origin\n", SIGNATURE, "id") == []


@pytest.fixture
def field_limit() -> Iterator[None]:
    """Python's own limit of a CSV field, which the readers of files raise for their process."""
    before = csv.field_size_limit(131_072)
    yield
    csv.field_size_limit(before)


@pytest.mark.usefixtures("field_limit")
@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "the body is empty"),
        (b"speed\n\xff\n", "not UTF-8: byte 6"),
        (b"speed,late\n1\n", "line 2 has 1 fields, the first line has 2"),
        (b"speed,speed\n1,2\n", "the first line has several columns 'speed'"),
        (b'speed\n"1', "line 2 is no CSV"),
        (b"speed\n" + b"1" * 200_000, "line 2 is no CSV: field larger than field limit"),
    ],
)
def test_what_is_no_csv_is_refused(body: bytes, complaint: str) -> None:
    """Given bytes that are no table: the message names the line."""
    with pytest.raises(BadRequest) as caught:
        csv_events(body, SIGNATURE, "id")
    assert complaint in str(caught.value)


def test_the_answer_is_what_predict_returned() -> None:
    """Given predictions: their answers in order, as MLflow gives them."""
    rows: list[dict[str, Any]] = [
        {"prediction": 1.5, "version": "3"},
        {"prediction": "a", "probabilities": {"a": 1}},
    ]
    assert json.loads(predictions_body(rows)) == {"predictions": [1.5, "a"]}
