"""Open Inference Protocol V2, without HTTP: what is refused, and answers as tensors."""

import json
from dataclasses import replace
from typing import Any

import pytest

from model.codec import EventDecoder
from model.errors import BadRequest
from model.signature import Feature, Kind, Label, Signature, Task
from serving.encoding import in_columns_words
from serving.tensor_answers import inference_response, metadata, outputs, wanted_outputs
from serving.tensors import read_request, tensor_events

FEATURES = (
    Feature("speed", Kind.NUMBER, nullable=True, dtype="float64", path=("speed",)),
    Feature("hour", Kind.INTEGER, nullable=False, dtype="int64", path=("at", "hour")),
    Feature("late", Kind.BOOLEAN, nullable=False, dtype="bool", path=("late",)),
    Feature("origin", Kind.STRING, nullable=True, dtype="str", path=("origin",)),
)
SIGNATURE = Signature(FEATURES, Task.REGRESSION)
NUMBERS = Signature(FEATURES[:2], Task.REGRESSION)


def tensor(
    name: str, datatype: str, data: list[Any], shape: list[Any] | None = None, **more: Any
) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data, **more}


GOOD = [
    tensor("speed", "FP64", [1.5, None]),
    tensor("hour", "INT64", [1, 2]),
    tensor("late", "BOOL", [True, False]),
    tensor("origin", "BYTES", ["JFK", None]),
]


def one(rest: bytes) -> bytes:
    return b'{"inputs": [{"name": "a", ' + rest + b"}]}"


def instead(which: int, given: dict[str, Any]) -> list[dict[str, Any]]:
    return [given if at == which else each for at, each in enumerate(GOOD)]


def translated(body: Any, signature: Signature = SIGNATURE) -> list[bytes]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return tensor_events(read_request(raw), signature, "id")


def test_rows_become_events() -> None:
    """Given a tensor for each feature, when they are read, then each row is an event."""
    assert [json.loads(event) for event in translated({"inputs": GOOD})] == [
        {"speed": 1.5, "at": {"hour": 1}, "late": True, "origin": "JFK"},
        {"speed": None, "at": {"hour": 2}, "late": False, "origin": None},
    ]


