"""What the Kafka clients report in the background, as structured log lines.

librdkafka repeats itself at every attempt to connect, so the same report is logged once in
`QUIET_S`. Nothing here raises: an exception in a callback would surface in an unrelated `poll`.
"""

import contextlib
import logging
import re
import time
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaError

from runtime.kafka_errors import describe_error

QUIET_S = 10.0
_REMEMBERED = 1000  # distinct reports; far more than a client makes in QUIET_S

# Connection failures come as errors too, which are logged with their code.
_ALSO_ERRORS = frozenset({"FAIL", "ERROR"})
_NUMBERS = re.compile(r"\d+")


class ClientLog:
    """The `logger` and the `error_cb` of one client; `now` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._logged_at: dict[str, float] = {}

    def log(self, level: int, _template: str, facility: str, client: str, text: str) -> None:
        """Log a line of librdkafka's; its logger protocol is that of `logging.Logger.log`."""
        if facility in _ALSO_ERRORS or "will be ignored by this" in text:
            level = logging.DEBUG  # [kafka] properties of the other kind of client, by design
        elif facility == "TXNERR":
            level = logging.INFO  # whoever runs the transaction gets the error, and tells it
        self._once(level, "kafka_client", facility=facility, client=client, text=text)

    def error(self, error: KafkaError) -> None:
        """Log an error that librdkafka met in the background; it retries by itself."""
        level = logging.CRITICAL if error.fatal() else logging.WARNING
        self._once(level, "kafka_client_error", code=error.name(), text=describe_error(error))

    def _once(self, level: int, event: str, **fields: str) -> None:
        report = _NUMBERS.sub("", event + fields["text"])  # ports and durations differ
        now = self._now()
        if now - self._logged_at.get(report, -QUIET_S) < QUIET_S:
            return
        if len(self._logged_at) >= _REMEMBERED:
            self._logged_at.clear()
        self._logged_at[report] = now
        with contextlib.suppress(OSError, ValueError):  # a closed standard error
            _write(level, event, fields)


def _write(level: int, event: str, fields: dict[str, str]) -> None:
    if structlog.is_configured():
        structlog.get_logger("streamscore.kafka").log(level, event, **fields)
    else:  # in someone's own program, which has set up the standard logging or nothing
        logging.getLogger("streamscore.kafka").log(level, "%s: %s", event, fields["text"])
