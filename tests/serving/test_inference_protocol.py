"""Open Inference Protocol V2, read out of its own text: what a client may rely on.

The sections are those of inference_rest.md in github.com/kserve/open-inference-protocol.
"""

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving.local_desk import score

if TYPE_CHECKING:
    from collections.abc import Callable

    from model.bundle import Model
    from tests.serving.conftest import Online

    Serve = Callable[[str], Online]

ROWS = [
    {"distance": 500.0, "hour": 7, "origin": "JFK", "late": True, "temp": 12.5},
    {"distance": 2475.0, "hour": 19, "origin": "EWR", "late": False, "temp": None},
    {"distance": 80.25, "hour": 0, "origin": "LGA", "late": True, "temp": -3.0},
]
DATATYPES = {"distance": "FP64", "hour": "INT64", "origin": "BYTES", "late": "BOOL", "temp": "FP32"}
MATRIX = [[500.0, 7], [2475.0, 19]]


def tensors(*names: str) -> list[dict[str, Any]]:
    """The rows as a tensor for each feature."""
    return [
        {
            "name": name,
            "shape": [len(ROWS)],
            "datatype": DATATYPES[name],
            "data": [row[name] for row in ROWS],
        }
        for name in names or DATATYPES
    ]


def matrix(shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": shape, "datatype": "FP64", "data": data}]}


def events() -> list[bytes]:
    """The same rows as events."""
    given = [{**row, "weather": {"temp": row["temp"]}} for row in ROWS]
    return [json.dumps(event).encode() for event in given]


def predictions(model: "Model", given: list[bytes]) -> list[dict[str, Any]]:
    """What events get on any other way."""
    return [json.loads(each) for each in score(model, given).results if isinstance(each, bytes)]


# Health


def test_live_and_ready(online: "Serve") -> None:
    """Given a server that is ready, when it is probed, then both answer 200 and JSON."""
    client = online("delay:1").client
    live, ready = client.get("/v2/health/live"), client.get("/v2/health/ready")
    assert (live.status_code, live.json()) == (200, {"live": True})
    assert (ready.status_code, ready.json()) == (200, {"live": True, "ready": True})
    model = client.get("/v2/models/delay/ready")
    assert (model.status_code, model.json()) == (200, {"name": "delay", "ready": True})
    assert client.get("/v2/models/delay/versions/1/ready").json() == model.json()


def test_not_ready(online: "Serve") -> None:
    """Given a server that would not answer: it is alive, and neither it nor its model is ready."""
    served = online("delay:1")
    served.desk.ready = False
    assert served.client.get("/v2/health/live").status_code == 200
    for path in ("/v2/health/ready", "/v2/models/delay/ready"):
        answer = served.client.get(path)
        assert (answer.status_code, answer.json()["ready"]) == (503, False)


# Server metadata, model metadata


def test_server_metadata(online: "Serve") -> None:
    """Name, version and extensions of the server: there are none of the last."""
    client = online("delay:1").client
    answer = client.get("/v2").json()
    assert client.get("/v2/", follow_redirects=True).json() == answer  # as its OpenAPI file has it
    assert set(answer) == {"name", "version", "extensions"}
    assert (answer["name"], answer["extensions"]) == ("streamscore", [])


def test_model_metadata(online: "Serve") -> None:
    """Given a model: the metadata names every tensor that a request needs and gets."""
    client = online("delay:2").client
    answer = client.get("/v2/models/delay").json()
    assert set(answer) == {"name", "versions", "platform", "inputs", "outputs"}
    assert (answer["name"], answer["versions"]) == ("delay", ["2"])
    assert {each["name"]: each["datatype"] for each in answer["inputs"]} == {
        **DATATYPES,
        "temp": "FP64",
    }
    assert answer["outputs"] == [{"name": "predict", "datatype": "FP64", "shape": [-1, 1]}]
    assert client.get("/v2/models/delay/versions/2").json() == answer


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("class", {"predict": ("BYTES", 1), "predict_proba": ("FP64", 2)}),
        ("outlier", {"predict": ("INT64", 1), "score": ("FP64", 1)}),
    ],
)
def test_metadata_is_kept(
    reference: str, expected: dict[str, tuple[str, int]], online: "Serve"
) -> None:
    """Given a model of another task: inference gives the tensors that its metadata names."""
    client = online(reference).client
    told = client.get(f"/v2/models/{reference}").json()["outputs"]
    body = matrix([2, 2], [1, 1, 0, 2])
    given = client.post(f"/v2/models/{reference}/infer", json=body).json()["outputs"]
    assert {each["name"]: (each["datatype"], each["shape"][1]) for each in told} == expected
    assert {each["name"]: (each["datatype"], each["shape"][1]) for each in given} == expected
    assert all(len(each["data"]) == 2 * each["shape"][1] for each in given)


