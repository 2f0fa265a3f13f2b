"""Whether it works, in a few words: what the page says first. Pure, decided from a snapshot."""

from datetime import datetime
from typing import Final

from monitor.snapshot import Headline, History, Snapshot

_LATE_S: Final = 10.0  # an event that waits longer is late
_MARKER: Final = 1  # a transactional producer's last marker may stay uncommitted: no event waits
_LETTERS_SHARE: Final = 0.01  # of what was answered in the last minute
_STARTING_S: Final = 5.0
_TREND_S: Final = 30.0


def headline(seen: Snapshot) -> Headline:
    """The state, the first of these that holds, in words.

    "starting", "broker_away", "no_events", "no_consumer", "behind", "dead_letters", "working".
    """
    if not seen.broker.reachable:
        return _away(seen)
    if not any(each.end for each in seen.partitions):
        detail = seen.broker.error or f"nothing was ever written to {seen.input}"
        return Headline(state="no_events", text="No events yet", detail=detail)
    if not seen.group.members:
        detail = f"the group {seen.group.name} has no members; {_waiting(seen)}"
        return Headline(state="no_consumer", text="Nobody is scoring", detail=detail)
    if (late_s := _late_s(seen)) > _LATE_S:
        detail = f"the oldest has waited {_duration(late_s)}; {_waiting(seen)}"
        return Headline(state="behind", text="Behind", detail=detail)
    share = seen.dead_letters.share or 0.0
    if seen.rates.dead_letters_per_s and share > _LETTERS_SHARE:
        detail = f"{share:.1%} of the last minute's events were set aside"
        return Headline(state="dead_letters", text="Dead letters are rising", detail=detail)
    return Headline(state="working", text="Working", detail=_at_work(seen))


def _away(seen: Snapshot) -> Headline:
    if not seen.partitions and _seconds(seen.started_at, seen.at) < _STARTING_S:
        return Headline(state="starting", text="Starting", detail="the broker is being asked")
    return Headline(
        state="broker_away",
        text="The broker is away",
        detail=f"{seen.broker.error or 'it does not answer'}; the figures are of before",
        since=seen.broker.since,
    )


def _late_s(seen: Snapshot) -> float:
    late = [p.lag_s or 0.0 for p in seen.partitions if (p.lag_events or 0) > _MARKER]
    return max(late, default=0.0)


def _waiting(seen: Snapshot) -> str:
    lag = sum(each.lag_events or 0 for each in seen.partitions)
    return f"{_count(lag)} waiting{_trend(seen.history, lag)}"


def _trend(history: History, lag: int) -> str:
    """Whether lag grows or falls, against that of half a minute ago."""
    if not history.t:
        return ""
    pairs = zip(history.t, history.lag_events, strict=True)
    before = [each for at, each in pairs if each is not None and at <= history.t[-1] - _TREND_S]
    if not before or lag == before[-1]:
        return ""
    return ", and more each second" if lag > before[-1] else ", and fewer each second"


def _at_work(seen: Snapshot) -> str:
    if seen.rates.events_per_s == 0:
        return "no events are arriving, and those that came are answered"
    return "events are answered as they arrive"


def _count(number: int) -> str:
    return f"{number:,} event{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _seconds(since: str, until: str) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()
