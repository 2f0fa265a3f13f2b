"""Tells how deep a JSON text nests, by its bytes alone.

A limit of our own: where parsers give up depends on the parser, on Python's version and on how
deep its calls stand at that moment. Pure; knows nothing of features.
"""

import re

import numpy as np

from model.rejection import Code, Rejection, Stage

DEPTH_LIMIT = 500
TOO_DEEP = Rejection(
    Stage.DECODE, Code.TOO_DEEP, f"the event is nested more than {DEPTH_LIMIT} levels deep"
)

_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_STEPS = np.zeros(256, dtype=np.int8)
_STEPS[list(b"{[")] = 1
_STEPS[list(b"}]")] = -1


def is_too_deep(value: bytes) -> bool:
    """Whether a valid JSON text nests deeper than the limit."""
    if len(value) <= 2 * DEPTH_LIMIT or value.count(b"{") + value.count(b"[") <= DEPTH_LIMIT:
        return False
    bare = np.frombuffer(_TEXT.sub(b"", value), dtype=np.uint8)
    return bool(_STEPS[bare].cumsum(dtype=np.int64).max(initial=0) > DEPTH_LIMIT)