# Inference


@pytest.mark.parametrize("path", ["/v2/models/delay/infer", "/v2/models/delay/versions/1/infer"])
def test_inference(path: str, online: "Serve") -> None:
    """Given a tensor for each feature: the answer names model and version, and is the events'."""
    served = online("delay:1")
    answer = served.client.post(path, json={"id": "42", "inputs": tensors()})
    assert answer.headers["content-type"] == "application/json"
    expected = [each["prediction"] for each in predictions(served.desk.model, events())]
    assert answer.json() == {
        "model_name": "delay",
        "model_version": "1",
        "id": "42",
        "outputs": [{"name": "predict", "datatype": "FP64", "shape": [3, 1], "data": expected}],
    }


def test_no_id_is_answered_with_none(online: "Serve") -> None:
    """Given a request without an id: the answer has none either."""
    answer = online("delay:1").client.post("/v2/models/delay/infer", json={"inputs": tensors()})
    assert set(answer.json()) == {"model_name", "model_version", "outputs"}


def test_all_representations_of_a_tensor(online: "Serve") -> None:
    """Given [[1, 2], [4, 5]] nested, flat, or by columns in any order: one and the same answer."""
    served = online("line")
    by_columns = [
        {"name": "hour", "shape": [2, 1], "datatype": "UINT8", "data": [[7], [19]]},
        {"name": "distance", "shape": [2], "datatype": "FP32", "data": [500, 2475.0]},
    ]
    bodies = [
        matrix([2, 2], MATRIX),
        matrix([2, 2], [*MATRIX[0], *MATRIX[1]]),
        {"inputs": by_columns},
    ]
    answers = [served.client.post("/v2/models/line/infer", json=body) for body in bodies]
    given = [json.dumps({"distance": d, "hour": h}).encode() for d, h in MATRIX]
    expected = [each["prediction"] for each in predictions(served.desk.model, given)]
    assert [each.json()["outputs"][0]["data"] for each in answers] == [expected] * 3


def test_outputs_are_selected(online: "Serve") -> None:
    """Given outputs in the request: these alone are given; by default all that there are."""
    served = online("class")
    body = matrix([1, 2], [0.5, 0.25])
    every = served.client.post("/v2/models/class/infer", json=body).json()["outputs"]
    asked = {**body, "outputs": [{"name": "predict_proba"}]}
    some = served.client.post("/v2/models/class/infer", json=asked).json()["outputs"]
    assert [each["name"] for each in every] == ["predict", "predict_proba"]
    assert some == every[1:]
    event = b'{"distance": 0.5, "hour": 0.25}'
    (expected,) = predictions(served.desk.model, [event])
    assert every[0]["data"] == [expected["prediction"]]
    assert every[1]["data"] == list(expected["probabilities"].values())


def test_no_rows(online: "Serve") -> None:
    """Given tensors of no rows: outputs of no rows."""
    answer = online("line").client.post("/v2/models/line/infer", json=matrix([0, 2], []))
    assert answer.json()["outputs"] == [
        {"name": "predict", "datatype": "FP64", "shape": [0, 1], "data": []}
    ]


