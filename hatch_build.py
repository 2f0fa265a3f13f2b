"""Builds the extension `model._native` from native/, for the wheel and for an editable install.

Needs a C compiler and nothing else: neither Python's headers nor numpy's. Where the machine has
none, the one in the package `ziglang` serves (requirements/compiler.txt).
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = (
    *("-O3", "-std=gnu11", "-fPIC", "-shared", "-fvisibility=hidden", "-Wno-psabi"),
    "-ffp-contract=off",  # a fused multiplication rounds otherwise than scikit-learn's
)
EXTENSION = "_native.abi3.so"


def compiler() -> list[str]:
    """The compiler's command: what CC names, what the machine has, or ziglang's.

    Raises SystemExit where there is none.
    """
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return [found]
    if importlib.util.find_spec("ziglang"):
        # Else it would be for this very processor.
        return [sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline"]
    sys.exit("no C compiler was found: install one, or pip install -r requirements/compiler.txt")


def build(root: Path) -> Path:
    """Compile the extension into the package, and say where it is."""
    sources = sorted(str(path) for path in (root / "native").glob("*.c"))
    target = root / "model" / EXTENSION
    fresh = target.with_name(f".{EXTENSION}.{os.getpid()}")  # the old one may be in use
    subprocess.run([*compiler(), *FLAGS, *sources, "-lm", "-o", str(fresh)], check=True)  # noqa: S603 - our own sources
    fresh.replace(target)
    return target


class NativeHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the extension to what is built, and the platform to the wheel's name."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's
        """Called by hatchling before it collects the files."""
        target = build(Path(self.root))
        build_data["artifacts"].append(f"/{target.relative_to(self.root)}")
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"cp311-abi3-{platform}"


if __name__ == "__main__":
    build(Path(__file__).parent)
