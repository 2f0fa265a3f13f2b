"""The filter language of subscribers: a small part of Python's expressions, checked and compiled.

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
import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from model.errors import WrongUsage
from subscriber import evaluation
from subscriber.evaluation import Evaluate, Fields, Link

LONGEST = 1_000  # characters
DEEPEST = 50  # levels of nesting

ALLOWED: Final = (
    "allowed are: the fields, numbers, texts in quotes, True, False; == != < <= > >= (also chained)"
    ", is None, is not None, in (…), not in (…); and, or, not; + - * / %; parentheses; abs(), "
    'len(), max(), min(), round(); a nested field as source.partition or probabilities["late"]'
)


@dataclass(frozen=True, slots=True)
class Nested:
    """The names within a nested object; none given: any name."""

    names: tuple[str, ...] = ()


Shape = Mapping[str, Nested | None]  # the field names, and which of them are nested objects


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition: the text it was written as, and the names that it looks at."""

    text: str
    names: frozenset[str]
    _evaluate: Evaluate = field(repr=False, compare=False)

    def holds(self, fields: Fields) -> bool:
        """Tell whether the condition is true for these fields; False where it is unknown."""
        return evaluation.truth(self._evaluate(fields)) is True


def parse_condition(text: str, shape: Shape) -> Condition:
    """Compile a condition over the fields named in `shape`.

    Raises WrongUsage that points at the column and says what is allowed.
    """
    if len(text) > LONGEST:
        raise WrongUsage(f"the filter has {len(text)} characters, at most {LONGEST:,} are allowed")
    if not text.strip():
        raise WrongUsage("the filter is empty", hint=ALLOWED)
    return _Compiler(text, shape).compile()


_SHOWN: Final = 60  # characters of the text on either side of the column in a message
_MOST_DIGITS: Final = 15  # more a float does not hold
_BRACKETS: Final = 'in brackets stands a name in quotes: probabilities["late"]'
_ELEMENTS: Final = "a list after `in` holds numbers, texts, True and False only, and is not empty"
_TOO_DEEP: Final = f"it is nested deeper than {DEEPEST} levels"
_NONE: Final = "None can only be compared: == None, != None, is None"
_CALLS: Final = (
    "the only calls are abs(x), len(text), min(x, y, …), max(x, y, …), round(x), round(x, digits) "
    f"with 0 to {_MOST_DIGITS} digits"
)
_OTHER_SPELLINGS: Final = {"true": "True", "false": "False", "null": "None", "none": "None"}


