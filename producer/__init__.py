"""Events onto the topic: from files, standard input or your code."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from producer.publisher import Publisher

__all__ = ["Publisher"]


def __getattr__(name: str) -> object:
    """Import on first use: `streamscore produce --help` comes through here, too."""
    if name == "Publisher":
        from producer.publisher import Publisher  # noqa: PLC0415 - see above

        return Publisher
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
