"""One post to a webhook: what is sent, how answers are read, and that no secret gets out."""

import base64
import json
import socket
import time
from typing import TYPE_CHECKING

import pytest

from model.errors import WrongUsage
from runtime.insistence import Allowance, Refusal
from runtime.webhook import masked_url
from subscriber.prediction import Prediction, decode
from subscriber.webhook import PredictionWebhook

if TYPE_CHECKING:
    from tests.subscriber.conftest import Receiver


def prediction(topic: str = "flights", headers: dict[str, bytes] | None = None) -> Prediction:
    value = {
        "id": "a",
        "prediction": 1,
        "model": "m",
        "version": "1",
        "source": {"topic": topic, "partition": 2, "offset": 8812},
        "scored_at": "2013-12-01T10:15:00Z",
    }
    return decode(json.dumps(value).encode(), headers=list((headers or {}).items()))


def post(url: str, seconds: float = 10.0, sent: Prediction | None = None) -> Refusal | None:
    return PredictionWebhook(url)(sent or prediction(), Allowance(seconds, stopped=lambda: False))


def test_the_prediction_is_posted_as_json_with_its_place_as_the_key(receiver: "Receiver") -> None:
    """The receiver gets the JSON as it is on the topic, and a key that tells repetitions."""
    assert post(receiver.url) is None

    (got,) = receiver.posts
    assert got.path == "/hook"
    assert json.loads(got.body) == json.loads(prediction().value)
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["Idempotency-Key"] == "flights/2/8812"
    assert got.headers["User-Agent"].startswith("streamscore/")


def test_a_trace_goes_on_to_the_receiver(receiver: "Receiver") -> None:
    """`traceparent` and `tracestate` of the record are sent on; forged nonsense is not."""
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    post(receiver.url, sent=prediction(headers={"traceparent": trace, "tracestate": b"a=1"}))
    post(receiver.url, sent=prediction(headers={"traceparent": b"x\r\nEvil: 1", "x": b"y"}))

    assert receiver.posts[0].headers["traceparent"] == trace.decode()
    assert receiver.posts[0].headers["tracestate"] == "a=1"
    assert not {"traceparent", "Evil", "x"} & set(receiver.posts[1].headers)


def test_a_topic_of_any_characters_is_a_key_of_one_line(receiver: "Receiver") -> None:
    """The source's topic is text of another team's: it cannot add headers."""
    assert post(receiver.url, sent=prediction("a/b\r\nEvil: ü")) is None

    assert receiver.posts[0].headers["Idempotency-Key"] == "a%2Fb%0D%0AEvil%3A%20%C3%BC/2/8812"


def test_a_prediction_of_a_request_has_its_place_there_as_the_key(receiver: "Receiver") -> None:
    """Online predictions are told apart from each other as well."""
    online = decode(
        prediction().value.replace(
            b'{"topic": "flights", "partition": 2, "offset": 8812}',
            b'{"request": "r/1", "index": 4}',
        )
    )
    assert post(receiver.url, sent=online) is None

    assert receiver.posts[0].headers["Idempotency-Key"] == "r%2F1/4"


def test_user_and_password_of_the_address_are_sent_as_basic_auth(receiver: "Receiver") -> None:
    """They are taken off the address, and percent signs in them are read."""
    assert post(f"http://us%40er:pa%3Ass@{receiver.address}/x?token=t#part") is None

    got = receiver.posts[0]
    assert base64.b64decode(got.headers["authorization"].split()[1]) == b"us@er:pa:ss"
    assert got.path == "/x?token=t"


def test_one_connection_serves_many_posts(receiver: "Receiver") -> None:
    """A short answer is read to its end, so that the next post needs no new connection."""
    webhook = PredictionWebhook(receiver.url)
    for _ in range(5):
        assert webhook(prediction(), Allowance(10.0, stopped=lambda: False)) is None

    assert receiver.connections == 1


