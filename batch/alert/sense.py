"""Refuses a condition that could never hold, whatever the day: a slip, not a quiet night.

A label or a column that the model has not, a text where all is numbers, a division by 0. What
this day has none of, but another one might, is no slip.
"""

import ast
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Final

from batch.answered import Answered
from batch.selection import Looked, require_divisor
from model.errors import WrongUsage
from runtime.expression_text import Written

_OF_EVERY_ROW: Final = ("event_id", "version")
_OF_NUMBERS: Final = ("mean", "minimum", "maximum")


def require_sense(written: Written, tree: ast.expr, measures: Collection[str]) -> None:
    """Refuse what no model makes true, outside of the parentheses of `measures`.

    Raises WrongUsage that points at the column.
    """
    for node in _outside(tree, measures):
        match node:
            case ast.Constant(value=str()):
                msg = "a text never equals a figure of the day: all of these are numbers"
                raise written.refusal(node, msg)
            case ast.Call(func=ast.Name(id="len")):
                raise written.refusal(node, "a figure of the day is a number and has no length")
            case ast.BinOp():
                require_divisor(written, node)


def require_known(
    written: Written, tree: ast.expr, measures: Collection[str], looked: Looked, has: Answered
) -> None:
    """Refuse columns and labels that the model has not. Raises WrongUsage, as above."""
    if not has.fields:
        return  # the day has no prediction that could tell
    there = (*has.fields, *_OF_EVERY_ROW)
    for node, name in looked.fields.items():
        if name not in there:
            raise _absent(written, node, name, there)
    for node, label in looked.labels.items():
        if has.knows_all and label not in has.labels:
            near = get_close_matches(label, has.labels, n=1, cutoff=0.5)
            known = ", ".join(map(repr, has.labels))
            mend = f"did you mean {near[0]!r}? There are {known}" if near else f"there are {known}"
            raise written.refusal(node, f"the model has no label {label!r}: {mend}")
    if "prediction" not in has.fields:
        for node in _outside(tree, measures):
            if isinstance(node, ast.Name) and node.id in _OF_NUMBERS:
                msg = f"the model's predictions are no numbers, so there is no {node.id}: use"
                raise written.refusal(node, f"{msg} share(label == …) or average(…)")


def _absent(written: Written, node: ast.expr, name: str, there: Collection[str]) -> WrongUsage:
    return written.refusal(
        node, f"the predictions of this model have no {name}: there are {', '.join(there)}"
    )


def _outside(node: ast.expr, measures: Collection[str]) -> Iterator[ast.expr]:
    """All parts, but for what stands within a measure's parentheses."""
    yield node
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in measures:
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield from _outside(child, measures)
