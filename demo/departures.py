"""What the demo publishes: December's departures in order, and broken events among them.

Pure: a frame in, records out. Knows neither Kafka nor the model.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final

import pandas as pd

from demo.flights import TARGET, events
from model.event import encode_event

Event = dict[str, Any]

_BROKEN_AT_LEAST: Final = 8
_ONE_IN: Final = 1_000


@dataclass(frozen=True, slots=True)
class Flight:
    """What the demo has to know of a real event to judge its prediction. Delays are minutes."""

    id: str
    flight: str
    origin: str
    dest: str
    dep_delay: float
    arr_delay: float


@dataclass(frozen=True, slots=True)
class Departure:
    """A record to publish; `flight` is None for a broken event, which becomes a dead letter."""

    key: str
    value: bytes
    flight: Flight | None


def departures(frame: pd.DataFrame, count: int) -> Iterator[Departure]:
    """Yield `count` records: the frame's flights from the first on, one in 1,000 of them broken.

    At least eight are broken, one of each kind, and never more than half. When the frame is used
    up it begins again, with another ending to each id.
    """
    flights = _flights(frame)
    breaking = cycle(BROKEN.values())
    broken = set(broken_positions(count))
    for position in range(count):
        event, flight = next(flights)
        if position in broken:
            yield Departure(flight.flight, next(breaking)(event), None)
        else:
            yield Departure(flight.flight, encode_event(event), flight)


def broken_positions(count: int) -> list[int]:
    """Choose which of `count` events are broken: spread evenly, the same ones each time."""
    broken = min(max(_BROKEN_AT_LEAST, count // _ONE_IN), count // 2)
    return [(2 * number + 1) * count // (2 * broken) for number in range(broken)]


def _flights(frame: pd.DataFrame) -> Iterator[tuple[Event, Flight]]:
    lap = 1
    while True:
        for event, arr_delay in zip(events(frame), frame[TARGET].tolist(), strict=True):
            if lap > 1:
                event["id"] = f"{event['id']}-{lap}"
            yield (
                event,
                Flight(
                    id=event["id"],
                    flight=event["flight"],
                    origin=event["origin"],
                    dest=event["dest"],
                    dep_delay=event["dep_delay"],
                    arr_delay=arr_delay,
                ),
            )
        lap += 1


def _cut_short(event: Event) -> bytes:
    return encode_event(event)[:-20]


def _in_an_array(event: Event) -> bytes:
    return b"[" + encode_event(event) + b"]"


def _without_dep_delay(event: Event) -> bytes:
    return encode_event({name: value for name, value in event.items() if name != "dep_delay"})


def _text_for_a_number(event: Event) -> bytes:
    return encode_event(event | {"dep_delay": "late"})


def _null_carrier(event: Event) -> bytes:
    return encode_event(event | {"carrier": None})


def _number_for_text(event: Event) -> bytes:
    return encode_event(event | {"dest": 42})


def _latin_1(event: Event) -> bytes:
    return encode_event(event | {"dest": "?"}).replace(b"?", "Málaga".encode("latin-1"))


def _empty(_event: Event) -> bytes:
    return b""


BROKEN: Final[dict[str, Callable[[Event], bytes]]] = {
    "cut short": _cut_short,
    "without dep_delay": _without_dep_delay,
    "text for a number": _text_for_a_number,
    "null where none may be": _null_carrier,
    "an array": _in_an_array,
    "empty": _empty,
    "not UTF-8": _latin_1,
    "number for text": _number_for_text,
}
"""The ways to break an event, by what is wrong with it, in the order in which they come."""