class _Compiler:
    """Turns the text into closures; every node that is not expected is refused where it stands."""

    def __init__(self, text: str, shape: Shape) -> None:
        self._text = text
        self._shape = shape
        self._names: set[str] = set()
        line = re.sub(r"[\r\n\t\f]", " ", text)  # one line, so that a position is a column
        self._source = line.strip(" ")  # leading blanks are an indentation to the parser
        self._lead = len(line) - len(line.lstrip(" "))

    def compile(self) -> Condition:
        tree = self._parsed()
        self._check_depth(tree)
        evaluate = self._value(tree)
        return Condition(self._text, frozenset(self._names), evaluate)

    def _parsed(self) -> ast.expr:
        try:
            with warnings.catch_warnings():  # on `1 is 1`, "\d": errors of ours, or harmless
                warnings.simplefilter("ignore")
                return ast.parse(self._source, mode="eval").body
        except SyntaxError as error:
            raise self._unreadable(error) from None
        except (RecursionError, MemoryError):
            raise self._refusal_at(0, _TOO_DEEP) from None
        except ValueError:  # a null character, a lone surrogate
            raise self._refusal_at(0, "it holds a character that cannot be read") from None

    def _unreadable(self, error: SyntaxError) -> WrongUsage:
        position = (error.offset or 0) - 1
        if position < 0:  # the parser's way to say: at the end
            return self._refusal_at(self._lead + len(self._source), "something is missing here")
        reason = (
            "to compare, write ==" if self._source[position : position + 1] == "=" else error.msg
        )
        return self._refusal_at(self._lead + position, reason)

    def _check_depth(self, tree: ast.expr) -> None:
        level: list[ast.expr] = [tree]
        for _ in range(DEEPEST):
            nodes = [child for node in level for child in ast.iter_child_nodes(node)]
            level = [node for node in nodes if isinstance(node, ast.expr)]
            if not level:
                return
        raise self._refusal(level[0], _TOO_DEEP)

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
                raise self._refusal(node, "a list can only stand after `in`")
            case _:
                raise self._refusal(node, "this is no part of a filter")

    def _constant(self, node: ast.Constant) -> Evaluate:
        if node.value is None:
            raise self._refusal(node, _NONE)
        if not isinstance(node.value, int | float | str):
            raise self._refusal(node, "only numbers, texts, True and False can be written out")
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
                raise self._refusal(node, _BRACKETS)

    def _nested(self, node: ast.expr, outer: ast.expr, inner: str) -> Evaluate:
        if not isinstance(outer, ast.Name):
            raise self._refusal(node, "only a field can be looked into, one level deep")
        name = self._name(outer, outer.id)
        nested = self._shape[name]
        if nested is None:
            raise self._refusal(node, f"{name!r} is a single value, there is nothing within it")
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
        raise self._refusal(node, f"there is no field {name!r}: {mend}")

    def _number(self, node: ast.expr) -> Evaluate:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            raise self._refusal(node, "a text in arithmetic: + - * / % are for numbers")
        return self._value(node)

    def _arithmetic(self, node: ast.BinOp) -> Evaluate:
        compute = evaluation.ARITHMETIC.get(type(node.op).__name__)
        if compute is None:
            raise self._refusal(node, "only + - * / % compute")
        return evaluation.arithmetic(compute, self._number(node.left), self._number(node.right))

    def _comparison(self, node: ast.Compare) -> Evaluate:
        operands = [node.left, *node.comparators]
        links: list[tuple[Link, Evaluate]] = []
        for op, left, right in zip(node.ops, operands, operands[1:], strict=False):
            if isinstance(op, ast.In | ast.NotIn):
                if right is not operands[-1]:
                    raise self._refusal(right, "nothing can be compared with a list")
                wanted = isinstance(op, ast.In)
                link = evaluation.membership(self._elements(right), wanted=wanted)
                links.append((link, evaluation.constant(None)))
            else:
                links.append((self._link(op, left, right), self._operand(right)))
        return evaluation.chain(self._operand(node.left), links)

    def _link(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Link:
        if _is_none(left) or _is_none(right):
            if not isinstance(op, ast.Eq | ast.NotEq | ast.Is | ast.IsNot):
                raise self._refusal(right, _NONE)
            wanted = isinstance(op, ast.Eq | ast.Is)
            return evaluation.missing(wanted=wanted, left=_is_none(right))
        if isinstance(op, ast.Is | ast.IsNot):
            raise self._refusal(right, "`is` is for None alone: use == or !=")
        return evaluation.comparison(evaluation.COMPARISONS[type(op).__name__])

    def _operand(self, node: ast.expr) -> Evaluate:
        return evaluation.constant(None) if _is_none(node) else self._value(node)

    def _elements(self, node: ast.expr) -> list[object]:
        if not isinstance(node, ast.Tuple | ast.List):
            raise self._refusal(node, "after `in` stands a list in parentheses: in (1, 2)")
        if not node.elts:
            raise self._refusal(node, _ELEMENTS)
        return [self._literal(element) for element in node.elts]

    def _literal(self, node: ast.expr) -> object:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -value
            case _:
                raise self._refusal(node, _ELEMENTS)

    def _call(self, node: ast.Call, name: str) -> Evaluate:
        if node.keywords or any(isinstance(each, ast.Starred) for each in node.args):
            raise self._refusal(node, _CALLS)
        match name, node.args:
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
                raise self._refusal(node, _CALLS)

    def _digits(self, node: ast.Call, given: list[ast.expr]) -> int | None:
        match given:
            case []:
                return None
            case [ast.Constant(value=int() as digits)] if digits <= _MOST_DIGITS:
                return digits
            case _:
                raise self._refusal(node, _CALLS)

    def _refusal(self, node: ast.expr, reason: str) -> WrongUsage:
        characters = len(self._source.encode()[: node.col_offset].decode(errors="ignore"))
        return self._refusal_at(self._lead + characters, reason)

    def _refusal_at(self, position: int, reason: str) -> WrongUsage:
        shown = "".join(each if each.isprintable() else " " for each in self._text)
        position = max(0, min(position, len(shown)))
        start = max(0, position - _SHOWN)
        return WrongUsage(
            f"the filter is wrong at column {position + 1}: {reason}\n"
            f"    {shown[start : position + _SHOWN]}\n"
            f"    {' ' * (position - start)}^",
            hint=ALLOWED,
        )


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
