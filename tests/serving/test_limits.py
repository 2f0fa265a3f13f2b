"""What one client can do to the service: too much, too slowly, or no HTTP at all."""

import contextlib
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.serving.conftest import Started

    Start = Callable[..., Started]
    Raw = Callable[[], socket.socket]

EVENT = b'{"id":"F1","distance":500.5,"hour":7,"origin":"JFK","late":true,"weather":{"temp":12.5}}'
HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
SIZED = HEAD + b"content-length: %d\r\n\r\n" % len(EVENT)
LIVE = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
DEADLINE_S = 20.0
BODY, ROWS, HEADERS, CONNECTIONS = 20_000, 50, 4_000, 40


@pytest.fixture(scope="module")
def limited(task_store: Any, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Started]":
    """A service with small limits; one for all tests of this file that only ask it."""
    from tests.conftest import CommandLine  # noqa: PLC0415 - it is no fixture
    from tests.serving.conftest import started  # noqa: PLC0415 - as above

    command_line = CommandLine(tmp_path_factory.mktemp("limited"))
    settings = {
        "MAX_BODY_BYTES": BODY,
        "MAX_ROWS": ROWS,
        "MAX_HEADER_BYTES": HEADERS,
        "MAX_CONNECTIONS": CONNECTIONS,
        "READ_TIMEOUT_S": 1,
        "KEEP_ALIVE_S": 2,
    }
    env = {f"STREAMSCORE_SERVING__{name}": str(value) for name, value in settings.items()}
    with started(
        command_line.start, task_store, "serve", "--model", "delay:1", settings=env
    ) as service:
        yield service
        command_line.stop()


@pytest.fixture
def raw(limited: "Started") -> "Iterator[Raw]":
    """Opens connections to it."""
    with contextlib.ExitStack() as opened:

        def connect() -> socket.socket:
            to = socket.create_connection(("127.0.0.1", limited.port), DEADLINE_S)
            return opened.enter_context(to)

        yield connect


def read(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, f"closed after {head!r}"
        head += byte
    first, *lines = head.decode().split("\r\n")[:-2]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = b""
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(int(headers["content-length"]) - len(body))
    return int(first.split()[1]), headers, body


def refused(connection: socket.socket, status: int) -> str:
    """Require a problem, and that the connection ends; its text."""
    found, headers, body = read(connection)
    assert (found, headers["content-type"]) == (status, "application/problem+json"), body
    assert headers["connection"] == "close"
    require_end(connection)
    told = json.loads(body)
    assert told["status"] == status
    return str(told["detail"])


def require_end(connection: socket.socket) -> None:
    with contextlib.suppress(ConnectionResetError):
        assert connection.recv(1) == b""


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def test_a_large_body_is_refused_by_its_length(raw: "Raw") -> None:
    """413 before any of it is read: nobody has to send it."""
    connection = raw()
    connection.sendall(HEAD + b"expect: 100-continue\r\ncontent-length: 20001\r\n\r\n")
    assert "20,000 bytes" in refused(connection, 413)


def test_a_large_body_is_refused_while_it_streams(raw: "Raw") -> None:
    """413 as soon as it is too large, though it never ends; also where it comes all at once."""
    connection = raw()
    connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
    for _ in range(3):
        connection.sendall(chunked(b" " * 7_000))
    assert "20,000 bytes" in refused(connection, 413)
    connection = raw()
    connection.sendall(
        HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked(b" " * 20_001) + b"0\r\n\r\n"
    )
    assert "20,000 bytes" in refused(connection, 413)


def test_a_client_that_sends_all_before_it_reads_gets_its_413(limited: "Started") -> None:
    """Given a body far too large from a plain client: the answer arrives all the same."""
    for _ in range(5):
        answer = limited.client.post(
            "/predict", content=b" " * 3_000_000, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 413


def test_a_body_in_the_smallest_chunks_is_read(raw: "Raw") -> None:
    """Its limit is the body's own, not that of what is around it."""
    connection = raw()
    body = b"[" + b",".join([EVENT] * 50) + b"]"
    small = chunked(*(body[at : at + 1] for at in range(len(body))))
    connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n" + small + b"0\r\n\r\n")
    status, _, answer = read(connection)
    assert (status, len(json.loads(answer))) == (200, 50)


def test_trailers_without_end_are_refused(raw: "Raw") -> None:
    """They are headers: the connection ends before they fill the memory."""
    connection = raw()
    connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked(EVENT) + b"0\r\n")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(100):
            connection.sendall(b"x: " + b"y" * 10_000 + b"\r\n")
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65_536):
            pass


def test_too_many_rows_are_refused(limited: "Started") -> None:
    """413 with the limit, by /predict and by a protocol."""
    rows = [json.loads(EVENT)] * (ROWS + 1)
    answer = limited.client.post("/predict", json=rows)
    assert (answer.status_code, "50 at most" in answer.text) == (413, True)
    flat = [{**row, "temp": 1.5} for row in rows]
    answer = limited.client.post("/invocations", json={"dataframe_records": flat})
    assert answer.status_code == 413
    assert limited.client.post("/predict", json=rows[:ROWS]).status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        LIVE[:-2] + b"x: " + b"y" * 5_000 + b"\r\n\r\n",
        LIVE[:-2] + b"x: y\r\n" * 1_000 + b"\r\n",
        LIVE[:-2] + b"x: " + b"y" * 100_000,  # and it does not end
        b"GET /" + b"y" * 5_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /" + b"y" * 100_000,
    ],
    ids=["long", "many", "endless", "url", "endless url"],
)
def test_large_headers_are_refused(raw: "Raw", head: bytes) -> None:
    """431, also where they never end."""
    connection = raw()
    connection.sendall(head)
    assert "4000 bytes" in refused(connection, 431)


