"""What is secret among settings, and settings without it: for logs, reports and errors."""

import re
from collections.abc import Mapping

MASK = "********"

_SECRET = re.compile(
    r"password|passphrase|secret|credential|token|jaas|private\.key|oauthbearer\.config|kinit\.cmd"
    r"|\.pem$"
)
_NO_SECRET = re.compile(r"\.(location|file|url|type|mode)$")


def mask_properties(properties: Mapping[str, str]) -> dict[str, str]:
    """The librdkafka properties with every secret replaced by `MASK`."""
    return {name: MASK if _is_secret(name) else value for name, value in properties.items()}


def mask_address(address: str) -> str:
    """The address of a database without its password."""
    shown = r"(?P<before>://[^:/?#]*:).*(?=@)|(?P<named>[?&]password=)[^&]*"
    return re.sub(shown, lambda found: f"{found['before'] or found['named']}{MASK}", address)


def secrets(properties: Mapping[str, object]) -> list[str]:
    """The secret values among librdkafka properties, to take out of a text."""
    return [str(value) for name, value in properties.items() if value and _is_secret(name)]


def _is_secret(name: str) -> bool:
    return _SECRET.search(name) is not None and _NO_SECRET.search(name) is None