@pytest.mark.parametrize(
    ("status", "final"),
    [
        *((status, True) for status in (400, 401, 403, 404, 409, 410, 413, 422)),
        *((status, False) for status in (408, 425, 429, 500, 501, 502, 503, 504)),
        *((status, True) for status in (301, 302, 304, 307)),
    ],
)
def test_answers_are_worth_another_try_or_not(
    receiver: "Receiver",
    status: int,
    final: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    """Overload, timeouts and errors of the server pass; what the client does wrong stays wrong."""
    from_elsewhere = {"Location": "http://127.0.0.1:1/elsewhere"}
    receiver.answer(status=status, headers=from_elsewhere)

    refusal = post(receiver.url)

    assert refusal is not None
    assert refusal.final is final
    assert str(status) in refusal.reason
    assert len(receiver.posts) == 1


@pytest.mark.parametrize(
    ("text", "least_s", "most_s"),
    [
        ("7", 7, 7),
        (" 7 ", 7, 7),
        ("Fri, 31 Dec 2999 23:59:59 GMT", 3600, 1e12),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0, 0),
        ("soon", 0, 0),
        ("", 0, 0),
        ("-5", 0, 0),
        ("9" * 5000, 0, 0),
    ],
)
def test_the_wait_that_is_asked_for_is_read(
    receiver: "Receiver", text: str, least_s: float, most_s: float
) -> None:
    """`Retry-After` in seconds or as a date; nonsense asks for nothing."""
    receiver.answer(status=503, headers={"Retry-After": text})

    refusal = post(receiver.url)

    assert refusal is not None
    assert least_s <= refusal.wait_s <= most_s


def test_a_receiver_that_is_silent_is_left_in_time(receiver: "Receiver") -> None:
    """An attempt takes no longer than it may, and another one can mend it."""
    receiver.answer(status=200, silent_s=30.0)
    began = time.monotonic()

    refusal = post(receiver.url, seconds=0.5)

    assert refusal is not None
    assert not refusal.final
    assert "no answer" in refusal.reason
    assert time.monotonic() - began < 3.0


def test_a_receiver_that_answers_byte_by_byte_is_left_in_time(receiver: "Receiver") -> None:
    """Each byte resets a socket's timeout, but not the attempt's."""
    receiver.answer(status=200, drip=True)
    began = time.monotonic()

    refusal = post(receiver.url, seconds=0.5)

    assert refusal is not None
    assert not refusal.final
    assert time.monotonic() - began < 3.0


def test_an_accepted_prediction_is_accepted_whatever_the_body_says(receiver: "Receiver") -> None:
    """A large answer is not read, and does not hold up the next post."""
    receiver.answer(status=200, body=b"x" * 5_000_000)
    receiver.answer(status=200, headers={"Content-Encoding": "gzip"}, body=b"no gzip at all")
    webhook = PredictionWebhook(receiver.url)

    for _ in range(3):
        assert webhook(prediction(), Allowance(10.0, stopped=lambda: False)) is None


def test_a_connection_that_breaks_is_worth_another_try(receiver: "Receiver") -> None:
    """The receiver closes without an answer: not final."""
    receiver.answer(status=200, reset=True)

    assert post(receiver.url) == Refusal("the connection broke off")


def test_nobody_listens() -> None:
    """A refused connection passes when the receiver is started, and names the reason."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    assert post(f"http://127.0.0.1:{port}/") == Refusal("no connection: connection refused")


def test_a_host_that_is_not_known() -> None:
    """A name that cannot be resolved may be a passing fault of the network: not final."""
    assert post("http://nobody.invalid/") == Refusal("the name of its host cannot be resolved")


def test_plain_http_where_tls_is_expected(receiver: "Receiver") -> None:
    """A failed handshake is told in words, without the address."""
    refusal = post(f"https://{receiver.address}/SECRET")

    assert refusal is not None
    assert "SECRET" not in refusal.reason


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/x",
        "ftp://example.com/",
        "http://",
        "http:///x",
        "http://[::1",
        "http://a:b",
    ],
)
def test_an_address_that_cannot_be_posted_to_is_refused(url: str) -> None:
    """At the start, not at the first prediction."""
    with pytest.raises(WrongUsage, match="address of the webhook"):
        PredictionWebhook(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:SECRET@example.com:8080/SECRET?SECRET#SECRET", "http://example.com:8080/…"),
        ("https://example.com", "https://example.com"),
        ("https://example.com/", "https://example.com"),
        ("https://example.com/?SECRET", "https://example.com/…"),
        ("http://user:SECRET@[::1", "…"),
    ],
)
def test_an_address_is_shown_without_what_may_be_a_secret(url: str, shown: str) -> None:
    """User, password, path and query are left out: tokens stand in any of them."""
    assert masked_url(url) == shown
