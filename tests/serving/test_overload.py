"""A model that is too slow, hangs or fails: the service goes on, says so, ends when told."""

import json
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.serving.strange_service import FAIL, HANG, NOT_FINITE, RAISE, SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.serving.conftest import Started

    Start = Callable[..., Started]

EVENT = {"id": "F1", "distance": 500.0, "hour": 7, "origin": "JFK", "late": True,
         "weather": {"temp": 12.5}}  # fmt: skip
DEADLINE_S = 30.0


def ask(service: "Started", distance: float = 500.0) -> httpx.Response:
    return service.client.post("/predict", json={**EVENT, "distance": distance})


def figure(service: "Started", name: str) -> float:
    lines = service.client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def wait_until(holds: "Callable[[], bool]", what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_more_clients_than_can_be_served(strange: "Start") -> None:
    """Ten times as many as the queue holds: 200, 503 or 504, and the queue within its bound.

    Other routes answer meanwhile, and once the crowd is gone everyone is served.
    """
    service = strange(0.2, queue_events=10, max_rows=10, max_batch=5, request_timeout_s=0.5)
    answers: list[httpx.Response] = []
    enough = threading.Event()

    def crowd(client: httpx.Client) -> None:
        while not enough.is_set():
            answers.append(client.post("/predict", json=EVENT))
            if answers[-1].status_code == 503:
                enough.wait(0.05)

    limits = httpx.Limits(max_connections=None)
    client = httpx.Client(base_url=service.url, trust_env=False, timeout=DEADLINE_S, limits=limits)
    queued = []
    with client, ThreadPoolExecutor(100) as pool:
        asking = [pool.submit(crowd, client) for _ in range(100)]
        wait_until(lambda: sum(a.status_code == 200 for a in answers) > 10, "some are served")
        for _ in range(5):
            assert service.client.get("/livez").status_code == 200
            queued.append(figure(service, "streamscore_http_queued_events "))
        enough.set()
        for each in asking:
            each.result()
    assert 0 < max(queued) <= 10
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses.keys() == {200, 503, 504}
    refused = [answer for answer in answers if answer.status_code == 503]
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert ask(service).status_code == 200


def test_requests_that_wait_are_scored_together(strange: "Start") -> None:
    """Asked at once while a batch is at work: they share the next one, and its version."""
    service = strange(0.3)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(ask, service)
        wait_until(lambda: figure(service, "streamscore_http_requests_in_flight ") >= 2, "it works")
        before = figure(service, "streamscore_http_batch_events_count")
        asked = [pool.submit(ask, service) for _ in range(8)]
        answers = [future.result() for future in (first, *asked)]
    assert {answer.status_code for answer in answers} == {200}
    batches = figure(service, "streamscore_http_batch_events_count") - before
    assert batches <= 3
    assert figure(service, "streamscore_http_batch_events_sum") >= 9


@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_a_model_that_fails(strange: "Start", seconds: float) -> None:
    """Its events are refused, alone; what is no event's fault is a 500 that tells nothing.

    The log has it by the request's id, without a payload.
    """
    service = strange(seconds)
    for distance, word in ((NOT_FINITE, "finite"), (RAISE, "ValueError")):
        answer = ask(service, distance)
        assert (answer.status_code, word in answer.text) == (422, True)
        assert "own words" not in answer.text
    events = [{**EVENT, "distance": d} for d in (500.0, RAISE, 501.0, NOT_FINITE)]
    listed = service.client.post("/predict", json=events).json()
    assert [each.get("status") for each in listed] == [None, 422, None, 422]
    answer = ask(service, FAIL)
    name = answer.headers["x-request-id"]
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert name in answer.json()["error"]
    assert not any(word in answer.text for word in (SECRET, "MemoryError", "Traceback"))
    (entry,) = service.entries("request_failed")
    assert entry["request"] == name
    assert "MemoryError" in json.dumps(entry)
    assert "JFK" not in service.log.read_text()
    assert ask(service).status_code == 200


def test_a_model_that_hangs(strange: "Start") -> None:
    """Its requests are told at their deadline; the service says that it lives, and ends in time."""
    service = strange(0.02, request_timeout_s=0.5, shutdown_timeout_s=1)
    answer = ask(service, HANG)
    assert (answer.status_code, "0.5 s" in answer.text) == (504, True)
    assert ask(service).status_code == 504
    assert service.client.get("/livez").status_code == 200
    assert figure(service, "streamscore_http_queued_events ") == 0
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(DEADLINE_S) == 0


def test_what_is_in_flight_is_answered_at_the_end(strange: "Start") -> None:
    """SIGTERM under load: each request that was taken gets its answer, and the status is 0."""
    service = strange(0.5)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, service) for _ in range(8)]
        wait_until(lambda: figure(service, "streamscore_http_requests_in_flight ") >= 9, "they are")
        service.process.send_signal(signal.SIGTERM)
        assert {future.result().status_code for future in asked} == {200}
    assert service.process.wait(DEADLINE_S) == 0
    assert [entry["reason"] for entry in service.entries("stopping")] == ["SIGTERM"]
    assert service.entries("service_stopped")


def test_a_second_signal_ends_it_at_once(strange: "Start") -> None:
    """Though a request is in flight that would take long."""
    service = strange(0.02, request_timeout_s=600, shutdown_timeout_s=600)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, service, HANG)
        wait_until(lambda: figure(service, "streamscore_http_requests_in_flight ") >= 2, "it hangs")
        service.process.send_signal(signal.SIGINT)
        wait_until(lambda: bool(service.entries("stopping")), "it is told")
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(DEADLINE_S) == 1
        with pytest.raises(httpx.TransportError):
            asked.result()


def test_memory_stays_flat(serve_with: "Start") -> None:
    """Given thousands of requests, good and bad, on many connections: it does not grow."""
    service = serve_with()
    status = Path(f"/proc/{service.process.pid}/status")

    def resident_kb() -> int:
        (line,) = [each for each in status.read_text().splitlines() if each.startswith("VmRSS")]
        return int(line.split()[1])

    def some(_: Any = None) -> None:
        with httpx.Client(base_url=service.url, trust_env=False, timeout=DEADLINE_S) as client:
            for number in range(100):
                client.post("/predict", json={**EVENT, "hour": number % 30 or None})
                client.get(f"/nope/{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(some, range(4)))
        before = resident_kb()
        list(pool.map(some, range(8)))
    assert resident_kb() - before < 8_000
