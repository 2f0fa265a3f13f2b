"""Where the subscriber's log lines go: also in a program of someone else's it must behave.

Under the command line they are structured lines like those of the other applications. In a program
that only imported `subscriber` they go to Python's `logging`, which is that program's to set up:
structlog, unconfigured, would write into its standard output.
"""

import logging
from typing import Final

import structlog

_NAME: Final = "streamscore.subscriber"


def log(level: int, event: str, **fields: object) -> None:
    """Log an event at a level of `logging`, with fields that hold no payload and no secret."""
    if structlog.is_configured():
        structlog.get_logger(_NAME).log(level, event, **fields)
    else:
        told = " ".join(f"{name}={value}" for name, value in fields.items())
        logging.getLogger(_NAME).log(level, "%s %s", event, told)
