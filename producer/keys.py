"""The Kafka key that a field of an event gives. Pure; knows neither files nor Kafka clients."""

from collections.abc import Mapping


class UnusableKey(ValueError):
    """The event has no such field, or what it holds is no key; the message says which."""


def key_of(event: Mapping[str, object], field: str) -> bytes:
    """Give the key that `field` of an event holds: text as UTF-8, a whole number in decimal.

    Raises UnusableKey when the field is missing, or holds null, an empty text or anything else:
    events of one entity would scatter over the partitions by how a value happens to be written.
    """
    if field not in event:
        raise UnusableKey(f"the key field {field!r} is missing")
    value = event[field]
    if isinstance(value, str) and value:
        return value.encode()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value).encode()
    raise UnusableKey(f"the key field {field!r} is {_kind(value)}: a text or a whole number can be")


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if value == "":
        return "empty"
    kinds = {bool: "a boolean", float: "a number with a fraction", dict: "an object"}
    return kinds.get(type(value), f"a {type(value).__name__}")
