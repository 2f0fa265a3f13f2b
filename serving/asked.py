"""A request as it is asked: its own id, its headers and body, and the trace that it belongs to."""

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.exceptions import HTTPException

from serving.problems import Headers

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_TRACE_PARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACE_STATE: Final = re.compile(rb"[\x20-\x7e]*")  # a header's value can be that at least


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; `trace` are its headers of W3C's Trace Context, where it has valid ones."""

    name: str
    headers: Mapping[bytes, bytes]
    trace: Headers

    @classmethod
    def of(cls, scope: Scope, name: str) -> "Asked":
        """The request of an ASGI scope, under a name of our own."""
        headers = dict(scope["headers"])
        trace: Headers = []
        parent = headers.get(b"traceparent")
        if parent is not None and _TRACE_PARENT.fullmatch(parent):
            trace = [(b"traceparent", parent)]
            state = headers.get(b"tracestate")
            if state is not None and _TRACE_STATE.fullmatch(state):
                trace.append((b"tracestate", state))
        return cls(name, headers, trace)


def require_json(asked: Asked) -> None:
    """Refuse what says that it is anything but JSON in UTF-8; raises HTTPException."""
    kind = asked.headers.get(b"content-type", b"application/json")
    if kind == b"application/json":
        return
    name, _, parameters = kind.lower().partition(b";")
    charset = parameters.strip().replace(b'"', b"")
    if name.strip() != b"application/json" or charset not in (b"", b"charset=utf-8"):
        raise HTTPException(415, "the content type must be application/json, in UTF-8")


async def read_body(asked: Asked, receive: Receive, most: int) -> bytes:
    """The body, refused as soon as it is larger than `most` bytes; raises HTTPException."""
    if asked.headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise HTTPException(415, "the body must not be compressed", {"accept-encoding": "identity"})
    length = asked.headers.get(b"content-length")
    if length is not None and length.isdigit() and int(length) > most:
        raise _too_large(most)
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "the client went away")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise _too_large(most)
        more = message.get("more_body", False)
    return b"".join(parts)


def _too_large(most: int) -> HTTPException:
    said = f"the body has more than {most:,} bytes: send fewer events at once"
    return HTTPException(413, said, {"connection": "close"})  # the rest of it is not read
