"""JSON as an HTTP POST: how it is sent, and which answers are worth another try.

It must not know how often it is tried or what is committed. Messages name the receiver without
anything that may be a secret: no user, no password, no path, no query.
"""

import threading
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

import urllib3
from urllib3.exceptions import (
    HTTPError,
    InvalidHeader,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    SSLError,
)
from urllib3.exceptions import (
    TimeoutError as NoAnswer,
)
from urllib3.util import Retry, Timeout, Url, make_headers, parse_url

from model.errors import WrongUsage
from runtime.insistence import Allowance, Refusal
from runtime.version import version

_AGAIN: Final = frozenset({408, 425, 429})  # besides all of 500-599
_CONNECT_S: Final = 5.0
_BODY_LIMIT: Final = 65_536  # of an answer: read only so that the connection can be used again
_HINT: Final = "--webhook takes an address like https://example.com/predictions"


class Webhook:
    """Posts JSON to `url`; a user and password in it are sent as basic auth.

    Raises WrongUsage for an address that cannot be posted to.
    """

    def __init__(self, url: str) -> None:
        parsed = _parsed(url)
        self._url = parsed._replace(auth=None, fragment=None).url
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": f"streamscore/{version()}",
            **(make_headers(basic_auth=unquote(parsed.auth)) if parsed.auth else {}),
        }
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=1)
        self.name = f"the webhook {masked_url(url)}"

    def post(self, body: bytes, headers: Mapping[str, str], allowance: Allowance) -> Refusal | None:
        """Post once; None when the answer was 2xx.

        `headers` are to hold an `Idempotency-Key`, by which the receiver tells a repetition.
        """
        post = _Post(self._pool, self._url, {**self._headers, **headers})
        # A thread of its own: a receiver that answers byte by byte outlasts any socket timeout.
        threading.Thread(target=post.run, args=(body, allowance.seconds), daemon=True).start()
        allowance.wait_for(post.over.wait)
        return post.verdict(allowance.seconds)


class _Post:
    """One request; `run` in a thread, `over` when it has ended."""

    def __init__(self, pool: urllib3.PoolManager, url: str, headers: Mapping[str, str]) -> None:
        self.over = threading.Event()
        self._pool = pool
        self._url = url
        self._headers = headers
        self._status: int | None = None
        self._wait_s = 0.0
        self._reason = ""

    def run(self, body: bytes, seconds: float) -> None:
        """Send, and note the answer."""
        try:
            answer = self._pool.request(
                "POST",
                self._url,
                body=body,
                headers=self._headers,
                timeout=Timeout(connect=min(_CONNECT_S, seconds), read=seconds),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            self._wait_s = _asked_s(answer.headers.get("Retry-After", ""))
            self._status = answer.status
            _finish(answer)
        except (HTTPError, OSError) as error:
            self._reason = _in_words(error)
        finally:
            self.over.set()

    def verdict(self, seconds: float) -> Refusal | None:
        """Say what the answer means; an answer whose body did not arrive is one too."""
        status = self._status
        if status is None:
            return Refusal(self._reason or f"no answer within {seconds:.1f} s")
        if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own classes
            return None
        if 300 <= status < 400:  # noqa: PLR2004 - HTTP's own classes
            return Refusal(f"it answered {status}, a redirection: name its target", final=True)
        again = status in _AGAIN or 500 <= status < 600  # noqa: PLR2004 - HTTP's own classes
        return Refusal(f"it answered {status}", final=not again, wait_s=self._wait_s)


def masked_url(url: str) -> str:
    """Give scheme, host and port alone: the rest of an address may be a secret."""
    try:
        parsed = parse_url(url)
    except LocationParseError:
        return "…"
    port = f":{parsed.port}" if parsed.port else ""
    return f"{parsed.scheme}://{parsed.host}{port}{'/…' if parsed.request_uri != '/' else ''}"


def _parsed(url: str) -> Url:
    try:
        parsed = parse_url(url)
        (parsed.host or "").encode("idna")  # as the name resolution will
    except (LocationParseError, UnicodeError):
        raise WrongUsage("the address of the webhook cannot be read", hint=_HINT) from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise WrongUsage("the address of the webhook is not one of HTTP", hint=_HINT)
    return parsed


def _asked_s(text: str) -> float:
    """Read `Retry-After`: seconds or a date (RFC 9110, 10.2.3); 0 when it is nonsense."""
    try:
        return Retry().parse_retry_after(text) if text else 0.0
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0


def _finish(answer: urllib3.BaseHTTPResponse) -> None:
    """Read a short rest of the answer, so that the connection serves the next post; or close it."""
    answer.read(_BODY_LIMIT, decode_content=False)
    if answer.read(1, decode_content=False):
        answer.close()
    answer.release_conn()


def _in_words(error: HTTPError | OSError) -> str:
    """Say what went wrong without the address, which the exception's own text holds."""
    match error:
        case NameResolutionError():
            return "the name of its host cannot be resolved"
        case NewConnectionError(__cause__=OSError(strerror=str(reason))):
            return f"no connection: {reason.lower()}"
        case NoAnswer():
            return "no answer in time"
        case SSLError():
            return f"TLS failed: {error.args[0] if error.args else ''}"
        case ProtocolError():
            return "the connection broke off"
        case _:
            return type(error).__name__
