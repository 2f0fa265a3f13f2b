"""Structured logs: what every process writes to standard error."""

import logging
import sys
from typing import Any

import structlog

from runtime.sections import LogSettings


def configure_logging(settings: LogSettings) -> None:
    """Send all logs to standard error: JSON lines, or for reading where that is a terminal.

    Takes in the standard `logging` of libraries and Python's warnings. Tracebacks carry no local
    variables, which may be payloads or secrets.
    """
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
    ]
    render = _render_json() if as_json else _render_for_reading()
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_NamedLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


class _NamedLogger(structlog.WriteLogger):
    """Writes to what is standard error at the time, and knows its own name."""

    def __init__(self, name: str = "streamscore") -> None:
        super().__init__(sys.stderr)
        self.name = name


def _add_logger_name(
    logger: structlog.typing.WrappedLogger,
    _method: str,
    event: structlog.typing.EventDict,
) -> structlog.typing.EventDict:
    record = event.get("_record")
    event["logger"] = record.name if record is not None else logger.name
    return event


def _render_json() -> list[Any]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]


def _render_for_reading() -> list[Any]:
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]
