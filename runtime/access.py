"""Who may ask: API keys, of which a server knows the hashes alone.

A key has 256 random bits, so SHA-256 keeps it: there is nothing to guess, and no request waits
for a slow hash. Pure.
"""

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Sequence

from model.errors import WrongUsage

_PREFIX = "ss_"  # so that scanners for secrets find one that was left somewhere


def new_key() -> tuple[str, str]:
    """A new API key, and the hash of it that the settings take."""
    key = _PREFIX + secrets.token_urlsafe(32)
    return key, hash_of(key.encode())


def hash_of(key: bytes) -> str:
    """The hash of a key, in hexadecimal."""
    return hashlib.sha256(key).hexdigest()


def is_known(key: bytes, hashes: Sequence[str]) -> bool:
    """Whether a key has one of the hashes; takes as long for each key."""
    given = hash_of(key)
    return sum(hmac.compare_digest(given, known) for known in hashes) > 0


def given_key(authorization: bytes | None, api_key: bytes | None) -> bytes | None:
    """The key among a request's headers: `Authorization: Bearer …` or `X-API-Key: …`."""
    if authorization is not None:
        scheme, _, key = authorization.partition(b" ")
        return key.strip() if scheme.lower() == b"bearer" else None
    return api_key


def require_protection(host: str, *, keys: Sequence[str], insecure: bool, what: str) -> None:
    """Refuse to listen beyond this machine without keys. Raises WrongUsage."""
    if not keys and not insecure and not is_loopback(host):
        hint = (
            f"make a key with `streamscore serve-key` and set {what}.api_keys, "
            "or say --insecure where something else keeps strangers out"
        )
        raise WrongUsage(f"{host} can be reached from elsewhere, and no API key is set", hint=hint)


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is this machine's alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
