"""Finds JSON objects that name a field twice: parsers keep one of the two and say nothing.

A batch is screened in a few vectorised passes; only suspicious rows are parsed a second time.
Pure; knows bytes and nothing of features.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model.rejection import Code, Rejection, Stage

_SEPARATOR = b"\n" * 16  # so that the bytes before a row's first key are never another row's
_SMALL = 8  # below this, parsing each row is cheaper than screening
_QUOTE, _COLON = ord('"'), ord(":")
_BLANKS = np.zeros(256, dtype=bool)
_BLANKS[list(b" \t\r\n")] = True
_ESCAPABLE = frozenset('"\\/\b\f\n\r\t')  # JSON escapes these in another way than by their number
_KEEP = np.array([0] + [2**64 - 2 ** (64 - 8 * n) for n in range(1, 9)], dtype=np.uint64)
_PRIMES = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)


def rows_with_duplicates(
    rows: Sequence[bytes], paths: Sequence[tuple[str, ...]]
) -> dict[int, Rejection]:
    """The rows in which a step of one of these paths stands twice, each with its rejection.

    `rows` are valid JSON objects, none of them nested too deeply.
    """
    names = {step for path in paths for step in path}
    suspects = range(len(rows)) if len(rows) <= _SMALL else _suspects(rows, names)
    found = {}
    for row in suspects:
        name = _duplicate(rows[row], names, paths)
        if name is not None:
            message = f"the field {name!r} stands twice in the event"
            found[row] = Rejection(Stage.DECODE, Code.DUPLICATE_FIELD, message)
    return found


def _duplicate(row: bytes, names: set[str], paths: Sequence[tuple[str, ...]]) -> str | None:
    twice: dict[int, set[str]] = {}
    kept: list[dict[str, Any]] = []  # keeps the objects alive, so that an id names one of them

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            seen: set[str] = set()
            repeated = {name for name, _ in pairs if name in seen or seen.add(name)}  # type: ignore[func-returns-value]
            if repeated & names:
                kept.append(value)
                twice[id(value)] = repeated
        return value

    # Numbers stay text: Python refuses to convert integers of thousands of digits.
    root = json.loads(row, object_pairs_hook=build, parse_int=str, parse_float=str)
    if twice:
        for path in paths:
            node = root
            for step in path:
                if step in twice.get(id(node), ()):
                    return step
                node = node.get(step) if isinstance(node, dict) else None
    return None


def _suspects(rows: Sequence[bytes], names: set[str]) -> list[int]:
    """Rows that may name a field twice: none that does is left out.

    Two equal keys have equal fingerprints, so a row of distinct fingerprints is innocent. Most
    rows of a topic have the same keys in the same order: they are compared to the first of them.
    """
    joined = _SEPARATOR + _SEPARATOR.join(rows) + _SEPARATOR
    data = np.frombuffer(joined, dtype=np.uint8)
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    starts = np.cumsum(lengths + len(_SEPARATOR)) - lengths
    suspicious = np.zeros(len(rows), dtype=bool)
    # Fingerprints don't see an escaped name, nor a key whose colon stands apart.
    colons = np.flatnonzero(data == _COLON)
    apart = colons[_BLANKS[data[colons - 1]]]
    suspicious[np.searchsorted(starts, apart, side="right") - 1] = True
    escape = b"\\u" if _ESCAPABLE.isdisjoint("".join(names)) else b"\\"
    if escape in joined:
        suspicious[[row for row, value in enumerate(rows) if escape in value]] = True
    closing, prints = _fingerprints(joined, data)
    first_key = np.searchsorted(closing, starts)
    counts = np.diff(first_key, append=closing.size)
    usual = int(np.bincount(counts).argmax())
    same = np.flatnonzero(counts == usual)
    keys = prints[first_key[same][:, None] + np.arange(usual)]
    others = np.ones(len(rows), dtype=bool)
    if len(set(keys[0].tolist())) == usual:
        others[same[(keys == keys[0]).all(axis=1)]] = False
    for row in np.flatnonzero(others):
        own = prints[first_key[row] : first_key[row] + counts[row]].tolist()
        suspicious[row] |= len(set(own)) != len(own)
    return np.flatnonzero(suspicious).tolist()


def _fingerprints(
    joined: bytes, data: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Where each key ends (its closing quote), and a hash of its last 16 bytes and its length."""
    quotes = np.flatnonzero(data == _QUOTE)
    at = np.flatnonzero(data[quotes[1:] + 1] == _COLON) + 1  # the first of all ends no key
    closing = quotes[at]
    length = closing - quotes[at - 1] - 1
    # The eight bytes from each place on, as one number.
    words = np.ndarray((len(joined) - 7,), dtype="<u8", buffer=joined, strides=(1,))
    low = words[closing - 8] & _KEEP[np.minimum(length, 8)]
    high = words[closing - 16] & _KEEP[np.clip(length - 8, 0, 8)]
    prints = low * _PRIMES[0] ^ high * _PRIMES[1] ^ length.astype(np.uint64) * _PRIMES[2]
    return closing, prints
