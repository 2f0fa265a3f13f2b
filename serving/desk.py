"""What the protocols ask of the service, and what they share.

The service itself (queue, batches, limits, access) answers events; a protocol only translates.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from model.bundle import Model
from model.errors import BadRequest
from model.rejection import Rejection
from serving.encoding import in_columns_words

Prediction = dict[str, Any]

_LONGEST: Final = 1_000  # characters of a message


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers to some events by one model version: for each a prediction, or why not."""

    model: Model
    results: Sequence[bytes | Rejection]


class Desk(Protocol):
    """Where a protocol hands in events."""

    @property
    def event_id_field(self) -> str:
        """The field of an event that names it."""
        ...

    @property
    def model(self) -> Model:
        """The version that the next batch is scored by."""
        ...

    def is_ready(self) -> bool:
        """Whether events would be answered."""
        ...

    async def body(self, request: Request) -> bytes:
        """A request's body, within its limits."""
        ...

    async def answer(self, events: Sequence[bytes]) -> Answered:
        """The answers to events, in order; refuses what is too much at once."""
        ...


@contextmanager
def refusing() -> Iterator[None]:
    """What cannot be read becomes a 400 with its hint."""
    try:
        yield
    except BadRequest as error:
        said = f"{error} ({error.hint})" if error.hint else str(error)
        raise HTTPException(400, _short(said)) from error


def predictions_of(answered: Answered, word: str) -> list[Prediction]:
    """All predictions, or a 422 for the first row without one; `word` is what holds a feature.

    The protocols that use this have no place for the error of a row.
    """
    refused = [(row, why) for row, why in enumerate(answered.results) if isinstance(why, Rejection)]
    if refused:
        row, why = refused[0]
        said = in_columns_words(answered.model.signature, why.message, word)
        others = f" ({len(refused) - 1} more rows are refused)" if len(refused) > 1 else ""
        raise HTTPException(422, f"row {row}: {_short(said)}{others}")
    return [orjson.loads(each) for each in answered.results if isinstance(each, bytes)]


def _short(said: str) -> str:
    """A message without the end of a name that goes on and on."""
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]} …"


def json_response(content: object, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(orjson.dumps(content), status, media_type="application/json")


def media_type(request: Request) -> tuple[str, dict[str, str]]:
    """A request's content type, in lower case, and its parameters."""
    first, *others = request.headers.get("content-type", "").split(";")
    pairs = (part.partition("=") for part in others)
    named = {name.strip().lower(): value.strip().strip('"').lower() for name, _, value in pairs}
    return first.strip().lower(), named


def require_media_type(request: Request, taken: Sequence[str]) -> str:
    """The content type, where it is one of those that are taken; else a 415."""
    found, parameters = media_type(request)
    wrong = {name: value for name, value in parameters.items() if name != "charset"}
    if found not in taken or wrong or parameters.get("charset", "utf-8") != "utf-8":
        raise HTTPException(415, f"the content type must be {' or '.join(taken)}, in UTF-8")
    return found
