"""Why one event cannot be scored: the cause that its dead letter carries.

Messages name the field and hold nothing of the payload.
"""

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """Where in its way an event was rejected."""

    DECODE = "decode"
    VALIDATE = "validate"
    SCORE = "score"
    ENCODE = "encode"


class Code(StrEnum):
    """The cause of a rejection, for machines."""

    EMPTY_VALUE = "empty_value"
    TOMBSTONE = "tombstone"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    NOT_AN_OBJECT = "not_an_object"
    DUPLICATE_FIELD = "duplicate_field"
    MISSING_FEATURE = "missing_feature"
    NULL_NOT_ALLOWED = "null_not_allowed"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    INVALID_ID = "invalid_id"
    DUPLICATE_ID = "duplicate_id"
    SCORE_FAILED = "score_failed"
    NOT_FINITE = "not_finite"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True)
class Rejection:
    """One event's cause: where, what (for machines) and what (for people)."""

    stage: Stage
    code: Code
    message: str
