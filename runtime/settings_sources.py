"""Where settings come from: a TOML file, the environment, the command line.

Each source becomes the same flat mapping, key path -> value and where it was found, so that
precedence is a plain union. It must not know which settings there are; `runtime.settings` does.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from model.errors import SettingsError

PREFIX = "STREAMSCORE_"
CONFIG_VARIABLE = "STREAMSCORE_CONFIG"
FILE_NAME = "streamscore.toml"

# Not settings: the file's own name, what the tests read, and what Kubernetes sets in every pod
# beside a service named "streamscore…" (STREAMSCORE_PORT_9464_TCP_ADDR, …_SERVICE_HOST).
_FOREIGN = re.compile(
    r"STREAMSCORE_(CONFIG|TEST_\w+|(\w+_)?SERVICE_(HOST|PORT(_\w+)?)"
    r"|(\w+_)?PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)

Key = tuple[str, ...]

# Tables that are passed on: what stands below them is one name, with its dots.
PASSED_ON: tuple[Key, ...] = (("kafka",), ("batch", "spark"))


class Given(NamedTuple):
    """A value and the place that gave it, in words for people."""

    value: object
    origin: str


class Complaint(NamedTuple):
    """What is wrong with a key, and what was probably meant."""

    message: str
    hint: str


def from_overrides(overrides: Mapping[str, object]) -> dict[Key, Given]:
    """The values given by flags or code; those that are None count as not given."""
    return {key: Given(value, "the flags") for key, value in _flat(overrides) if value is not None}


def from_environment(environ: Mapping[str, str] | None) -> dict[Key, Given]:
    """The `STREAMSCORE_…` variables; an empty one counts as not set, as composed files leave it."""
    source = os.environ if environ is None else environ
    return {
        _environment_key(name): Given(value, f"the environment variable {name}")
        for name, value in source.items()
        if name.startswith(PREFIX) and value and not _is_foreign(name)
    }


def from_file(environ: Mapping[str, str] | None, directory: Path | None) -> dict[Key, Given]:
    """The values of the TOML file; none where there is no file and none was asked for."""
    source = os.environ if environ is None else environ
    named = source.get(CONFIG_VARIABLE)
    path = (directory or Path()) / (named or FILE_NAME)
    if not named and not path.exists():
        return {}
    return {key: Given(value, str(path)) for key, value in _flat(_read(path))}


def choose_config_file(path: Path) -> None:
    """Make `path` the settings file of this process and of those that it starts."""
    os.environ[CONFIG_VARIABLE] = str(path.absolute())


def unknown(key: Key, origin: str, known: Sequence[Key]) -> Complaint:
    """The complaint about a key that nobody knows, with the nearest one of `known`."""
    sections = sorted({each[0] for each in known if len(each) > 1})
    if len(key) == 1 and key[0] in sections:
        return Complaint(f"{key[0]} in {origin} is a table of settings, not a value", "")
    names = {".".join(each): each for each in known}
    spelled = ".".join(key)
    nearest = _nearest(key, spelled, names)
    if origin.startswith("the environment variable "):
        return Complaint(
            f"unknown environment variable {PREFIX}{_variable(key)}",
            f"did you mean {PREFIX}{_variable(names[nearest])}?" if nearest else "",
        )
    return Complaint(
        f"unknown setting {spelled!r} in {origin}", f"did you mean {nearest!r}?" if nearest else ""
    )


def _nearest(key: Key, spelled: str, names: Mapping[str, Key]) -> str | None:
    by_leaf = {name.rpartition(".")[2]: name for name in names}
    for close, candidates in (
        (get_close_matches(spelled, names, n=1, cutoff=0.7), None),
        (get_close_matches(key[-1], by_leaf, n=1, cutoff=0.7), by_leaf),
        (get_close_matches(spelled, names, n=1, cutoff=0.3), None),
    ):
        if close:
            return candidates[close[0]] if candidates else close[0]
    return None


def _variable(key: Key) -> str:
    return "__".join(key).replace(".", "_").upper()


def _environment_key(name: str) -> Key:
    return _normal(name.removeprefix(PREFIX).lower().split("__"), in_property="_")


def _normal(parts: Sequence[str], in_property: str = ".") -> Key:
    """`kafka.a.b` is one property "a.b"; every other dot parts a section from its setting."""
    key = tuple(parts)
    if (table := passed_on(key)) is not None:
        return (*table, ".".join(key[len(table) :]).replace(in_property, "."))
    return key


def passed_on(key: Key) -> Key | None:
    """The table of a property that is passed on; None for a setting of ours."""
    return next(
        (each for each in PASSED_ON if key[: len(each)] == each and len(key) > len(each)), None
    )


def _flat(table: Mapping[str, object], prefix: Key = ()) -> Iterator[tuple[Key, object]]:
    for name, value in table.items():
        key = (*prefix, *str(name).split("."))
        if isinstance(value, Mapping):
            yield from _flat(value, key)
        else:
            yield _normal(key), value


def _is_foreign(name: str) -> bool:
    # A setting in a section has a double underscore; Kubernetes makes none.
    return "__" not in name and _FOREIGN.fullmatch(name) is not None


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"the settings file {path} does not exist",
            hint=f"name another with --config or {CONFIG_VARIABLE}, or leave it unset",
        ) from None
    except OSError as error:
        raise SettingsError(f"the settings file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the settings file {path} is not TOML: {error}"
            if isinstance(error, tomllib.TOMLDecodeError)
            else f"the settings file {path} is not UTF-8 text"
        ) from None  # a decode error would carry the file's text, secrets among it
