"""The language of filters and alerts: a small part of Python's expressions, checked and compiled.

    prediction > 60 and model == "flight-delay"
    probabilities["late"] > 0.8 or source.partition in (0, 1)

The text is parsed, every node is held against a list of what is allowed, and closures are built
from it: nothing is evaluated as Python, no attribute of a Python object can be reached, and the
work is bounded by the length of the text. Pure: it must not know Kafka or what a prediction is;
the names come from its caller.

What cannot be compared is neither true nor false, but unknown (as in SQL): a field that is missing
or null, a number held against a text, a division by zero. `not` of it is unknown too, `and` and
`or` decide by their other side where that suffices, and a condition that is unknown does not hold.
"""

import ast
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from model.errors import WrongUsage
from runtime import evaluation
from runtime.evaluation import Evaluate, Fields, Link
from runtime.expression_text import Written

ALLOWED: Final = (
    "allowed are: the fields, numbers, texts in quotes, True, False; == != < <= > >= (also chained)"
    ", is None, is not None, in (…), not in (…); and, or, not; + - * / %; parentheses; abs(), "
    'len(), max(), min(), round(); a nested field as source.partition or probabilities["late"]'
)


@dataclass(frozen=True, slots=True)
class Nested:
    """The names within a nested object; none given: any name."""

    names: tuple[str, ...] = ()


