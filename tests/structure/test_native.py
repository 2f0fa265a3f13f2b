"""The extension: built without Python's headers, and still what they say."""

import re
import struct
import subprocess
import sysconfig
from pathlib import Path

import pytest

from hatch_build import FLAGS, build, compiler

LONGEST_FILE = 300
STABLE_SINCE = "0x030B0000"  # CPython 3.11: see python_abi.h
ENTRY = "PyInit__native"
DYNAMIC_SYMBOLS, WEAK = 11, 2  # of ELF: a section's type, a symbol's binding


def check(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Let the compiler look at every source, with all warnings as errors."""
    sources = sorted(str(path) for path in (root / "native").glob("*.c"))
    strict = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror"]
    return subprocess.run(
        [*compiler(), *FLAGS, *strict, *options, *sources],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def python_names(text: str) -> set[str]:
    """Give the names of functions and data that a header declares."""
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    declared = re.sub(r"^\s*#.*(\\\n.*)*$", "", code, flags=re.MULTILINE)
    functions = re.findall(r"^[\w \*]*?\b(Py\w+)\([^;]*\);$", declared, re.MULTILINE | re.DOTALL)
    data = ",".join(re.findall(r"^extern \w+ (.+);$", declared, re.MULTILINE))
    return {*functions, *re.findall(r"_?Py\w+", data)}


def dynamic_symbols(library: bytes) -> tuple[set[str], set[str]]:
    """Give the names that an ELF library defines for others, and those it needs of others."""
    (sections,) = struct.unpack_from("<Q", library, 0x28)
    size, count = struct.unpack_from("<HH", library, 0x3A)
    headers = [
        struct.unpack_from("<IIQQQQIIQQ", library, sections + size * n) for n in range(count)
    ]
    (symbols,) = (header for header in headers if header[1] == DYNAMIC_SYMBOLS)
    names = headers[symbols[6]][4]
    defined, needed = set(), set()
    for at in range(symbols[4] + 24, symbols[4] + symbols[5], 24):  # the first one is empty
        name, info, _, section = struct.unpack_from("<IBBH", library, at)
        text = library[names + name : library.index(b"\0", names + name)].decode()
        if section:
            defined.add(text)
        elif info >> 4 != WEAK:
            needed.add(text)
    return defined, needed


@pytest.fixture(scope="module")
def library(root: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The extension, built anew and elsewhere."""
    elsewhere = tmp_path_factory.mktemp("built")
    (elsewhere / "native").symlink_to(root / "native")
    (elsewhere / "model").mkdir()
    return build(elsewhere).read_bytes()


def test_it_is_built_without_pythons_headers(root: Path) -> None:
    """Our own declarations are enough, and no source gives a warning."""
    done = check(root)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_declarations_are_those_of_pythons_headers(root: Path) -> None:
    """Given the running Python's headers, then each declaration agrees and is stable."""
    include = Path(sysconfig.get_path("include"))

    done = check(root, f"-DPy_LIMITED_API={STABLE_SINCE}", f"-I{include}", "-include", "Python.h")

    if (include / "Python.h").is_file():
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert "Python.h" in done.stderr  # then the compiler missed it, and nothing else


def test_it_needs_of_python_what_is_declared_and_no_more(root: Path, library: bytes) -> None:
    """What the extension takes from Python is declared in one place, and all of that is needed."""
    declared = python_names((root / "native" / "python_abi.h").read_text(encoding="utf-8"))

    _, needed = dynamic_symbols(library)

    assert {name for name in needed if name.lstrip("_").startswith("Py")} == declared


def test_it_shows_its_entry_alone(library: bytes) -> None:
    """No name of ours can collide with that of another library."""
    defined, _ = dynamic_symbols(library)

    assert defined - {"_init", "_fini"} == {ENTRY}


def test_no_file_is_too_long_to_read(root: Path) -> None:
    """A file of C has at most 300 lines, as a module has."""
    lengths = {
        path.name: len(path.read_text(encoding="utf-8").splitlines())
        for path in (root / "native").iterdir()
    }
    assert len(lengths) > 1
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_what_is_declared_is_found() -> None:
    """Given declarations of every form, when their names are read, then they are all there."""
    text = """
#define PyA(x) PyB(x)
/* PyC(int); */
void Py_D(PyObject *);
PyObject *PyE(int,
              int);
extern PyObject _Py_F, _Py_G;
extern PyObject *PyExc_H;
typedef struct { int PyI; } PyJ;
"""
    assert python_names(text) == {"Py_D", "PyE", "_Py_F", "_Py_G", "PyExc_H"}
