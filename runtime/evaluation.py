"""What the parts of a condition compute: closures over the fields of one prediction.

They follow Python's arithmetic, comparisons and truth of numbers and texts (True counts as 1).
What Python would refuse, and what a missing field takes part in, gives None: unknown. No closure
raises, and none does more work than its operands' size. It must not know how conditions are
written: that is runtime/expressions.py.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Fields = Mapping[str, object]
Evaluate = Callable[[Fields], object]  # gives a number, a text, a nested object; None for unknown
Link = Callable[[object, object], bool | None]  # one comparison of a chain: left, right

# `Any`: these take what `_numbers` and `_comparable` have let through.
Binary = Callable[[Any, Any], Any]

COMPARISONS: Final[Mapping[str, Binary]] = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
}
ARITHMETIC: Final[Mapping[str, Binary]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mult": operator.mul,
    "Div": operator.truediv,
    "Mod": operator.mod,
}


def truth(value: object) -> bool | None:
    """Tell whether a value counts as true; None for a missing one and for a nested object."""
    return bool(value) if isinstance(value, int | float | str) else None


def constant(value: object) -> Evaluate:
    """Give always `value`."""
    return lambda _fields: value


def field_value(name: str) -> Evaluate:
    """Give the field of that name."""
    return lambda fields: fields.get(name)


def nested_value(name: str, inner: str) -> Evaluate:
    """Give the member `inner` of the nested object `name`."""

    def evaluate(fields: Fields) -> object:
        outer = fields.get(name)
        return outer.get(inner) if isinstance(outer, dict) else None

    return evaluate


def arithmetic(compute: Binary, left: Evaluate, right: Evaluate) -> Evaluate:
    """Compute with two numbers."""

    def evaluate(fields: Fields) -> object:
        a, b = left(fields), right(fields)
        if not _numbers(a, b):
            return None
        try:
            return _kept(compute(a, b))
        except ArithmeticError:  # divided by zero, or beyond what a float holds
            return None

    return evaluate


def negative(operand: Evaluate) -> Evaluate:
    """Give minus the number."""

    def evaluate(fields: Fields) -> object:
        value = operand(fields)
        return -value if isinstance(value, int | float) else None

    return evaluate


def comparison(compare: Binary) -> Link:
    """Compare two numbers or two texts."""
    return lambda left, right: bool(compare(left, right)) if _comparable(left, right) else None


def missing(*, wanted: bool, left: bool) -> Link:
    """Compare with the literal None, for which the other (`left` or right) side is looked at."""
    return lambda a, b: ((a if left else b) is None) is wanted


def membership(elements: Sequence[object], *, wanted: bool) -> Link:
    """Look the left side up among the elements of its type."""
    texts = frozenset(each for each in elements if isinstance(each, str))
    numbers = frozenset(each for each in elements if isinstance(each, int | float))

    def link(left: object, _right: object) -> bool | None:
        if isinstance(left, str) and texts:
            return (left in texts) is wanted
        if isinstance(left, int | float) and numbers:
            return (left in numbers) is wanted
        return None

    return link


def chain(first: Evaluate, links: Sequence[tuple[Link, Evaluate]]) -> Evaluate:
    """Compare `first` with the operand of the first link, that with the next, and so on.

    Each operand is computed once: nested chains stay linear in the length of the text.
    """

    def evaluate(fields: Fields) -> object:
        left, unknown = first(fields), False
        for link, operand in links:
            right = operand(fields)
            verdict = link(left, right)
            if verdict is False:
                return False
            unknown = unknown or verdict is None
            left = right
        return None if unknown else True

    return evaluate


def decided_by(deciding: bool, parts: Sequence[Evaluate]) -> Evaluate:  # noqa: FBT001 - the truth value itself
    """Give the first part whose truth is `deciding` (False: `and`, True: `or`), else the last."""

    def evaluate(fields: Fields) -> object:
        value, unknown = None, False
        for part in parts:
            value = part(fields)
            verdict = truth(value)
            if verdict is deciding:
                return value
            unknown = unknown or verdict is None
        return None if unknown else value

    return evaluate


def opposite(operand: Evaluate) -> Evaluate:
    """Give `not`; of what is unknown, unknown."""

    def evaluate(fields: Fields) -> object:
        verdict = truth(operand(fields))
        return None if verdict is None else not verdict

    return evaluate


def absolute(operand: Evaluate) -> Evaluate:
    """Give abs() of a number."""

    def evaluate(fields: Fields) -> object:
        value = operand(fields)
        return abs(value) if isinstance(value, int | float) else None

    return evaluate


def length(operand: Evaluate) -> Evaluate:
    """Give len() of a text, in characters."""

    def evaluate(fields: Fields) -> object:
        value = operand(fields)
        return len(value) if isinstance(value, str) else None

    return evaluate


def rounded(operand: Evaluate, digits: int | None) -> Evaluate:
    """Give round() of a number, to even as Python does."""

    def evaluate(fields: Fields) -> object:
        value = operand(fields)
        if not isinstance(value, int | float):
            return None
        try:
            return round(value, digits)
        except (ValueError, OverflowError):  # of infinity or nan, which a product can be
            return None

    return evaluate


def extreme(choose: Callable[[Any], Any], operands: Sequence[Evaluate]) -> Evaluate:
    """Give min() or max() of numbers, or of texts."""

    def evaluate(fields: Fields) -> object:
        values = [operand(fields) for operand in operands]
        return choose(values) if all(_comparable(values[0], each) for each in values) else None

    return evaluate


def _numbers(a: object, b: object) -> bool:
    return isinstance(a, int | float) and isinstance(b, int | float)


def _comparable(a: object, b: object) -> bool:
    return _numbers(a, b) or (isinstance(a, str) and isinstance(b, str))


_LARGEST_BITS: Final = 8_192  # of a whole number: no product of products grows without a bound


def _kept(number: object) -> object:
    too_large = isinstance(number, int) and number.bit_length() > _LARGEST_BITS
    return None if too_large else number