Measure = Callable[[ast.expr], str]
Shape = Mapping[str, Nested | None]  # the field names, and which of them are nested objects


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition: the text it was written as, and the names that it looks at."""

    text: str
    names: frozenset[str]
    _evaluate: Evaluate = field(repr=False, compare=False)

    def holds(self, fields: Fields) -> bool:
        """Tell whether the condition is true for these fields; False where it is unknown."""
        return self.verdict(fields) is True

    def verdict(self, fields: Fields) -> bool | None:
        """Tell whether it is true; None where that is unknown."""
        return evaluation.truth(self._evaluate(fields))


def parse_condition(text: str, shape: Shape) -> Condition:
    """Compile a condition over the fields named in `shape`.

    Raises WrongUsage that points at the column and says what is allowed.
    """
    return compile_condition(Written(text, "filter", ALLOWED), text, shape)


def compile_condition(
    written: Written, text: str, shape: Shape, measures: Mapping[str, Measure] | None = None
) -> Condition:
    """Compile what is `written` as `text`; `measures` are calls of other names.

    A measure is given what stands in its parentheses, and gives the name of the field that has
    its value. Raises WrongUsage.
    """
    return _Compiler(written, shape, measures or {}).compile(text)


_MOST_DIGITS: Final = 15  # more a float does not hold
_BRACKETS: Final = 'in brackets stands a name in quotes: probabilities["late"]'
_ELEMENTS: Final = "a list after `in` holds numbers, texts, True and False only, and is not empty"
_NONE: Final = "None can only be compared: == None, != None, is None"
_CALLS: Final = (
    "the only calls are abs(x), len(text), min(x, y, …), max(x, y, …), round(x), round(x, digits) "
    f"with 0 to {_MOST_DIGITS} digits"
)
_OTHER_SPELLINGS: Final = {"true": "True", "false": "False", "null": "None", "none": "None"}


class _Compiler:
    """Turns the text into closures; every node that is not expected is refused where it stands."""

    def __init__(self, written: Written, shape: Shape, measures: Mapping[str, Measure]) -> None:
        self._written = written
        self._shape = shape
        self._measures = measures
        self._names: set[str] = set()

    def compile(self, text: str) -> Condition:
        evaluate = self._value(self._written.parsed())
        return Condition(text, frozenset(self._names), evaluate)

    def _value(self, node: ast.expr) -> Evaluate:
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self._field(node)
            case ast.Compare():
                return self._comparison(node)
            case ast.BinOp():
                return self._arithmetic(node)
            case ast.Call(func=ast.Name(id=name)):
                return self._call(node, name)
            case _:
                return self._logic(node)

    def _logic(self, node: ast.expr) -> Evaluate:
        match node:
            case ast.BoolOp(op=op, values=parts):
                return evaluation.decided_by(isinstance(op, ast.Or), [*map(self._value, parts)])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return evaluation.opposite(self._value(operand))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return evaluation.negative(self._number(operand))
            case ast.Tuple() | ast.List() | ast.Set() | ast.Dict():
                raise self._written.refusal(node, "a list can only stand after `in`")
            case _:
                raise self._written.refusal(node, "this is no part of a filter")

    def _constant(self, node: ast.Constant) -> Evaluate:
        if node.value is None:
            raise self._written.refusal(node, _NONE)
        if not isinstance(node.value, int | float | str):
            raise self._written.refusal(
                node, "only numbers, texts, True and False can be written out"
            )
        return evaluation.constant(node.value)

    def _field(self, node: ast.Name | ast.Attribute | ast.Subscript) -> Evaluate:
        match node:
            case ast.Name(id=name):
                return evaluation.field_value(self._name(node, name))
            case ast.Attribute(value=outer, attr=inner):
                return self._nested(node, outer, inner)
            case ast.Subscript(value=outer, slice=ast.Constant(value=str() as inner)):
                return self._nested(node, outer, inner)
            case _:
                raise self._written.refusal(node, _BRACKETS)

    def _nested(self, node: ast.expr, outer: ast.expr, inner: str) -> Evaluate:
        if not isinstance(outer, ast.Name):
            raise self._written.refusal(node, "only a field can be looked into, one level deep")
        name = self._name(outer, outer.id)
        nested = self._shape[name]
        if nested is None:
            raise self._written.refusal(
                node, f"{name!r} is a single value, there is nothing within it"
            )
        if nested.names:
            self._known(node, inner, nested.names)
        return evaluation.nested_value(name, inner)

    def _name(self, node: ast.expr, name: str) -> str:
        self._names.add(self._known(node, name, self._shape))
        return name

    def _known(self, node: ast.expr, name: str, names: Collection[str]) -> str:
        if name in names:
            return name
        near = get_close_matches(name, names, n=1, cutoff=0.5)
        meant = _OTHER_SPELLINGS.get(name.lower()) or next(iter(near), None)
        mend = f"did you mean {meant}?" if meant else f"there are {', '.join(names)}"
        raise self._written.refusal(node, f"there is no field {name!r}: {mend}")

    def _number(self, node: ast.expr) -> Evaluate:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            raise self._written.refusal(node, "a text in arithmetic: + - * / % are for numbers")
        return self._value(node)

    def _arithmetic(self, node: ast.BinOp) -> Evaluate:
        compute = evaluation.ARITHMETIC.get(type(node.op).__name__)
        if compute is None:
            raise self._written.refusal(node, "only + - * / % compute")
        return evaluation.arithmetic(compute, self._number(node.left), self._number(node.right))

    def _comparison(self, node: ast.Compare) -> Evaluate:
        operands = [node.left, *node.comparators]
        links: list[tuple[Link, Evaluate]] = []
        for op, left, right in zip(node.ops, operands, operands[1:], strict=False):
            if isinstance(op, ast.In | ast.NotIn):
                if right is not operands[-1]:
                    raise self._written.refusal(right, "nothing can be compared with a list")
                wanted = isinstance(op, ast.In)
                link = evaluation.membership(self._elements(right), wanted=wanted)
                links.append((link, evaluation.constant(None)))
            else:
                links.append((self._link(op, left, right), self._operand(right)))
        return evaluation.chain(self._operand(node.left), links)

    def _link(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Link:
        if _is_none(left) or _is_none(right):
            if not isinstance(op, ast.Eq | ast.NotEq | ast.Is | ast.IsNot):
                raise self._written.refusal(right, _NONE)
            wanted = isinstance(op, ast.Eq | ast.Is)
            return evaluation.missing(wanted=wanted, left=_is_none(right))
        if isinstance(op, ast.Is | ast.IsNot):
            raise self._written.refusal(right, "`is` is for None alone: use == or !=")
        return evaluation.comparison(evaluation.COMPARISONS[type(op).__name__])

    def _operand(self, node: ast.expr) -> Evaluate:
        return evaluation.constant(None) if _is_none(node) else self._value(node)

    def _elements(self, node: ast.expr) -> list[object]:
        if not isinstance(node, ast.Tuple | ast.List):
            raise self._written.refusal(node, "after `in` stands a list in parentheses: in (1, 2)")
        if not node.elts:
            raise self._written.refusal(node, _ELEMENTS)
        return [self._literal(element) for element in node.elts]

    def _literal(self, node: ast.expr) -> object:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -value
            case _:
                raise self._written.refusal(node, _ELEMENTS)

    def _call(self, node: ast.Call, name: str) -> Evaluate:
        if node.keywords or any(isinstance(each, ast.Starred) for each in node.args):
            raise self._not_called(node)
        match name, node.args:
            case _, [operand] if name in self._measures:
                return evaluation.field_value(self._measures[name](operand))
            case "abs", [operand]:
                return evaluation.absolute(self._number(operand))
            case "len", [operand]:
                return evaluation.length(self._value(operand))
            case "round", [operand, *digits]:
                return evaluation.rounded(self._number(operand), self._digits(node, digits))
            case "min" | "max", [_, _, *_]:
                choose = min if name == "min" else max
                return evaluation.extreme(choose, [*map(self._value, node.args)])
            case _:
                raise self._not_called(node)

    def _not_called(self, node: ast.Call) -> WrongUsage:
        own = "".join(f"{name}(…), " for name in self._measures)
        return self._written.refusal(node, _CALLS.replace("are ", f"are {own}", 1))

    def _digits(self, node: ast.Call, given: list[ast.expr]) -> int | None:
        match given:
            case []:
                return None
            case [ast.Constant(value=int() as digits)] if digits <= _MOST_DIGITS:
                return digits
            case _:
                raise self._not_called(node)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
