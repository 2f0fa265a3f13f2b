"""pandas without pyarrow takes less memory, and does what it did."""

import subprocess
import sys

PROGRAM = """
import sys
from runtime.lean_pandas import import_lean_pandas
import_lean_pandas()
assert "pandas" in sys.modules
assert not [name for name in sys.modules if name.startswith("pyarrow")]
import pandas as pd
frame = pd.DataFrame({"origin": ["JFK", None, "EWR"]})
assert frame["origin"].isna().tolist() == [False, True, False]
import pyarrow
assert pyarrow.array([1]).to_pylist() == [1]
import_lean_pandas()
print(pyarrow.__name__)
"""


def test_pandas_comes_without_pyarrow_and_pyarrow_can_still_come() -> None:
    """Given a process that has neither, then pandas alone is imported and works."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("pyarrow\n", "")
