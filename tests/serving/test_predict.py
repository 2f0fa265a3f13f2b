"""POST /predict of the real service: one event, lists, and all that can be wrong with them."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from model.bundle import Model
    from tests.serving.conftest import Started

    Serve = Callable[[str], Started]

TEXTS = {
    "id": '"F1"',
    "distance": "500.5",
    "hour": "7",
    "origin": '"JFK"',
    "late": "true",
    "weather": '{"temp":12.5}',
}
JSON = {"content-type": "application/json"}
GOODS = 640
BADS = 20


def event(**texts: str | None) -> bytes:
    """Give a good event with other JSON texts for some fields; None leaves a field out."""
    members = [f'"{key}":{text}' for key, text in {**TEXTS, **texts}.items() if text is not None]
    return ("{" + ",".join(members) + "}").encode()


GOOD = event()

# what it is, the event, its status, and a word that the message must have
BAD: list[tuple[str, bytes, int, str]] = [
    ("nothing", b"", 400, "empty"),
    ("blanks", b" \n", 400, "empty"),
    ("NaN", event(distance="NaN"), 400, "byte"),
    ("Infinity", event(distance="-Infinity"), 400, "byte"),
    ("byte order mark", b"\xef\xbb\xbf" + GOOD, 400, "byte order mark"),
    ("UTF-16", GOOD.decode().encode("utf-16"), 400, "UTF-8"),
    ("Latin-1", event(origin='"é"').decode().encode("latin-1"), 400, "UTF-8"),
    ("trailing text", GOOD + b"x", 400, "byte"),
    ("two events", GOOD + GOOD, 400, "byte"),
    ("comment", b"/* so */" + GOOD, 400, "byte"),
    ("cut off", GOOD[:-4], 400, "end of data"),
    ("too deep", event(x="[" * 2000 + "]" * 2000), 400, "deep"),
    ("list without an end", b"[" + GOOD, 400, "list"),
    ("list with trailing text", b"[" + GOOD + b"]x", 400, "list"),
    ("deepest list", b"[" * 200_000, 400, "list"),
    ("lone surrogate", event(origin=r'"\ud800"'), 400, "surrogate"),
    ("null", b"null", 400, "object"),
    ("number", b"17", 400, "object"),
    ("text", b'"flight"', 400, "object"),
    ("1e400", event(distance="1e400"), 422, "distance"),
    ("400 digits", event(hour="9" * 400), 422, "hour"),
    ("2^64", event(hour=str(2**64)), 422, "hour"),
    ("fraction", event(hour="7.5"), 422, "hour"),
    ("bool for a number", event(distance="true"), 422, "distance"),
    ("number for a bool", event(late="1"), 422, "late"),
    ("text for a number", event(distance='"far"'), 422, "distance"),
    ("null", event(origin="null"), 422, "origin"),
    ("missing", event(hour=None), 422, "hour"),
    ("missing inside", event(weather="{}"), 422, "weather.temp"),
    ("no object", event(weather="3"), 422, "weather"),
    ("unknown category", event(origin='"XXX"'), 422, "the model raised"),
]


def predict(client: "httpx.Client", body: bytes, headers: dict[str, str] = JSON) -> Any:
    return client.post("/predict", content=body, headers=headers)


@pytest.fixture
def client(serving: "Serve") -> "httpx.Client":
    return serving("delay:1").client


def test_a_prediction_is_that_of_the_python_api(client: "httpx.Client", load: Any) -> None:
    """Given events in a list and one by one: the same numbers, to the bit, and the contract."""
    delay: Model = load("delay:1")
    events = [
        {"id": f"F{n}", "distance": 80.1 * n, "hour": n % 24, "origin": ("EWR", "JFK")[n % 2],
         "late": n % 2 == 0, "weather": {"temp": None if n % 5 == 0 else n / 7}}
        for n in range(1, 60)
    ]  # fmt: skip
    frame = pd.DataFrame([{**event, "temp": event["weather"]["temp"]} for event in events])  # type: ignore[index]
    expected = delay.score(frame)["prediction"].tolist()
    answers = predict(client, json.dumps(events).encode()).json()
    assert [answer["prediction"] for answer in answers] == expected
    assert [answer["id"] for answer in answers] == [event["id"] for event in events]
    alone = [predict(client, json.dumps(event).encode()).json() for event in events]
    assert [answer["prediction"] for answer in alone] == expected
    assert {(answer["model"], answer["version"]) for answer in answers} == {("delay", "1")}
    assert [answer["source"]["index"] for answer in answers] == list(range(len(events)))
    assert set(alone[0]) == {"id", "prediction", "model", "version", "source", "scored_at"}


@pytest.mark.parametrize(("body", "status", "word"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_event_is_refused(
    client: "httpx.Client", body: bytes, status: int, word: str
) -> None:
    """Each has its status, and a message that says what is wrong, and where."""
    answer = predict(client, body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert word in told["detail"]
    assert told["error"] == told["detail"]
    assert told["status"] == status


def test_bad_events_answer_in_their_places(client: "httpx.Client") -> None:
    """Given a list with every readable bad event among good ones: each answers in its place."""
    bad = [(body, status, word) for name, body, status, word in BAD if _is_json(body)]
    assert len(bad) > 12
    parts = [part for body, _, _ in bad for part in (body, GOOD)]
    answer = predict(client, b" [" + b" ,\n".join(parts) + b"]\n")
    assert answer.status_code == 200
    told = answer.json()
    assert len(told) == len(parts)
    for (_, status, word), refused in zip(bad, told[::2], strict=True):
        assert refused["status"] == status, refused
        assert word in refused["detail"]
    right = predict(client, GOOD).json()["prediction"]
    assert {good["prediction"] for good in told[1::2]} == {right}
    assert [good["source"]["index"] for good in told[1::2]] == list(range(1, len(parts), 2))


def _is_json(body: bytes) -> bool:
    try:
        found = json.loads(body.decode(), parse_constant=lambda _: 1 / 0)
        json.dumps(found, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (ValueError, ZeroDivisionError, RecursionError):
        return False
    return len(body) < 2_000 and not isinstance(found, list)


def test_an_empty_list_and_lists_of_lists(client: "httpx.Client") -> None:
    """No events, no answers; a list is no event."""
    assert predict(client, b"[ ]").json() == []
    (only,) = predict(client, b"[[]]").json()
    assert only["status"] == 400


def test_an_event_without_an_id_is_named_after_its_request(client: "httpx.Client") -> None:
    """The id is the request's, which the header X-Request-ID has, and the place in it."""
    answer = predict(client, b"[" + event(id=None) + b"," + event(id=None) + b"]")
    name = answer.headers["x-request-id"]
    assert [each["id"] for each in answer.json()] == [f"{name}/0", f"{name}/1"]
    assert [each["source"]["request"] for each in answer.json()] == [name, name]


