"""MLflow's scoring server, as its clients know it: bodies, answers, probes."""

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving.local_desk import score

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.serving.conftest import Online

    Serve = Callable[[str], Online]

COLUMNS = ["distance", "hour", "origin", "late", "temp"]
ROWS: list[list[Any]] = [[500.0, 7, "JFK", True, 12.5], [2475.0, 19, "EWR", False, None]]
RECORDS = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]
CSV = "distance,hour,origin,late,temp\n500.0,7,JFK,True,12.5\n2475.0,19,EWR,False,\n"
SHAPES: dict[str, Any] = {
    "dataframe_split": {"columns": COLUMNS, "data": ROWS},
    "dataframe_records": RECORDS,
    "instances": RECORDS,
    "inputs": {name: [record[name] for record in RECORDS] for name in COLUMNS},
}


def expected(served: "Online") -> list[Any]:
    """What the same rows get as events."""
    events = [
        json.dumps({**record, "weather": {"temp": record["temp"]}}).encode() for record in RECORDS
    ]
    results = score(served.desk.model, events).results
    return [json.loads(each)["prediction"] for each in results if isinstance(each, bytes)]


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_is_answered(shape: str, online: "Serve") -> None:
    """Given rows in one of the four shapes: the predictions of the events, and nothing else."""
    served = online("delay:1")
    answer = served.client.post("/invocations", json={shape: SHAPES[shape]})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {"predictions": expected(served)}
    assert answer.headers["model-version"] == "delay:1"


@pytest.mark.parametrize("content_type", ["text/csv", "text/csv; charset=UTF-8"])
def test_csv_is_answered(content_type: str, online: "Serve") -> None:
    """Given the rows as `DataFrame.to_csv(index=False)` writes them: the same answer."""
    served = online("delay:1")
    answer = served.client.post(
        "/invocations", content=CSV.encode(), headers={"content-type": content_type}
    )
    assert answer.json() == {"predictions": expected(served)}


def test_a_classifier_gives_its_labels(online: "Serve") -> None:
    """Given a classifier: `predictions` are what `predict` returns."""
    answer = online("class").client.post("/invocations", json={"instances": [[1.0, 1.0]]})
    assert answer.json() == {"predictions": ["late"]}


@pytest.mark.parametrize(
    ("content_type", "body", "status", "complaint"),
    [
        ("application/json", b"{}", 400, "give exactly one of"),
        ("application/json", b'{"instances": [[NaN]]}', 400, "NaN and Infinity are no JSON"),
        ("application/json", b'{"instances": [[1]]}', 400, "row 0 of instances has 1 values"),
        ("application/json", b'{"inputs": {"hour": [1]}}', 422, "row 0: the column 'distance'"),
        ("text/csv", b"", 400, "the body is empty"),
        ("text/csv", CSV.replace("7", "x").encode(), 422, "row 0: the column 'hour' must be"),
        ("text/plain", b"{}", 415, "application/json or text/csv"),
        ("", b"{}", 415, "application/json or text/csv"),
        ("application/json; charset=utf-16", b"{}", 415, "in UTF-8"),
        ("application/json; format=pandas-split", b"{}", 415, "application/json or"),
        ("application/vnd.apache.parquet", b"PAR1", 415, "application/json or text/csv"),
    ],
)
def test_what_is_refused(
    content_type: str, body: bytes, status: int, complaint: str, online: "Serve"
) -> None:
    """Given a body that is none, or a row that the model does not accept: which, and why."""
    answer = online("delay:1").client.post(
        "/invocations", content=body, headers={"content-type": content_type}
    )
    assert answer.status_code == status
    assert complaint in answer.json()["error"]


def test_probes(online: "Serve") -> None:
    """Given a server that is ready, then one that is not: 200, then 503; its version in between."""
    served = online("delay:1")
    for path in ("/ping", "/health"):
        assert (served.client.get(path).status_code, served.client.get(path).text) == (200, "\n")
    assert served.client.get("/version").text
    served.desk.ready = False
    assert [served.client.get(path).status_code for path in ("/ping", "/health")] == [503, 503]
