"""x."""


def alert() -> None:
    """X."""
