"""Estimators that a user brings: fitted ones from files, unfitted ones from a function.

Both run, or refuse to run, the user's code; nothing here knows bundles or Kafka.
"""

import contextlib
import difflib
import importlib
import pickle
import sys
import zipfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import InputFileError, WrongUsage
from runtime.tables import require_file

if TYPE_CHECKING:
    import pandas as pd

PICKLES = (".joblib", ".pkl", ".pickle")

# What unpickling raises over a file that is broken, or that other libraries wrote.
_UNREADABLE = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
)


def read_skops(path: Path, allowed_types: Collection[str]) -> Any:  # noqa: ANN401 - any estimator
    """Read an estimator from a .skops file, which runs no code.

    Raises:
        InputFileError: the file is missing or no skops file.
        UntrustedModel: it holds types that are neither on the list nor in `allowed_types`.
        IncompatibleBundle: it cannot be read with the libraries installed here.

    """
    from model.trust import load_estimator  # noqa: PLC0415 - scikit-learn takes a second

    require_file(path)
    if not zipfile.is_zipfile(path):
        msg = f"{path} is not a skops file"
        raise InputFileError(msg, hint="write one with skops.io.dump(estimator, path)")
    return load_estimator(path.read_bytes(), source=str(path), allowed_types=allowed_types)


def read_pickle(path: Path) -> Any:  # noqa: ANN401 - any estimator
    """Read an estimator from a pickle of joblib's or Python's: runs whatever code it holds.

    Raises:
        InputFileError: the file is missing, no pickle, or of libraries that are not here.

    """
    import joblib  # noqa: PLC0415 - only where a pickle is read

    require_file(path)
    try:
        return joblib.load(path)
    except _UNREADABLE as error:
        msg = f"{path} cannot be unpickled: {type(error).__name__}: {error}"
        hint = "install the libraries that it was written with"
        raise InputFileError(msg, hint=hint) from error


def refuse_pickle(path: Path) -> WrongUsage:
    """Say why a pickle is not read without being told to."""
    msg = f"{path} is a pickle: loading it runs whatever code whoever wrote it put in"
    hint = "if you wrote it yourself, add --trust-pickle; or save it with skops.io.dump"
    return WrongUsage(msg, hint=hint)


@contextlib.contextmanager
def builder(spec: str) -> Iterator["Callable[[pd.DataFrame], Any]"]:
    """Import "module:function", which makes an unfitted estimator for a table of features.

    The working directory can be imported from while the block runs.

    Raises:
        WrongUsage: there is no such module or function.

    """
    module_name, _, function_name = spec.partition(":")
    if not module_name or not function_name.isidentifier():
        msg = f"--estimator is {spec!r}, not module:function"
        raise WrongUsage(msg, hint="such as my_models:build for a function in my_models.py")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield _function(module_name, function_name)
    finally:
        sys.path.remove(here)


def _function(module_name: str, function_name: str) -> "Callable[[pd.DataFrame], Any]":
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        msg = f"--estimator: the module {module_name!r} cannot be imported: {error}"
        hint = "modules are looked for in the working directory and among installed packages"
        raise WrongUsage(msg, hint=hint) from error
    found = getattr(module, function_name, None)
    if callable(found):
        function: Callable[[pd.DataFrame], Any] = found
        return function
    near = difflib.get_close_matches(function_name, dir(module), n=1)
    msg = f"--estimator: the module {module_name!r} has no function {function_name!r}"
    raise WrongUsage(msg, hint=f"did you mean {near[0]!r}?" if near else "")
