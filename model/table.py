"""A batch of rows as columns: what is decoded from events and given to an estimator.

Pure numpy and pandas; knows nothing of JSON or of how rows arrive.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from model.errors import UnsupportedModel
from model.rejection import Code
from model.signature import Feature, Kind, Signature

if TYPE_CHECKING:
    import pandas as pd

PYTHON_TYPES: dict[Kind, tuple[type, ...]] = {
    Kind.NUMBER: (int, float),
    Kind.INTEGER: (int, float),
    Kind.BOOLEAN: (bool,),
    Kind.STRING: (str,),
}


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` rows as one array per feature, in the signature's order."""

    columns: tuple[npt.NDArray[Any], ...]
    rows: int

    def take(self, positions: Sequence[int] | slice) -> "Table":
        """The rows at these positions."""
        columns = tuple(column[positions] for column in self.columns)
        return Table(columns, len(columns[0]))


def column_dtype(feature: Feature) -> np.dtype[Any]:
    """The numpy dtype of a feature's column in a table: text and nullable booleans are objects."""
    if feature.kind is Kind.STRING or feature.dtype == "object":
        return np.dtype(object)
    return np.dtype(feature.dtype)


def integer_limits(feature: Feature) -> tuple[int, int]:
    """The least and the largest whole number that an integer's column holds."""
    limits = np.iinfo("int64" if feature.dtype.startswith("float") else feature.dtype)
    return int(limits.min), int(limits.max)


def missing_value(feature: Feature) -> float | None:
    """What stands for null in a nullable feature's column."""
    return None if feature.dtype == "object" else np.nan


def build_column(feature: Feature, values: list[Any]) -> npt.NDArray[Any]:
    """One feature's values (None where there is none) as the array that its dtype names.

    Values are trusted to be of the feature's kind, and numbers to fit (see `unfit_numbers`).
    """
    if feature.kind is Kind.STRING or feature.dtype == "object":
        column = np.empty(len(values), dtype=object)
        column[:] = values
        if feature.nullable and feature.dtype != "object":
            column[[value is None for value in values]] = np.nan
        return column
    return np.array(values, dtype=feature.dtype)


def unfit_numbers(feature: Feature, values: list[Any]) -> dict[int, tuple[Code, str]]:
    """The rows of the numbers that the feature's column cannot hold, each with the cause in words.

    `values` are finite numbers or None. A whole float is an integer too.
    """
    whole = feature.kind is Kind.INTEGER
    if whole:
        least, largest = integer_limits(feature)
        name = "int64" if feature.dtype.startswith("float") else feature.dtype
    elif feature.dtype == "float32":
        largest = int(np.finfo(np.float32).max)
        least, name = -largest, feature.dtype
    else:
        return {}
    unfit = {}
    for row, value in enumerate(values):
        if value is None:
            continue
        if whole and type(value) is float and not value.is_integer():
            unfit[row] = (Code.WRONG_TYPE, "must be a whole number and has a fraction")
        elif not least <= value <= largest:
            unfit[row] = (Code.OUT_OF_RANGE, f"does not fit {name}")
    return unfit


def table_from_frame(signature: Signature, frame: "pd.DataFrame") -> Table:
    """A DataFrame's columns as a table; extra columns are ignored.

    Raises:
        UnsupportedModel: a column is missing, of another kind, or null where it may not be.

    """
    named = frame.set_axis([str(name) for name in frame.columns], axis=1)
    return Table(tuple(_frame_column(f, named) for f in signature.features), len(frame))


def frame_from_table(signature: Signature, table: Table) -> "pd.DataFrame":
    """The DataFrame that an estimator with feature names is given."""
    import pandas as pd  # noqa: PLC0415 - half a second: after what needs none

    columns: dict[str, Any] = {}
    for feature, column in zip(signature.features, table.columns, strict=True):
        if feature.dtype in {"category", "object"}:  # else pandas would make text of objects
            columns[feature.name] = pd.Series(column, dtype=feature.dtype)
        else:
            columns[feature.name] = column
    return pd.DataFrame(columns)


def array_from_table(table: Table) -> npt.NDArray[Any]:
    """The 2-D array that an estimator without feature names is given."""
    return np.column_stack(table.columns)


def _frame_column(feature: Feature, frame: "pd.DataFrame") -> npt.NDArray[Any]:
    if list(frame.columns).count(feature.name) != 1:
        msg = f"the table has no column {feature.name!r}, or several"
        raise UnsupportedModel(msg, hint=f"it has: {', '.join(frame.columns)}")
    series = frame[feature.name]
    missing = series.isna().to_numpy()
    if missing.any() and not feature.nullable:
        msg = f"the column {feature.name!r} has missing values where the model's sample had none"
        raise UnsupportedModel(msg, hint="fill them, or bundle the model with it nullable")
    values = [
        value.item() if isinstance(value, np.generic) else value
        for value in series.astype(object).where(~missing, None).tolist()
    ]
    for row, value in enumerate(values):
        if value is not None and not _fits(feature.kind, value):
            msg = f"row {row} of the column {feature.name!r} is no {feature.kind.value}"
            raise UnsupportedModel(msg, hint="give the columns the kinds of the model's sample")
    for row, (_, why) in unfit_numbers(feature, values).items():
        msg = f"row {row} of the column {feature.name!r} {why}"
        raise UnsupportedModel(msg, hint="give the columns the kinds of the model's sample")
    return build_column(feature, values)


def _fits(kind: Kind, value: Any) -> bool:  # noqa: ANN401 - whatever a column may hold
    if type(value) not in PYTHON_TYPES[kind]:
        return False
    largest = sys.float_info.max
    return kind not in {Kind.NUMBER, Kind.INTEGER} or -largest <= value <= largest
