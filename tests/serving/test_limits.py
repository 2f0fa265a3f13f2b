"""What a client cannot do to the service: send too much, too slowly, or what is no HTTP."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from tests.serving.conftest import Started

DEADLINE_S = 30.0
EVENT = {"distance": 500.0, "hour": 7, "origin": "JFK", "late": True, "weather": {"temp": 12.5}}
BODY = json.dumps(EVENT).encode()


@pytest.fixture(scope="module")
def tight(start_serving: Callable[..., Any]) -> Iterator["Started"]:
    """A service with little room and short deadlines."""
    settings = {
        "MAX_BODY_BYTES": "20000",
        "MAX_HEADER_BYTES": "4000",
        "MAX_ROWS": "50",
        "READ_TIMEOUT_S": "0.5",
        "KEEP_ALIVE_S": "1",
        "MAX_CONNECTIONS": "40",
    }
    with start_serving(
        *("--model", "delay:1"),
        **{f"STREAMSCORE_SERVING__{name}": value for name, value in settings.items()},
    ) as started:
        yield started


def connected(to: "Started") -> closing[socket.socket]:
    where = urlsplit(to.url)
    return closing(socket.create_connection((where.hostname, where.port), timeout=DEADLINE_S))


def post(body: bytes = BODY, *headers: str, path: str = "/predict") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def received(connection: socket.socket) -> bytes:
    """All that comes until the service closes the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def problem(answer: bytes) -> dict[str, Any]:
    """The problem that an answer with one holds."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    found: dict[str, Any] = json.loads(body)
    assert head.startswith(f"HTTP/1.1 {found['status']} ".encode())
    return found


def test_a_body_that_is_too_large(tight: "Started") -> None:
    """Given a length beyond the limit, then 413 comes before the body does, and says the limit."""
    with connected(tight) as connection:
        connection.sendall(
            post(b"", "x: y").replace(b"content-length: 0", b"content-length: 20001")
        )
        found = problem(received(connection))
    assert (found["status"], "20,000 bytes" in found["detail"]) == (413, True)


def test_a_body_that_grows_too_large(tight: "Started") -> None:
    """Given a body in chunks without a length, then it is refused while it comes."""
    chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    with connected(tight) as connection:
        connection.sendall(head + chunk * 5)
        assert problem(received(connection))["status"] == 413


def test_too_many_rows(tight: "Started") -> None:
    """Given more events than a request may have, then none is scored, and the limit is said."""
    assert tight.client.post("/predict", json=[EVENT] * 50).status_code == 200
    answer = tight.client.post("/predict", json=[EVENT] * 51)
    assert (answer.status_code, answer.json()["error"]) == (
        413,
        "51 events; a request has 50 at most",
    )


@pytest.mark.parametrize(
    "headers",
    [["x: " + "y" * 4000], [f"x-{number}: y" for number in range(500)], ["x: " + "y" * 100_000]],
)
def test_headers_that_are_too_large(tight: "Started", headers: list[str]) -> None:
    """Given headers beyond the limit, in one or in many, then 431, and the connection ends."""
    with connected(tight) as connection:
        connection.sendall(post(BODY, *headers))
        assert problem(received(connection))["status"] == 431


@pytest.mark.parametrize("sent", [b"", b"POST /pre", post()[:-200], post()[:-1]])
def test_a_request_that_does_not_come(tight: "Started", sent: bytes) -> None:
    """Given a client that stops half way, then it is told so and cut off, at its deadline."""
    with connected(tight) as connection:
        connection.sendall(sent)
        assert problem(received(connection))["status"] == 408


def test_a_request_that_drips(tight: "Started") -> None:
    """Given a byte now and then, then the deadline is that of the whole request."""
    with connected(tight) as connection:
        connection.settimeout(0.2)
        deadline = time.monotonic() + DEADLINE_S
        answer, left = b"", post(BODY * 20)
        while not answer.endswith(b"}"):
            assert time.monotonic() < deadline
            connection.sendall(left[:1])
            left = left[1:]
            try:
                answer += connection.recv(4096)
            except TimeoutError:
                continue
        assert problem(answer)["status"] == 408


def test_an_idle_connection_is_kept_and_then_closed(tight: "Started") -> None:
    """Given no second request, then the connection ends after its time, without a word."""
    with connected(tight) as connection:
        connection.sendall(post())
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1") == 1


def test_an_answer_that_is_not_read(tight: "Started") -> None:
    """Given a client that asks on and reads nothing, then it is cut off; others are answered."""
    with connected(tight) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(1)
        deadline = time.monotonic() + DEADLINE_S
        left = many = post(json.dumps([EVENT] * 50).encode()) * 20
        cut_off = False
        while not cut_off and time.monotonic() < deadline:
            try:
                left = left[connection.send(left) :] or many
            except TimeoutError:  # both buffers are full
                continue
            except OSError:
                cut_off = True
    assert cut_off
    assert tight.client.post("/predict", json=EVENT).status_code == 200


def test_too_many_connections(tight: "Started") -> None:
    """Given more connections than may be, then those beyond get a 503; later there is room."""
    with ExitStack() as held:
        connections = [held.enter_context(connected(tight)) for _ in range(60)]
        statuses = [problem(received(each))["status"] for each in connections]
    # The first ones were let in, and then came with no request for too long.
    assert set(statuses) == {408, 503}
    assert statuses.count(503) >= 20
    answer = tight.client.post("/predict", json=EVENT)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: one\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nho st: x\r\n\r\n",
    ],
)
def test_what_is_no_http(tight: "Started", sent: bytes) -> None:
    """Given bytes that are no request, then 400 as a problem, and the connection ends."""
    with connected(tight) as connection:
        connection.sendall(sent)
        assert problem(received(connection))["status"] == 400


def test_requests_one_behind_the_other(tight: "Started") -> None:
    """Given several requests at once on a connection, then each is answered, in their order."""
    events = [{**EVENT, "id": f"e{number}"} for number in range(8)]
    with connected(tight) as connection:
        connection.sendall(b"".join(post(json.dumps(event).encode()) for event in events))
        answer = received(connection)
    found = [answer.index(f'"id":"e{number}"'.encode()) for number in range(8)]
    assert found == sorted(found)
    assert answer.count(b"HTTP/1.1 200 OK") == 8


def test_a_client_that_waits_to_be_told_to_go_on(tight: "Started") -> None:
    """Given `Expect: 100-continue`, then the body is asked for, and the event answered."""
    with connected(tight) as connection:
        connection.sendall(post(BODY, "expect: 100-continue")[: -len(BODY)])
        first = connection.recv(100)
        connection.sendall(BODY)
        rest = received(connection)
    assert first.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert b"HTTP/1.1 200 OK" in first + rest
