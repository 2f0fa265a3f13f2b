"""Which Streamscore this is."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _installed


def version() -> str:
    """The version of Streamscore that is installed; "unknown" in a bare source tree."""
    try:
        return _installed("streamscore")
    except PackageNotFoundError:
        return "unknown"
