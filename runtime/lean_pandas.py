"""pandas without pyarrow, for processes that score rows and read no files.

pandas imports pyarrow wherever it is installed, to keep texts in. That takes 70 MiB and a quarter
of a second; without it pandas keeps texts as Python does, as it is documented to.
"""

import sys
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from types import ModuleType

_NONE: Final = cast("ModuleType", None)  # as Python has it: what is imported is not there


def import_lean_pandas() -> None:
    """Import pandas as if pyarrow were not installed; later imports of pyarrow find it.

    Does nothing where one of them is imported already.
    """
    if "pandas" in sys.modules or "pyarrow" in sys.modules:
        return
    sys.modules["pyarrow"] = _NONE
    try:
        import pandas as _  # noqa: F401, ICN001, PLC0415 - what this is for
    finally:
        del sys.modules["pyarrow"]
