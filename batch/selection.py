"""Conditions on predictions, as SQL: what stands in the parentheses of an alert's `share(…)`.

    prediction > 60 and probabilities["late"] >= 0.8 or label in ("late", "lost")

Every part is held against a list of what is allowed; values are bound, never pasted into the
text of a statement. What is NULL is unknown, as everywhere in SQL, and does not count.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from sqlalchemy import Double, Text, and_, func, literal, not_, or_
from sqlalchemy.sql.elements import ColumnElement

from batch.tables import predictions
from runtime.expression_text import Written

_Sql = ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class _Value:
    sql: _Sql
    is_text: bool


_TEXTS: Final = ("label", "event_id", "version")
_NUMBERS: Final = ("prediction", "score")
_FIELDS: Final = (*_NUMBERS, *_TEXTS, "probabilities")

_COMPARISONS: Final[Mapping[type[ast.cmpop], Callable[[_Sql, _Sql], _Sql]]] = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
}
_ARITHMETIC: Final[Mapping[type[ast.operator], Callable[[_Sql, _Sql], _Sql]]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / func.nullif(b, literal(0.0, Double())),
}


@dataclass(frozen=True, slots=True)
class Looked:
    """What a selection looks at, with where it is written: columns, and labels by their names."""

    fields: dict[ast.expr, str] = field(default_factory=dict)
    labels: dict[ast.expr, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Selection:
    """Turns parts of a text into SQL on the table `predictions`; raises WrongUsage at a column."""

    written: Written
    looked_at: Looked = field(default_factory=Looked)

    def condition(self, node: ast.expr) -> _Sql:
        """A part that is true or false of a prediction."""
        match node:
            case ast.BoolOp(op=op, values=parts):
                join = and_ if isinstance(op, ast.And) else or_
                return join(*map(self.condition, parts))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not_(self.condition(operand))
            case ast.Compare():
                return self._comparison(node)
            case _:
                msg = "here stands a condition on a prediction, such as prediction > 60"
                raise self.written.refusal(node, msg)

    def number(self, node: ast.expr) -> _Sql:
        """A part that is a number."""
        value = self._value(node)
        if value.is_text:
            raise self.written.refusal(node, "a number is needed here, and this is a text")
        return value.sql

    def _value(self, node: ast.expr) -> _Value:
        match node:
            case ast.Constant(value=str() as text):
                return _Value(literal(text, Text()), is_text=True)
            case ast.Constant(value=bool() | int() | float() as number):
                return _Value(literal(self._float(node, number), Double()), is_text=False)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _Value(-self.number(operand), is_text=False)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                require_divisor(self.written, node)
                compute = _ARITHMETIC[type(op)]
                return _Value(compute(self.number(left), self.number(right)), is_text=False)
            case ast.Call(func=ast.Name(id="abs"), args=[operand], keywords=[]):
                return _Value(func.abs(self.number(operand)), is_text=False)
            case _:
                return self._field(node)

    def _float(self, node: ast.expr, number: float) -> float:
        try:
            return float(number)
        except OverflowError:
            raise self.written.refusal(node, "no number of a database is that large") from None

    def _field(self, node: ast.expr) -> _Value:
        match node:
            case ast.Name(id="probabilities"):
                msg = 'of which label? In brackets stands one: probabilities["late"]'
                raise self.written.refusal(node, msg)
            case ast.Name(id=name) if name in _NUMBERS:
                self.looked_at.fields[node] = name
                return _Value(predictions.c[name], is_text=False)
            case ast.Name(id=name) if name in _TEXTS:
                self.looked_at.fields[node] = name
                return _Value(predictions.c[name], is_text=True)
            case ast.Subscript(
                value=ast.Name(id="probabilities"), slice=ast.Constant(value=str() as label)
            ):
                self.looked_at.fields[node] = "probabilities"
                self.looked_at.labels[node] = label
                return _Value(probability(label), is_text=False)
            case ast.Name(id=name):
                near = get_close_matches(name, _FIELDS, n=1, cutoff=0.5)
                meant = f"did you mean {near[0]}? There" if near else "there"
                mend = f"{meant} are {', '.join(_FIELDS)}"
                raise self.written.refusal(node, f"a prediction has no field {name!r}: {mend}")
            case _:
                raise self.written.refusal(node, "this is no part of a condition on predictions")

    def _comparison(self, node: ast.Compare) -> _Sql:
        operands = [node.left, *node.comparators]
        parts = [
            self._link(op, left, right)
            for op, left, right in zip(node.ops, operands, operands[1:], strict=False)
        ]
        return and_(*parts)

    def _link(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> _Sql:
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List) or not right.elts:
                raise self.written.refusal(right, "after `in` stands a list: in (1, 2)")
            found = or_(*(self._link(ast.Eq(), left, each) for each in right.elts))
            return found if isinstance(op, ast.In) else not_(found)
        if isinstance(right, ast.Constant) and right.value is None:
            return self._missing(op, left, right)
        first, second = self._value(left), self._value(right)
        if first.is_text is not second.is_text:  # a label goes by the name that the stream has
            first, second = self._as_label(left, first), self._as_label(right, second)
        if first.is_text is not second.is_text:
            raise self.written.refusal(right, "a number and a text cannot be compared")
        if type(op) not in _COMPARISONS:
            raise self.written.refusal(right, "`is` is for None alone: use == or !=")
        self._note_label(left, right)
        self._note_label(right, left)
        return _COMPARISONS[type(op)](first.sql, second.sql)

    def _as_label(self, node: ast.expr, value: _Value) -> _Value:
        if isinstance(node, ast.Name) and node.id == "prediction":
            self.looked_at.fields[node] = "label"
            return _Value(predictions.c.label, is_text=True)
        return value

    def _note_label(self, one: ast.expr, other: ast.expr) -> None:
        if self.looked_at.fields.get(one) == "label":
            match other:
                case ast.Constant(value=str() as label):
                    self.looked_at.labels[other] = label

    def _missing(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> _Sql:
        match op:
            case ast.Is() | ast.Eq():
                return self._value(left).sql.is_(None)
            case ast.IsNot() | ast.NotEq():
                return self._value(left).sql.is_not(None)
            case _:
                raise self.written.refusal(right, "None can only be compared: is None, is not None")


def require_divisor(written: Written, node: ast.BinOp) -> None:
    """Refuse a division by what is always 0. Raises WrongUsage."""
    if isinstance(node.op, ast.Div | ast.Mod) and _constant(node.right) == 0:
        raise written.refusal(node.right, "this is always 0, and a division by it is never known")


def _constant(node: ast.expr) -> float | None:
    """The value of a part that is written out in numbers alone."""
    match node:
        case ast.Constant(value=bool() | int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value_of = _constant(operand)
            return None if value_of is None else -value_of
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ON_NUMBERS:
            pair = _constant(left), _constant(right)
            if pair[0] is None or pair[1] is None:
                return None
            return _ON_NUMBERS[type(op)](pair[0], pair[1])
        case _:
            return None


_ON_NUMBERS: Final[Mapping[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


def probability(label: str) -> _Sql:
    """The probability of a label, as SQL."""
    of_label: _Sql = predictions.c.probabilities[label].as_float()
    return of_label