def test_bad_events_touch_no_neighbour(client: "httpx.Client") -> None:
    """20 bad events among 640 good ones, asked at once: every good one is answered right."""
    distances = [100 + 7.25 * number for number in range(GOODS)]
    goods = [event(distance=str(distance)) for distance in distances]
    listed = predict(client, b"[" + b",".join(goods) + b"]").json()
    bads = [event(distance='"far"'), event(origin='"XXX"'), b"{", event(hour=None)]
    asked = list(goods)
    for number in range(BADS):
        asked.insert(number * GOODS // BADS, bads[number % len(bads)])
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda body: predict(client, body), asked))
    refused = [answer for answer, body in zip(answers, asked, strict=True) if body in bads]
    good = [answer for answer, body in zip(answers, asked, strict=True) if body not in bads]
    assert {answer.status_code for answer in refused} == {400, 422}
    assert {answer.status_code for answer in good} == {200}
    assert [a.json()["prediction"] for a in good] == [each["prediction"] for each in listed]
    names = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-ndjson", "application/json; charset=utf-16", "json"]
)
def test_other_content_types_are_refused(client: "httpx.Client", kind: str) -> None:
    """415, with what is taken."""
    answer = predict(client, GOOD, {"content-type": kind})
    assert (answer.status_code, "application/json" in answer.text) == (415, True)


@pytest.mark.parametrize("path", ["/predict", "/invocations"])
def test_a_compressed_body_is_refused(client: "httpx.Client", path: str) -> None:
    """415, and the header that says what is taken, rather than bytes that are no JSON."""
    answer = client.post(path, content=b"\x1f\x8b", headers={**JSON, "content-encoding": "gzip"})
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")


def test_json_in_utf_8_by_any_spelling(client: "httpx.Client") -> None:
    """Content types are not told apart by case, or by a charset that says UTF-8."""
    for kind in ("application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'):
        assert predict(client, GOOD, {"content-type": kind}).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_refused(client: "httpx.Client", method: str) -> None:
    """405, with the header that says which are taken."""
    answer = client.request(method, "/predict")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert client.post("/livez").status_code == 405
    assert "GET" in client.post("/livez").headers["allow"]


@pytest.mark.parametrize(
    "path", ["/nope", "/predict/", "/Predict", "/v2/models/nope", "/%00", "/models/%2e%2e"]
)
def test_unknown_paths(client: "httpx.Client", path: str) -> None:
    """A problem, whatever the method."""
    for method in ("GET", "POST"):
        answer = client.request(method, path)
        assert answer.status_code in {404, 405}, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_path_may_be_percent_encoded(client: "httpx.Client") -> None:
    """It is the same path."""
    answer = client.post("/%70redict", content=GOOD, headers=JSON)
    assert answer.status_code == 200


def test_a_head_has_no_body(client: "httpx.Client") -> None:
    """HEAD is answered as GET is, without the body; the connection goes on."""
    answer = client.head("/livez")
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.get("/livez").json() == {"ok": True}


def test_a_trace_is_answered(client: "httpx.Client") -> None:
    """`traceparent` and `tracestate` come back; what is no traceparent does not."""
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    given = {**JSON, "traceparent": parent, "tracestate": "a=b"}
    answer = predict(client, GOOD, given)
    assert (answer.headers["traceparent"], answer.headers["tracestate"]) == (parent, "a=b")
    answer = predict(client, GOOD, {**given, "traceparent": "00-xyz-01"})
    assert {"traceparent", "tracestate"}.isdisjoint(answer.headers)


def test_what_is_counted(client: "httpx.Client") -> None:
    """Requests by route and status, events by result; an unknown path makes no new series."""

    def figure(name: str) -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name + " "))

    predicted = 'streamscore_http_events_total{result="predicted"}'
    refused = 'streamscore_http_events_total{result="refused"}'
    asked = 'streamscore_http_requests_total{route="/predict",status="200"}'
    before = figure(predicted), figure(refused), figure(asked)
    predict(client, b"[" + GOOD + b"," + event(hour=None) + b"," + GOOD + b"]")
    assert (figure(predicted), figure(refused), figure(asked)) == (
        before[0] + 2,
        before[1] + 1,
        before[2] + 1,
    )
    client.get("/no-such-path")
    assert "no-such-path" not in client.get("/metrics").text
