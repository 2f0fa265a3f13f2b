"""A bad row refuses its own request: whoever asks at the same time does not notice."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.serving.conftest import Started

GOOD = {"distance": 500.0, "hour": 7, "origin": "JFK", "late": True, "temp": 12.5}
BAD = {**GOOD, "hour": None}
DATATYPES = {"distance": "FP64", "hour": "INT64", "origin": "BYTES", "late": "BOOL", "temp": "FP64"}
REQUESTS = 600
CLIENTS = 16


def test_bad_rows_touch_no_neighbour(serving: "Callable[[str], Started]") -> None:
    """Given bad rows by every protocol among many good ones: exactly the bad are refused.

    They wait together and are scored together.
    """
    client = serving("delay:1").client
    (expected,) = _ask(client, 1).json()["predictions"]

    def ask(number: int) -> tuple[int, int, Any]:
        answer = _ask(client, number)
        return number, answer.status_code, answer.json()

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(ask, range(REQUESTS)))
    for number, status, body in answers:
        if _is_bad(number):
            assert status == 422, body
            assert "null" in body["error"]
        else:
            assert status == 200, body
            assert json.dumps(expected) in json.dumps(body)


def _is_bad(number: int) -> bool:
    return number % 10 in {0, 5, 7}


def _ask(client: "httpx.Client", number: int) -> "httpx.Response":
    """By /predict, /invocations or V2 in turn."""
    row: dict[str, Any] = BAD if _is_bad(number) else GOOD
    if number % 3 == 0:
        return client.post("/predict", json={**row, "weather": {"temp": 12.5}})
    if number % 3 == 1:
        return client.post("/invocations", json={"dataframe_records": [row]})
    inputs = [
        {"name": name, "shape": [1], "datatype": DATATYPES[name], "data": [value]}
        for name, value in row.items()
    ]
    return client.post("/v2/models/delay/infer", json={"inputs": inputs})
