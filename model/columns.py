"""A table's columns as the matrix that trees are given: what scikit-learn's own steps would make.

Knows the few steps that can be done column by column with the same result, which are numbers
passed on and text as ordinal numbers. Reads their private attributes where there is no other way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder
from sklearn.utils.validation import check_array

from model._native import codes
from model.signature import Kind, Signature
from model.table import Table

REFUSED = np.inf  # stands for what scikit-learn refuses, or must be asked for; no event holds it
_LONG, _EXACT = 8, 2**53  # bytes of an integer; float64 holds every whole number below


@dataclass(frozen=True, slots=True)
class Number:
    """A column of numbers or booleans, passed on."""

    feature: int


@dataclass(frozen=True, slots=True)
class Text:
    """A column of text that no step has turned into numbers yet."""

    feature: int


@dataclass(frozen=True, slots=True)
class Codes:
    """A column of text, by a table: `missing` stands for no text, `unknown` for any other."""

    feature: int
    table: dict[str, float]
    missing: float
    unknown: float


Column = Number | Codes


class Matrix:
    """Turns tables into matrices; `columns` says where each column of the matrix comes from.

    `single`: it will be rounded to float32. scikit-learn may do so in one step, which comes to
    another number for some integers that float64 does not hold: those are REFUSED.
    """

    def __init__(self, columns: Sequence[Column], *, single: bool) -> None:
        self._columns = tuple(columns)
        self._single = single

    def __call__(self, table: Table) -> npt.NDArray[np.float64]:
        """Make the matrix (rows, columns), C-contiguous."""
        width = len(self._columns)
        matrix = np.empty((table.rows, width))
        for at, column in enumerate(self._columns):
            source = table.columns[column.feature]
            if isinstance(column, Number):
                matrix[:, at] = source
                if self._single and source.dtype.kind in "iu" and source.itemsize == _LONG:
                    matrix[np.abs(matrix[:, at]) >= _EXACT, at] = REFUSED
            else:
                given = (column.table, column.missing, column.unknown)
                codes(np.ascontiguousarray(source), *given, matrix, width, at)
        return matrix


def plan_columns(pipeline: Sequence[Any], signature: Signature, *, single: bool) -> Matrix | None:
    """How the inputs of a pipeline's last step are made; None where that is not known here.

    `single`: the last step rounds them to float32.

    Raises:
        AttributeError, KeyError, IndexError, TypeError, ValueError: scikit-learn holds what it
            needs in another way than it did.

    """
    steps = list(pipeline)
    columns: list[Column | Text] = [
        Text(at) if f.kind is Kind.STRING else Number(at) for at, f in enumerate(signature.features)
    ]
    if any(f.kind is Kind.BOOLEAN and f.dtype == "object" for f in signature.features):
        return None
    preprocessor = getattr(steps[-1], "_preprocessor", None)
    steps[-1:] = [] if preprocessor is None else [preprocessor]
    for step in steps:
        if type(step) is not ColumnTransformer or step.transformer_weights or step.sparse_output_:
            return None
        planned = _transformed(step, columns, signature)
        if planned is None:
            return None
        columns = planned
    known = [column for column in columns if not isinstance(column, Text)]
    return Matrix(known, single=single) if len(known) == len(columns) else None


def _transformed(
    step: ColumnTransformer, columns: list[Column | Text], signature: Signature
) -> list[Column | Text] | None:
    planned: dict[int, Column | Text] = {}
    for name, transformer, _ in step.transformers_:
        sources = [columns[at] for at in step._transformer_to_input_indices[name]]  # noqa: SLF001
        places = range(len(columns) * 2)[step.output_indices_[name]]
        if not sources or transformer == "drop":
            continue
        if type(transformer) is OrdinalEncoder:
            encoded = _encoded(transformer, sources, signature)
        else:
            encoded = sources if _is_passed_on(transformer) else None
        if encoded is None or len(encoded) != len(places):
            return None
        planned |= dict(zip(places, encoded, strict=True))
    return [planned[at] for at in range(len(planned))]


_BOOSTINGS_CHECK = {"dtype": [np.float64], "ensure_all_finite": False}


def _is_passed_on(transformer: Any) -> bool:  # noqa: ANN401 - any transformer
    """Whether the numbers stay as they are: also where boosting only checks that they are some."""
    if transformer == "passthrough":
        return True
    if type(transformer) is not FunctionTransformer or transformer.validate or transformer.kw_args:
        return False
    func = transformer.func
    if func is None:
        return True
    return (
        isinstance(func, partial)
        and func.func is check_array
        and not func.args
        and func.keywords == _BOOSTINGS_CHECK
    )


def _encoded(
    encoder: OrdinalEncoder, sources: Sequence[Column | Text], signature: Signature
) -> list[Column | Text] | None:
    plain = encoder.dtype is np.float64 and not encoder._infrequent_enabled  # noqa: SLF001
    if not plain or len(encoder.categories_) != len(sources):
        return None
    encoded: list[Column | Text] = []
    for source, categories in zip(sources, encoder.categories_, strict=True):
        if isinstance(source, Number):
            return None
        if isinstance(source, Codes):
            code = _code_of_numbers(encoder, categories)
            table = {text: code(number) for text, number in source.table.items()}
            missing, unknown = code(source.missing), code(source.unknown)
            encoded.append(Codes(source.feature, table, missing, unknown))
        elif named := _code_of_texts(encoder, categories, source.feature, signature):
            encoded.append(named)
        else:
            return None
    return encoded


def _unknown(encoder: OrdinalEncoder) -> float:
    refuses = encoder.handle_unknown != "use_encoded_value"
    return REFUSED if refuses else float(encoder.unknown_value)


def _code_of_texts(
    encoder: OrdinalEncoder, categories: npt.NDArray[Any], feature: int, signature: Signature
) -> Codes | None:
    # What stands for null in the column (model/table.py) must be what the encoder learned.
    none = signature.features[feature].dtype == "object"
    known = {c: float(at) for at, c in enumerate(categories.tolist()) if isinstance(c, str)}
    others = [c for c in categories.tolist() if not isinstance(c, str)]
    if others and (len(others) > 1 or (others[0] is None) != none or not pd.isna(others[0])):
        return None
    missing = unknown = _unknown(encoder)
    if others:  # None is a category like any other
        code = categories.tolist().index(None) if none else encoder.encoded_missing_value
        missing = float(code)
    return Codes(feature, known, missing, unknown)


def _code_of_numbers(
    encoder: OrdinalEncoder, categories: npt.NDArray[Any]
) -> Callable[[float], float]:
    """The code of a code: where a second encoder learned the first one's."""
    table = {float(c): float(at) for at, c in enumerate(categories.tolist()) if not isnan(c)}
    learned_missing = len(table) < len(categories)
    unknown = _unknown(encoder)

    def code(number: float) -> float:
        if number == REFUSED:
            return REFUSED
        if isnan(number):
            return float(encoder.encoded_missing_value) if learned_missing else unknown
        return table.get(number, unknown)

    return code
