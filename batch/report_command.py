"""x."""


def report() -> None:
    """X."""
