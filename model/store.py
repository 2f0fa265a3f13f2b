"""The store of saved models: versions and aliases in a folder.

    <store>/<name>/<version>/…         a bundle; "1", "2", … and never changed once visible
    <store>/<name>/aliases.json        {"champion": "2", …}

Knows nothing of what is in a bundle, and never reads the clock. Reading needs no lock and no
write permission; writers on one machine or one POSIX file system may run at once.
"""

import contextlib
import difflib
import fcntl
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from model.errors import ModelError, ModelNotFound, WrongUsage

CHAMPION = "champion"
_ALIASES = "aliases.json"
_LOCK = ".lock"
_LOCK_RETRY_S = 0.02
_LOCK_ATTEMPTS = 500  # 10 s, counted in attempts because this package reads no clock
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_TAKEN = re.compile(r"\.?([1-9][0-9]{0,8})(?:\.writing)?")


@dataclass(frozen=True, slots=True)
class BundleRef:
    """Where one version of a model lies."""

    name: str
    version: str
    path: Path


class Store:
    """Saved models by name, version and alias."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def models(self) -> list[str]:
        """The names of all models that have a version, sorted."""
        names = sorted(path.name for path in _entries(self.path))
        return [name for name in names if _NAME.fullmatch(name) and self.versions(name)]

    def versions(self, name: str) -> list[str]:
        """The versions of a model, oldest first; empty when there is no such model."""
        require_name(name)
        names = [path.name for path in _entries(self.path / name) if path.is_dir()]
        return sorted(filter(_VERSION.fullmatch, names), key=int)

    def aliases(self, name: str) -> dict[str, str]:
        """The aliases of a model and the version that each stands for.

        Raises:
            ModelError: the file with the aliases is broken.

        """
        require_name(name)
        file = self.path / name / _ALIASES
        try:
            found = json.loads(file.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            msg = f"{file} is not JSON"
            raise ModelError(msg, hint=f"set it right with `promote {name}:1 ALIAS`") from error
        if not _are_aliases(found):
            msg = f"{file} does not map aliases to versions"
            raise ModelError(msg, hint='it reads like {"champion": "1"}')
        return dict(found)

    def resolve(self, reference: str) -> BundleRef:
        """Find "name@alias", "name:version" or "name" (its champion).

        Raises:
            WrongUsage: the reference does not read like one of the three.
            ModelNotFound: there is no such model, version or alias.

        """
        name, separator, wanted = _split(reference)
        versions = self.versions(name)
        if not versions:
            msg = f"there is no model {name!r} in {self.path}"
            raise ModelNotFound(msg, hint=_choices(name, self.models(), "models"))
        if separator == ":":
            version = wanted
        else:
            aliases = self.aliases(name)
            if wanted not in aliases:
                msg = f"the model {name!r} in {self.path} has no alias {wanted!r}"
                raise ModelNotFound(msg, hint=_choices(wanted, aliases, "aliases"))
            version = aliases[wanted]
        if version not in versions:
            msg = f"the model {name!r} in {self.path} has no version {version!r}"
            raise ModelNotFound(msg, hint=_choices(version, versions, "versions"))
        return BundleRef(name, version, self.path / name / version)

    def promote(self, name: str, version: str, alias: str) -> None:
        """Let an alias stand for a version, in place of whichever it stood for.

        Raises:
            WrongUsage: the alias is not a name, or reads like a version.
            ModelNotFound: there is no such model or version.

        """
        require_alias(alias)
        self.resolve(f"{name}:{version}")
        home = self.path / name
        with _writing(home), _locked(home):
            self._write_alias(name, alias, version)

    def add(self, name: str, write: Callable[[Path, str], None]) -> BundleRef:
        """Add a version: `write` fills an empty folder, given with the version it will be.

        The version becomes visible whole, when `write` has returned, or not at all when it
        raised. The first version of a model becomes its champion.
        """
        require_name(name)
        home = self.path / name
        with _writing(home):
            home.mkdir(parents=True, exist_ok=True)
            with _draft(home) as (draft, version):
                write(draft, version)
                _sync(draft)
                self._publish(name, draft, version)
        return BundleRef(name, version, home / version)

    def _publish(self, name: str, draft: Path, version: str) -> None:
        home = self.path / name
        with _locked(home):
            first = not self.versions(name)
            draft.rename(home / version)
            if first:
                self._write_alias(name, CHAMPION, version)

    def _write_alias(self, name: str, alias: str, version: str) -> None:
        """Replace the aliases whole, so that a reader finds the old ones or the new ones."""
        try:
            aliases = self.aliases(name)
        except ModelError:
            aliases = {}  # a broken file is mended by writing it
        home = self.path / name
        with tempfile.NamedTemporaryFile(
            "w", dir=home, prefix=".aliases-", encoding="utf-8", delete=False
        ) as file:
            json.dump(dict(sorted({**aliases, alias: version}.items())), file, indent=2)
            file.write("\n")
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(file.name).replace(home / _ALIASES)


def require_name(name: str, *, what: str = "model name") -> None:
    """Refuse a name that could leave the store or that a reference could not hold.

    Raises:
        WrongUsage: it is not lower-case letters, digits, dots, dashes and underscores.

    """
    if not _NAME.fullmatch(name):
        msg = f"not a {what}: {name!r}"
        hint = "lower-case letters, digits, '.', '_' and '-', beginning with a letter or digit"
        raise WrongUsage(msg, hint=hint)


def require_alias(alias: str) -> None:
    """Refuse an alias that is no name, or reads like a version.

    Raises:
        WrongUsage: it is one of these.

    """
    require_name(alias, what="alias")
    if alias.isdigit():
        msg = f"an alias cannot be a number: {alias!r}"
        raise WrongUsage(msg, hint="numbers are versions; call it e.g. champion or challenger")


def is_alias(reference: str) -> bool:
    """Whether a reference goes by an alias, which may come to stand for another version."""
    return _split(reference)[1] == "@"


def _split(reference: str) -> tuple[str, str, str]:
    for separator in (":", "@"):
        name, found, wanted = reference.partition(separator)
        if found:
            require_name(name)
            require_name(wanted, what={":": "version", "@": "alias"}[separator])
            return name, separator, wanted
    require_name(reference)
    return reference, "@", CHAMPION


def _are_aliases(found: object) -> bool:
    return isinstance(found, dict) and all(
        isinstance(version, str) and _VERSION.fullmatch(version) for version in found.values()
    )


def _choices(wanted: str, known: Iterable[str], what: str) -> str:
    known = list(known)
    if near := difflib.get_close_matches(wanted, known, n=1):
        return f"did you mean {near[0]!r}?"
    return f"its {what} are: {', '.join(known)}" if known else f"it has no {what} yet"


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        msg = f"the store's folder {folder} cannot be read: {error.strerror}"
        raise ModelError(msg) from error


@contextlib.contextmanager
def _writing(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"the store's folder {home} cannot be written: {error.strerror}"
        raise ModelError(msg, hint="mend its permissions, or name another store") from error


@contextlib.contextmanager
def _draft(home: Path) -> Iterator[tuple[Path, str]]:
    """Make the hidden folder of the next version, gone again if filling it fails.

    Making a folder is atomic, so of two writers one gets the number. What a killed writer
    left behind stays reserved and is never read; it may be deleted.
    """
    while True:
        taken = [int(match[1]) for path in _entries(home) if (match := _TAKEN.fullmatch(path.name))]
        version = str(max(taken, default=0) + 1)
        draft = home / f".{version}.writing"
        with contextlib.suppress(FileExistsError):
            draft.mkdir()
            if not (home / version).exists():  # else its writer finished since we looked
                break
            draft.rmdir()
    try:
        yield draft, version
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _sync(folder: Path) -> None:
    """Bring a folder's files to the disk before the rename that shows them."""
    for path in [*folder.iterdir(), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold a model's file lock; the system lets it go when the process dies."""
    with (home / _LOCK).open("a") as file:
        for _ in range(_LOCK_ATTEMPTS):
            if _try_lock(file):
                break
            time.sleep(_LOCK_RETRY_S)
        else:
            msg = f"{home} is being changed by another process"
            raise ModelError(msg, hint="try again")
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
