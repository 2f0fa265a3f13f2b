"""Rows of features to events' bytes: what other protocols carry, as it would stand on the topic.

So a row takes the very way of an event, and has its score to the bit. Pure; knows nothing of HTTP.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from model.errors import BadRequest
from model.signature import Signature

encode = msgspec.json.Encoder().encode


def read_json(body: bytes, kind: Any, what: str) -> Any:  # noqa: ANN401 - an instance of `kind`
    """A body as a value of a type.

    Raises:
        BadRequest: it is no JSON in UTF-8, or of another type; says where, and quotes nothing.

    """
    try:
        body.decode()
        return msgspec.json.decode(body, type=kind)
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8: byte {error.start}") from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise BadRequest(f"the body is not {what}: {error}") from None
    except msgspec.DecodeError as error:
        hint = "NaN and Infinity are no JSON: a missing value is null"
        raise BadRequest(f"the body is not JSON: {error}", hint=hint) from None


def encode_columns(
    signature: Signature, columns: Mapping[str, Sequence[object]], rows: int, event_id_field: str
) -> list[bytes]:
    """One event a row: features by their names, and the column of ids where there is one.

    A feature without a column is missing in each event; columns that are no features are ignored.
    """
    known = known_paths(signature, event_id_field)
    taken = [(path, columns[name]) for name, path in known.items() if name in columns]
    if not taken:
        return [b"{}"] * rows
    paths = [path for path, _ in taken]
    names = [path[0] for path in paths if len(path) == 1]
    values = zip(*(column for _, column in taken), strict=True)
    if len(names) == len(paths):
        return [encode(dict(zip(names, row, strict=True))) for row in values]
    return [encode(nested(zip(paths, row, strict=True))) for row in values]


def known_paths(signature: Signature, event_id_field: str) -> dict[str, tuple[str, ...]]:
    """Where in an event stands what: the features, and the id unless one of them has its name."""
    paths = {feature.name: feature.path for feature in signature.features}
    if (event_id_field,) not in paths.values():
        paths.setdefault(event_id_field, (event_id_field,))
    return paths


def nested(values: Iterable[tuple[tuple[str, ...], object]]) -> dict[str, Any]:
    """Values by their paths, as an object of objects."""
    event: dict[str, Any] = {}
    for path, value in values:
        inner = event
        for step in path[:-1]:
            inner = inner.setdefault(step, {})
        inner[path[-1]] = value
    return event


def in_columns_words(signature: Signature, message: str, word: str) -> str:
    """What a rejection says of a field, said of the column (or input) that it came from."""
    for feature in signature.features:
        field = f"the field {'.'.join(feature.path)!r}"
        if field in message:
            return message.replace(field, f"the {word} {feature.name!r}", 1)
    return message