@pytest.mark.parametrize(
    "datatype",
    [
        *("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
        *("FP16", "FP32", "FP64"),
    ],
)
def test_every_datatype_of_a_number_is_taken(datatype: str) -> None:
    """Given any of the protocol's datatypes: a number is the number that is written."""
    assert translated({"inputs": [tensor("m", datatype, [7, 8], [1, 2])]}, NUMBERS) == [
        b'{"speed":7,"at":{"hour":8}}'
    ]


def test_no_rows_are_no_events() -> None:
    """Given tensors of no rows: there is nothing to score, and nothing wrong."""
    empty = [{**each, "shape": [0], "data": []} for each in GOOD]
    assert translated({"inputs": empty}) == []
    assert translated({"inputs": [tensor("m", "FP64", [], [0, 2])]}, NUMBERS) == []


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        ([], "the request has no inputs"),
        (GOOD[:3], "the input 'origin' is missing"),
        ([*GOOD, tensor("sped", "FP64", [1, 2])], "the model has no input 'sped'"),
        ([*GOOD, GOOD[0]], "the input 'speed' is given twice"),
        (instead(0, tensor("speed", "BYTES", ["1", "2"])), "'speed' is BYTES, and 'speed' is num"),
        (instead(2, tensor("late", "INT8", [0, 1])), "the input 'late' is INT8"),
        (instead(3, tensor("origin", "FP64", [0, 1])), "the input 'origin' is FP64"),
        (instead(1, tensor("hour", "INT64", [1])), "'hour' has 1 rows, 'speed' has 2"),
        (instead(1, tensor("hour", "INT64", [1, 2, 3], [2])), "3 elements and the shape [2]"),
        (instead(1, tensor("hour", "INT64", [1, 2], [2, 2])), "'hour' has the shape [2, 2]"),
        (instead(1, tensor("hour", "INT64", [1, 2], [1, 2])), "'hour' has the shape [1, 2]"),
        (instead(1, tensor("hour", "INT64", [1, 2], [2, 1, 1])), "has the shape [2, 1, 1]"),
        (instead(1, tensor("hour", "INT64", [[1, 2]], [2, 1])), "is not nested as [2, 1]"),
        (instead(1, tensor("hour", "INT64", [[1], 2], [2, 1])), "is not nested as [2, 1]"),
        (instead(1, tensor("hour", "INT64", [1, [2]], [2, 1])), "row 1 of the input 'hour'"),
        (instead(1, tensor("hour", "INT64", [1, 2.5])), "row 1 of the input 'hour' is no INT64"),
        (instead(1, tensor("hour", "UINT8", [1, 256])), "row 1 of the input 'hour' is no UINT8"),
        (instead(1, tensor("hour", "INT8", [-129, 1])), "row 0 of the input 'hour' is no INT8"),
        (instead(1, tensor("hour", "UINT64", [1, 2**64])), "row 1 of the input 'hour' is no UINT"),
        (instead(0, tensor("speed", "FP16", [1, 65505])), "row 1 of the input 'speed' is no FP16"),
        (instead(0, tensor("speed", "FP32", [1e39, 1])), "row 0 of the input 'speed' is no FP32"),
        (instead(0, tensor("speed", "FP64", ["1", 2])), "row 0 of the input 'speed' is no FP64"),
        (instead(0, tensor("speed", "FP64", [1, True])), "row 1 of the input 'speed' is no FP64"),
        (instead(2, tensor("late", "BOOL", [True, 1])), "row 1 of the input 'late' is no BOOL"),
        (instead(3, tensor("origin", "BYTES", ["a", 1])), "row 1 of the input 'origin' is no"),
        ([tensor("m", "FP64", [1, 2, 3, 4], [1, 4])], "the input 'm' is FP64, and 'late'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(inputs: list[dict[str, Any]], complaint: str) -> None:
    """Given inputs that are not the model's: the message names the input, and the row."""
    with pytest.raises(BadRequest) as caught:
        translated({"inputs": inputs})
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "the body is not JSON"),
        (b"\xff", "the body is not UTF-8: byte 0"),
        (b'{"inputs": [{"name": "\xc3("}]}', "the body is not UTF-8: byte 22"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
        (b"[]", "not an inference request"),
        (b'{"inputs": {}}', "at `$.inputs`"),
        (b'{"inputs": [], "id": 1}', "at `$.id`"),
        (one(b'"shape": [-1], "datatype": "FP64", "data": []'), "`int` >= 0"),
        (one(b'"shape": [1], "datatype": "FP8", "data": [1]'), "datatype`"),
        (one(b'"shape": [1], "datatype": "FP64", "data": [NaN]'), "not JSON"),
        (one(b'"shape": [1], "datatype": "FP64"'), "'a' has no data"),
        (one(b'"shape": [1], "datatype": "FP64", "data": [1e999]'), "range"),
        (b'{"inputs": [], "parameters": {"a": {}}}', "at `$.parameters"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(body: bytes, complaint: str) -> None:
    """Given bytes that are no inference request: the message says where they stop being one."""
    with pytest.raises(BadRequest) as caught:
        read_request(body)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": GOOD, "parameters": {"binary_data_output": True}},
        {"inputs": [{**GOOD[0], "parameters": {"binary_data_size": 8}}]},
        {"inputs": [{k: v for k, v in GOOD[0].items() if k != "data"}
                    | {"parameters": {"binary_data_size": 8}}]},
        {"inputs": GOOD, "outputs": [{"name": "predict", "parameters": {"binary_data": True}}]},
        {"inputs": GOOD, "outputs": [{"name": "predict", "parameters": {"classification": 2}}]},
        {"inputs": [{**GOOD[0], "parameters": {"shared_memory_region": "r"}}]},
        {"inputs": [{**GOOD[3], "parameters": {"content_type": "base64"}}]},
    ],
)  # fmt: skip
def test_extensions_are_refused(body: dict[str, Any]) -> None:
    """Given a parameter without which the request means something else: it is named, and refused.

    Any other parameter is none of ours, as the protocol defines none.
    """
    with pytest.raises(BadRequest, match=r"the (request|input|output).* (parameter|content_type)"):
        read_request(json.dumps(body).encode())


def test_parameters_that_change_nothing_are_taken() -> None:
    """Given parameters as MLServer's and Triton's clients set them: the request is answered."""
    body = {
        "id": "1",
        "parameters": {"content_type": "pd", "binary_data_output": False, "priority": 1},
        "inputs": [{**each, "parameters": {"content_type": "np"}} for each in GOOD],
        "outputs": [{"name": "predict", "parameters": {"binary_data": False}}],
    }
    assert len(translated(body)) == 2


def test_a_row_is_refused_in_the_words_of_the_request() -> None:
    """Given a nested feature: a rejection of its event names the input, not the event's field."""
    events = translated({"inputs": instead(1, tensor("hour", "INT64", [1, None]))})
    (why,) = EventDecoder(SIGNATURE).decode(events).rejections.values()
    assert why.message.startswith("the field 'at.hour' is null")
    said = in_columns_words(SIGNATURE, why.message, "input")
    assert said.startswith("the input 'hour' is null and the model has not learned")


def test_outputs_of_a_regressor() -> None:
    """Given a regressor: one tensor `predict`, of rows by one."""
    answer = answered(SIGNATURE, [{"prediction": 1.5}, {"prediction": -2.0}], id="42")
    assert answer == {
        "model_name": "delay",
        "model_version": "3",
        "id": "42",
        "outputs": [{"name": "predict", "shape": [2, 1], "datatype": "FP64", "data": [1.5, -2.0]}],
    }


@pytest.mark.parametrize(
    ("labels", "datatype"),
    [
        (("no", "yes"), "BYTES"),
        ((0, 1), "INT64"),
        ((0, 2**63), "UINT64"),
        ((False, True), "BOOL"),
        ((0.5, 1.5), "FP64"),
        ((0, "a"), "BYTES"),
    ],
)
def test_outputs_of_a_classifier(labels: tuple[Label, ...], datatype: str) -> None:
    """Given a classifier: its labels in their own datatype, its probabilities row by row."""
    signature = replace(SIGNATURE, task=Task.CLASSIFICATION, labels=labels, probabilities=True)
    keys = [str(label).lower() if isinstance(label, bool) else str(label) for label in labels]
    rows = [
        {"prediction": labels[1], "probabilities": {keys[0]: 0.25, keys[1]: 0.75}},
        {"prediction": labels[0], "probabilities": {keys[0]: 1.0, keys[1]: 0.0}},
    ]
    predict, proba = answered(signature, rows)["outputs"]
    expected = [labels[1], labels[0]] if datatype != "BYTES" else [keys[1], keys[0]]
    assert predict == tensor("predict", datatype, expected, [2, 1])
    assert proba == tensor("predict_proba", "FP64", [0.25, 0.75, 1.0, 0.0], [2, 2])
    described = metadata(signature, "delay", "3")["outputs"]
    assert [each["datatype"] for each in described] == [datatype, "FP64"]


def test_outputs_of_an_outlier_detector() -> None:
    """Given an outlier detector: -1 or 1, and the score."""
    signature = replace(SIGNATURE, task=Task.OUTLIER, score=True)
    predict, score = answered(signature, [{"prediction": -1, "score": -0.5}])["outputs"]
    assert predict == tensor("predict", "INT64", [-1], [1, 1])
    assert score == tensor("score", "FP64", [-0.5], [1, 1])


def test_outputs_are_those_asked_for() -> None:
    """Given named outputs: these alone, in this order; one that is not there is named."""
    signature = replace(SIGNATURE, task=Task.OUTLIER, score=True)
    rows = [{"prediction": 1, "score": 0.5}]
    asked = answered(signature, rows, outputs=[{"name": "score"}, {"name": "predict"}])
    assert [each["name"] for each in asked["outputs"]] == ["score", "predict"]
    for names, complaint in ((["transform"], "no output 'transform'"), (["score"] * 2, "twice")):
        with pytest.raises(BadRequest, match=complaint):
            answered(signature, rows, outputs=[{"name": name} for name in names])


def answered(signature: Signature, rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    request = read_request(json.dumps({"inputs": GOOD, **more}).encode())
    wanted = wanted_outputs(request, signature)
    body: dict[str, Any] = json.loads(
        inference_response(request, wanted, rows, name="delay", version="3")
    )
    return body


def test_the_metadata_names_every_tensor() -> None:
    """Given a signature: a tensor for each feature, of any number of rows, in its own datatype."""
    told = metadata(SIGNATURE, "delay", "3")
    assert told["name"] == "delay"
    assert told["versions"] == ["3"]
    assert told["inputs"] == [
        {"name": name, "datatype": datatype, "shape": [-1, 1]}
        for name, datatype in zip(SIGNATURE.names, ("FP64", "INT64", "BOOL", "BYTES"), strict=True)
    ]
    assert [each.name for each in outputs(SIGNATURE)] == ["predict"]
    assert told["outputs"] == [{"name": "predict", "datatype": "FP64", "shape": [-1, 1]}]
