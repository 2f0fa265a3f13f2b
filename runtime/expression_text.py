"""The text of an expression that a user wrote: parsed, and refused where it is wrong.

It must not know what an expression means: that is runtime/expressions.py, which computes with it,
or batch/selection.py, which asks a database.
"""

import ast
import re
import warnings
from typing import Final

from model.errors import WrongUsage

LONGEST: Final = 1_000  # characters
DEEPEST: Final = 50  # levels of nesting

_SHOWN: Final = 60  # characters of the text on either side of the column in a message
_TOO_DEEP: Final = f"it is nested deeper than {DEEPEST} levels"


class Written:
    """A text that is called `noun` in messages, with the hint that says what is `allowed`.

    Raises WrongUsage for one that is empty or too long.
    """

    def __init__(self, text: str, noun: str, allowed: str) -> None:
        self._text = text
        self._noun = noun
        self._allowed = allowed
        if len(text) > LONGEST:
            msg = f"the {noun} has {len(text)} characters, at most {LONGEST:,} are allowed"
            raise WrongUsage(msg)
        if not text.strip():
            raise WrongUsage(f"the {noun} is empty", hint=allowed)
        line = re.sub(r"[\r\n\t\f]", " ", text)  # one line, so that a position is a column
        self._source = line.strip(" ")  # leading blanks are an indentation to the parser
        self._lead = len(line) - len(line.lstrip(" "))

    def parsed(self) -> ast.expr:
        """The whole text. Raises WrongUsage that points at the column."""
        tree = self._parsed()
        self._check_depth(tree)
        return tree

    def part(self, node: ast.expr) -> str:
        """A part of the text as it was written."""
        return ast.get_source_segment(self._source, node) or ""

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
        raise self.refusal(level[0], _TOO_DEEP)

    def refusal(self, node: ast.expr, reason: str) -> WrongUsage:
        """The error that points at a part and says why."""
        characters = len(self._source.encode()[: node.col_offset].decode(errors="ignore"))
        return self._refusal_at(self._lead + characters, reason)

    def _refusal_at(self, position: int, reason: str) -> WrongUsage:
        shown = "".join(each if each.isprintable() else " " for each in self._text)
        position = max(0, min(position, len(shown)))
        start = max(0, position - _SHOWN)
        return WrongUsage(
            f"the {self._noun} is wrong at column {position + 1}: {reason}\n"
            f"    {shown[start : position + _SHOWN]}\n"
            f"    {' ' * (position - start)}^",
            hint=self._allowed,
        )
