"""How deep a JSON text nests, told by its bytes."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.nesting import DEPTH_LIMIT, is_too_deep

PAD = b" " * 2 * DEPTH_LIMIT  # beyond it, a text is long enough to be looked at


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT,
        b'{"a":' * DEPTH_LIMIT + b"1" + b"}" * DEPTH_LIMIT,
        b"[" + b"[]," * 2000 + b"{}]",
        b'"' + b"[{" * 2000 + b'"',
        b'["\\"' + b"[" * 2000 + b'"]',
        b'["\\\\",' + b'"[{",' * 2000 + b'"[\\\\"]',
        '["é['.encode() * 1 + "é[".encode() * 2000 + b'"]',
    ],
)
def test_what_is_not_too_deep(value: bytes) -> None:
    """Many brackets side by side, or within text, nest no deeper than one."""
    assert not is_too_deep(value)


@pytest.mark.parametrize(
    "value",
    [
        b"[" * (DEPTH_LIMIT + 1) + b"]" * (DEPTH_LIMIT + 1),
        b'{"a":' * (DEPTH_LIMIT + 1) + b"1" + b"}" * (DEPTH_LIMIT + 1),
        b'["]\\"]",' + b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT + b"]",
        b'[{"a":' * (DEPTH_LIMIT // 2) + b"[]" + b"}]" * (DEPTH_LIMIT // 2),
    ],
)
def test_what_is_too_deep(value: bytes) -> None:
    """One level more than the limit is too deep, whatever stands around it."""
    assert is_too_deep(value)


texts = st.text('[]{}"\\:,a', max_size=8)
trees = st.recursive(
    texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None)
@given(trees, st.integers(-3, 3))
def test_depth_is_counted_as_a_parser_nests(tree: Any, difference: int) -> None:
    """A tree under a pile of arrays is too deep just when the levels of both exceed the limit."""
    piled = max(0, DEPTH_LIMIT + difference - depth(tree))

    value = b"[" * piled + json.dumps(tree).encode() + b"]" * piled + PAD

    assert is_too_deep(value) is (piled + depth(tree) > DEPTH_LIMIT)


def depth(tree: Any) -> int:
    if isinstance(tree, str):
        return 0
    inner = tree if isinstance(tree, list) else tree.values()
    return 1 + max(map(depth, inner), default=0)