# Errors


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"{", "the body is not JSON"),
        (json.dumps({"inputs": tensors("hour")}).encode(), "the input 'distance' is missing"),
        (json.dumps({"inputs": tensors(), "outputs": [{"name": "x"}]}).encode(), "no output 'x'"),
        (json.dumps(matrix([1, 5], [1, 2, 3, 4, 5])).encode(), "the input 'x' is FP64, and 'orig"),
    ],
)
def test_a_request_that_cannot_be_read(body: bytes, complaint: str, online: "Serve") -> None:
    """Given a request that is none: 400, and `error` says what is wrong and how to mend it."""
    answer = online("delay:1").client.post(
        "/v2/models/delay/infer", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]


def test_a_bad_row_refuses_the_request(online: "Serve") -> None:
    """Given rows that the model does not accept: 422; the first is named with its input."""
    inputs = tensors()
    inputs[1]["data"] = [7, None, 7.5]
    inputs[1]["datatype"] = "FP64"
    answer = online("delay:1").client.post("/v2/models/delay/infer", json={"inputs": inputs})
    assert answer.status_code == 422
    said = answer.json()["error"]
    assert said.startswith("row 1: the input 'hour' is null")
    assert said.endswith("(1 more rows are refused)")


@pytest.mark.parametrize(
    "path", ["/v2/models/other", "/v2/models/delay/versions/9", "/v2/models/delay/versions/01"]
)
def test_another_model_is_not_served(path: str, online: "Serve") -> None:
    """Given the name or version of another model: 404, and the message says what is served."""
    client = online("delay:1").client
    answers = [client.get(path), client.get(f"{path}/ready")]
    answers.append(client.post(f"{path}/infer", json={"inputs": tensors()}))
    assert [answer.status_code for answer in answers] == [404] * 3
    assert all("'delay' in version '1'" in answer.json()["error"] for answer in answers)


def test_a_version_that_is_asked_for_is_the_one_that_answers(online: "Serve") -> None:
    """Given a newer version that comes into use meanwhile: 404 rather than its answer."""
    served = online("delay:1")
    newer = online("delay:2").desk.model
    served.desk.next = newer
    body = {"inputs": tensors()}
    answer = served.client.post("/v2/models/delay/versions/1/infer", json=body)
    assert answer.status_code == 404
    assert "version '2'" in answer.json()["error"]
    unnamed = served.client.post("/v2/models/delay/infer", json=body)
    assert unnamed.json()["model_version"] == "2"


def test_binary_tensor_data_is_refused(online: "Serve") -> None:
    """Given a request with the extension for binary data: a message that names it."""
    client = online("delay:1").client
    headers = {"inference-header-content-length": "10", "content-type": "application/octet-stream"}
    answer = client.post("/v2/models/delay/infer", content=b"{}\0\0", headers=headers)
    assert answer.status_code == 400
    assert "binary tensor data is not offered" in answer.json()["error"]
    body = {"inputs": tensors(), "parameters": {"binary_data_output": True}}
    answer = client.post("/v2/models/delay/infer", json=body)
    assert answer.status_code == 400
    assert "binary tensor data is not offered" in answer.json()["error"]


def test_a_message_is_short(online: "Serve") -> None:
    """Given a name that goes on and on: the message ends before it does."""
    inputs = [{**tensors("hour")[0], "name": "x" * 100_000}]
    answer = online("delay:1").client.post("/v2/models/delay/infer", json={"inputs": inputs})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("the model has no input 'xxx")
    assert len(answer.content) < 3_000


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/json; charset=latin-1"])
def test_other_content_types_are_refused(content_type: str, online: "Serve") -> None:
    """Given a body that is not JSON in UTF-8 by its own word: 415."""
    answer = online("delay:1").client.post(
        "/v2/models/delay/infer", content=b"{}", headers={"content-type": content_type}
    )
    assert answer.status_code == 415
    assert "application/json" in answer.json()["error"]
