"""The files of a bundle, and the proof that they are those that were saved.

    model.skops      the fitted estimator, in a format that runs no code on load
    signature.json   what events must hold and what the model answers
    card.json        what the model is: name, version, metrics, rows, library versions
    golden.json      events and the answers they had when the model was saved
    baseline.json    what the sample's features and answers looked like; older bundles have none
    checksums.json   the SHA-256 of each of the other files

The checksums find what was changed by accident or carelessly; whoever can write all files can
write these too, so nothing in a bundle is trusted for its checksum. Knows bytes, not models.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from model.errors import ModelError, ModelNotFound, TamperedBundle, WrongUsage

MODEL = "model.skops"
SIGNATURE = "signature.json"
CARD = "card.json"
GOLDEN = "golden.json"
BASELINE = "baseline.json"
CHECKSUMS = "checksums.json"

_FILES = (MODEL, SIGNATURE, CARD, GOLDEN)
_OPTIONAL = (BASELINE,)

_T = TypeVar("_T")


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a bundle's files and their checksums into an empty folder."""
    checksums = {name: _checksum(data) for name, data in sorted(files.items())}
    for name, data in {**files, CHECKSUMS: to_json(checksums)}.items():
        (folder / name).write_bytes(data)


def read_files(folder: Path) -> dict[str, bytes]:
    """Read a bundle's files, each once, so that what was checked is what is used.

    Raises:
        ModelNotFound: there is no such folder.
        TamperedBundle: a file is missing, changed, a link, or one too many.
        ModelError: the folder cannot be read.

    """
    if not folder.is_dir():
        msg = f"there is no bundle at {folder}"
        raise ModelNotFound(msg)
    try:
        names = {entry.name for entry in folder.iterdir()}
        _require_exactly(folder, names)
        checksums = parse(folder / CHECKSUMS, (folder / CHECKSUMS).read_bytes(), dict[str, str])
        present = (*_FILES, *(name for name in _OPTIONAL if name in names))
        files = {name: (folder / name).read_bytes() for name in present}
    except OSError as error:
        msg = f"the bundle {folder} cannot be read: {error.strerror}"
        raise ModelError(msg, hint="mend its permissions") from error
    if missing := [name for name in _OPTIONAL if name in checksums and name not in names]:
        raise _tampered(folder, f"{', '.join(missing)} is missing")
    if set(checksums) != set(present):
        raise _tampered(folder, f"{CHECKSUMS} does not name the files")
    for name, data in files.items():
        if checksums[name] != _checksum(data):
            raise _tampered(folder, f"{name} was changed")
    return files


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Read a bundle's card or signature to show it: quickly, and without proving anything.

    Raises:
        TamperedBundle: it is missing, or does not read as it was written.

    """
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise _tampered(folder, f"{name} cannot be read: {error.strerror}") from error
    return parse(folder / name, data, dict[str, Any])


def to_json(content: Mapping[str, object]) -> bytes:
    """Give JSON for people to read.

    Raises:
        WrongUsage: a value, such as NaN, has no form in JSON.

    """
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        msg = f"this cannot be written as JSON: {error}"
        raise WrongUsage(msg, hint="metrics must be finite numbers") from error
    return text.encode() + b"\n"


def parse(file: Path, data: bytes, kind: type[_T]) -> _T:
    """Read the JSON of one of a bundle's files.

    Raises:
        TamperedBundle: it does not read as it was written.

    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise _tampered(file.parent, f"{file.name} does not read as it was written") from error


def _require_exactly(folder: Path, names: set[str]) -> None:
    expected = {*_FILES, CHECKSUMS}
    if missing := expected - names:
        raise _tampered(folder, f"{', '.join(sorted(missing))} is missing")
    if extra := names - expected - set(_OPTIONAL):
        raise _tampered(folder, f"{', '.join(sorted(extra))} was added")
    for name in sorted(names):
        if (folder / name).is_symlink() or not (folder / name).is_file():
            raise _tampered(folder, f"{name} is no plain file")


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _tampered(folder: Path, what: str) -> TamperedBundle:
    msg = f"the bundle {folder} is not what was saved: {what}"
    return TamperedBundle(msg, hint="restore it from a backup, or bundle the model again")