@pytest.mark.parametrize("begun", [b"", b"POST /predict HT", SIZED, SIZED + EVENT[:20]])
def test_slow_requests_are_cut_off(raw: "Raw", begun: bytes) -> None:
    """408 where a request does not come, whole, in time; a byte now and then does not help."""
    connection = raw()
    connection.sendall(begun)
    connection.settimeout(0.2)
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            if connection.recv(1, socket.MSG_PEEK):
                break
        except TimeoutError:
            connection.sendall(b" " if begun.startswith(SIZED) else b"")
    connection.settimeout(DEADLINE_S)
    assert "within 1 s" in refused(connection, 408)


def test_half_a_request_behind_a_whole_one_is_cut_off(raw: "Raw") -> None:
    """A client does not get around the deadline by asking something before."""
    connection = raw()
    connection.sendall(SIZED + EVENT + SIZED[:30])
    assert read(connection)[0] == 200
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65_536):
            pass


def test_a_client_that_does_not_read_is_cut_off(limited: "Started", raw: "Raw") -> None:
    """Its answers do not pile up: the connection ends."""
    connection = raw()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    rows = b"[" + b",".join([EVENT] * ROWS) + b"]"
    many = (HEAD + b"content-length: %d\r\n\r\n" % len(rows) + rows) * 10
    connection.settimeout(0.2)
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            connection.send(many)
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            break
    else:
        pytest.fail("it is never cut off")
    assert limited.client.get("/livez").status_code == 200


def test_idle_connections_are_closed(raw: "Raw") -> None:
    """After the keep-alive time; until then they serve one request after the other."""
    connection = raw()
    for _ in range(3):
        connection.sendall(LIVE)
        assert read(connection)[0] == 200
    require_end(connection)


def test_too_many_connections_are_refused(limited: "Started", raw: "Raw") -> None:
    """503 and Retry-After for those beyond the limit; the others are served."""
    crowd = [raw() for _ in range(CONNECTIONS + 10)]
    for connection in crowd:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(LIVE)
    statuses = []
    for connection in crowd:
        with contextlib.suppress(ConnectionResetError, AssertionError):
            status, headers, _ = read(connection)
            assert status == 200 or headers["retry-after"] == "1"
            statuses.append(status)
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= CONNECTIONS - 5  # other tests' connections may be open yet
    for connection in crowd:
        connection.close()
    deadline = time.monotonic() + DEADLINE_S
    while True:
        with contextlib.suppress(httpx.TransportError):
            if limited.client.get("/livez").status_code == 200:
                break
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_pipelined_requests_are_answered_in_order(raw: "Raw") -> None:
    """Sent without waiting for answers: each gets its own."""
    connection = raw()
    events = [EVENT.replace(b"F1", b"F%d" % number) for number in range(10, 40)]
    requests = [HEAD + b"content-length: %d\r\n\r\n%b" % (len(e), e) for e in events]
    connection.sendall(b"".join(requests))
    answers = [read(connection) for _ in events]
    assert {status for status, _, _ in answers} == {200}
    assert [json.loads(body)["id"] for _, _, body in answers] == [f"F{n}" for n in range(10, 40)]


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 3,  # TLS
        b"GET /livez HTTP/9.9\r\nhost: x\r\n\r\n",
        HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\n",
        HEAD + b"content-length: -5\r\n\r\n",
        HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        LIVE[:-2] + b"a b: c\r\n\r\n",
        LIVE[:-2] + b"x: a\x00b\r\n\r\n",
    ],
    ids=["text", "TLS", "version", "two lengths", "negative", "smuggling", "chunk", "name", "NUL"],
)
def test_what_is_no_http_is_refused(raw: "Raw", sent: bytes) -> None:
    """400 as a problem."""
    connection = raw()
    connection.sendall(sent)
    assert refused(connection, 400)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"OPTIONS * HTTP/1.1", 404),
        (b"CONNECT x:443 HTTP/1.1", 400),
        (b"GET //predict HTTP/1.1", 404),
        (b"GET /../predict HTTP/1.1", 404),
        (b"GET http://x/livez HTTP/1.1", 200),
        (b"GET /livez?x=%ff%00 HTTP/1.1", 200),
        (b"GET /%ff%fe HTTP/1.1", 404),
    ],
)
def test_unusual_targets(raw: "Raw", request_line: bytes, status: int) -> None:
    """Each is answered; none is redirected, or taken for another path."""
    connection = raw()
    connection.sendall(request_line + b"\r\nhost: x\r\n\r\n")
    assert read(connection)[0] == status


def test_a_client_that_asks_first_is_told_to_go_on(raw: "Raw") -> None:
    """`Expect: 100-continue`: the body is asked for, then answered."""
    connection = raw()
    connection.sendall(SIZED[:-2] + b"expect: 100-continue\r\n\r\n")
    assert read(connection)[0] == 100
    connection.sendall(EVENT)
    assert read(connection)[0] == 200


def test_http_1_0_and_a_client_that_closes(raw: "Raw") -> None:
    """Answered, and the connection ends as they say."""
    for head in (b"GET /livez HTTP/1.0\r\n\r\n", LIVE[:-2] + b"connection: close\r\n\r\n"):
        connection = raw()
        connection.sendall(head)
        assert read(connection)[0] == 200
        require_end(connection)


def test_no_client_makes_a_traceback(limited: "Started") -> None:
    """After all of the above: nothing went wrong in the service, and it answers."""
    assert limited.client.get("/livez").status_code == 200
    assert "Traceback" not in limited.log.read_text()
