"""The headers of a prediction: the event's trace context, and CloudEvents attributes if wanted."""

from dataclasses import dataclass
from typing import Protocol

from runtime.dead_letter import Header, Headers

_TRACE_CONTEXT = frozenset({"traceparent", "tracestate"})


_OVERHEAD_BYTES = 16  # what a header may take beyond its name and value


class HasHeaders(Protocol):
    """A record, as far as its headers go."""

    def headers(self) -> Headers | None:
        """The headers, None where there are none."""
        ...


def headers_of(record: HasHeaders) -> Headers:
    """A record's headers; none where the client cannot read them.

    A name that is not UTF-8 makes confluent-kafka 2.16 raise SystemError. Headers are no part of
    what is scored, so the event is answered without them.
    """
    try:
        return record.headers() or ()
    except (SystemError, UnicodeDecodeError):
        return ()


def size_bytes(headers: Headers) -> int:
    """What headers take in a record, at the most."""
    return sum(len(n.encode()) + len(v or b"") + _OVERHEAD_BYTES for n, v in headers)


def trace_context(headers: Headers) -> list[Header]:
    """The headers by which traces go on (W3C Trace Context)."""
    return [header for header in headers if header[0] in _TRACE_CONTEXT]


@dataclass(frozen=True, slots=True)
class CloudEvents:
    """Describes predictions as CloudEvents 1.0, in the Kafka binding's binary mode."""

    source: str

    def attributes(self, topic: str, partition: int, offset: int, time: str) -> list[Header]:
        """The attributes of the answer to one event; `time` is RFC 3339."""
        return [
            ("ce_specversion", b"1.0"),
            ("ce_id", f"{topic}/{partition}/{offset}".encode()),
            ("ce_source", self.source.encode()),
            ("ce_type", b"streamscore.prediction"),
            ("ce_time", time.encode()),
            ("content-type", b"application/json"),
        ]
