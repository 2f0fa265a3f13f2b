"""Errors over HTTP: problem+json (RFC 9457) with the member `error` of the Open Inference Protocol.

Pure. What a client did wrong is said; what went wrong here is not, the log has it.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from starlette.exceptions import HTTPException

from model.rejection import Rejection, Stage

MEDIA_TYPE: Final = "application/problem+json"
Headers = list[tuple[bytes, bytes]]


def problem(status: int, detail: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The members of a problem."""
    title = HTTPStatus(status).phrase
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "error": detail,
        **more,
    }


def of_event(why: Rejection) -> dict[str, Any]:
    """The problem of one event: 400 where it cannot be read, 422 where the model cannot take it."""
    status = 400 if why.stage is Stage.DECODE else 422
    return problem(status, why.message, stage=why.stage.value, code=why.code.value)


def response(
    status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> tuple[int, Headers, bytes]:
    """Status, headers and body of a problem as it is sent."""
    sent: Headers = [(b"content-type", MEDIA_TYPE.encode())]
    sent += [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return status, sent, orjson.dumps(body)


def too_much(why: str) -> HTTPException:
    """More than can be answered now."""
    return HTTPException(503, f"{why}: try again later", {"retry-after": "1"})
