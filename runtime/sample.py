"""The inputs of an estimator out of a user's table: which columns, and by what names.

Every slip is the user's to mend, so each names the file and the nearest column there is.
"""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from model.errors import InputFileError, WrongUsage


def require_columns(file: Path, frame: pd.DataFrame, names: Iterable[str]) -> None:
    """Refuse a table that lacks a column.

    Raises:
        InputFileError: names the first that is missing, and the nearest that is there.

    """
    for name in names:
        if name not in frame.columns:
            msg = f"{file} has no column {name!r}"
            raise InputFileError(msg, hint=_nearest(name, frame.columns))


def require_features(option: str, named: Iterable[str], features: Collection[str]) -> None:
    """Refuse an option for a feature that the model does not have.

    Raises:
        WrongUsage: names the first, and the nearest that the model has.

    """
    for name in named:
        if name not in features:
            msg = f"{option} names the feature {name!r}, which the model does not have"
            raise WrongUsage(msg, hint=_nearest(name, features))


def choose_inputs(
    estimator: Any,  # noqa: ANN401 - any fitted estimator
    file: Path,
    frame: pd.DataFrame,
    features: Sequence[str],
    paths: Mapping[str, str],
) -> pd.DataFrame:
    """Give the estimator's own columns of a table, in its order.

    They are those that it was fitted with, or `features` where it does not know their names,
    or all. A feature with a path into nested events may stand in the column of that path.

    Raises:
        InputFileError: a column is missing.
        WrongUsage: `features` are not those that the estimator takes.

    """
    fitted = getattr(estimator, "feature_names_in_", None)
    names = [str(name) for name in (frame.columns if fitted is None else fitted)]
    if features:
        if fitted is not None and set(features) != set(names):
            msg = f"--features are not those that the estimator was fitted on: {', '.join(names)}"
            raise WrongUsage(msg, hint="leave them out: the estimator knows them")
        names = names if fitted is not None else list(features)
    sources = {name: _source(name, frame, paths) for name in names}
    require_columns(file, frame, sources.values())
    expected = getattr(estimator, "n_features_in_", len(names))
    if len(names) != expected:
        msg = f"the estimator takes {expected} features and is given {len(names)} columns"
        raise WrongUsage(msg, hint="name its inputs, in their order, with --features")
    return frame[list(sources.values())].set_axis(list(sources), axis=1)


def _source(name: str, frame: pd.DataFrame, paths: Mapping[str, str]) -> str:
    path = paths.get(name, name)
    return path if name not in frame.columns and path in frame.columns else name


def _nearest(name: str, known: Iterable[str]) -> str:
    known = [str(each) for each in known]
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
