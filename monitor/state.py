"""Everything that the monitor has seen, and the snapshot of it at one moment.

Pure but for the join's file: it takes records and times, and gives a snapshot. It must not know
Kafka clients or HTTP.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from model.baseline import Baseline
from model.signature import Signature, Task
from monitor import quality
from monitor.drift import AnswerWindow, ErrorDrift, FeatureWindow
from monitor.figures import alarm, alarm_counts, causes, text_of, versions
from monitor.headline import headline
from monitor.join import MINUTE_S, Join, Minute
from monitor.meters import Arrivals, BatchSizes, Growth, LatencyJoin, Meter, Past
from monitor.pairs import Pair
from monitor.records import decode_outcomes, decode_predictions
from monitor.snapshot import (
    Alarm,
    Broker,
    DeadLetter,
    DeadLetters,
    Drift,
    Group,
    Outcomes,
    Partition,
    Quality,
    Rates,
    Snapshot,
)
from monitor.watch import View

_WINDOWS: Final = {"5m": 5, "1h": 60, "all": None}  # minutes
_LAST_LETTERS: Final = 20
_LAST_ALARMS: Final = 50
_LOOKED_AT: Final = 200  # answers of a batch that are compared with the baseline
_COMPARED_EVERY_S: Final = 5.0
_ALARMS: Final = "alarms"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is watched; the model is its signature and baseline alone, by "name:version"."""

    input: str
    output: str
    dead_letters: str
    outcomes: str | None
    group: str
    model: str | None = None
    signature: Signature | None = None
    baseline: Baseline | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A record: its value and its time in Unix seconds."""

    value: bytes | None
    at: float


class State:
    """Takes what goes by; for one thread."""

    def __init__(
        self, subject: Subject, join: Join, now: float, history_s: int, event_id_field: str
    ) -> None:
        self._subject, self._join, self._started = subject, join, now
        self._events, self._past = Growth(), Past(history_s)
        self._predicted, self._dead = Meter(), Meter()
        self._latency, self._batches = LatencyJoin(), BatchSizes()
        self._arrivals: dict[int, Arrivals] = {}
        self._letters: deque[DeadLetter] = deque(maxlen=_LAST_LETTERS)
        self._errors = ErrorDrift()
        self._alarms: deque[Alarm] = deque(
            msgspec.json.decode(join.notes().get(_ALARMS, "[]"), type=list[Alarm]), _LAST_ALARMS
        )
        self._features: FeatureWindow | None = None
        self._answers: AnswerWindow | None = None
        if subject.signature is not None and subject.baseline is not None:
            self._features = FeatureWindow(subject.signature, subject.baseline, event_id_field)
            self._answers = AnswerWindow(subject.signature, subject.baseline)
        self._compared_at, self._drift, self._waiting = 0.0, Drift(), (0, 0)

    def see_predictions(self, records: Sequence[Seen]) -> None:
        """Predictions as they stand on the topic; others are counted and left out."""
        decoded = decode_predictions(each.value for each in records)
        good = [(p, seen.at) for p, seen in zip(decoded, records, strict=True) if p is not None]
        if len(good) < len(records):
            self._join.count("unreadable_predictions", len(records) - len(good))
        if not good:
            return
        counted: dict[str, tuple[int, str]] = {}
        for each, at in good:
            self._predicted.add(at)
            if each.source.partition >= 0:
                self._latency.see_prediction((each.source.partition, each.source.offset), at)
            version = f"{each.model}:{each.version}"
            counted[version] = (counted.get(version, (0, ""))[0] + 1, each.scored_at)
        for version, (count, last_at) in counted.items():
            self._join.count(f"version/{version}", count)
            self._join.note(f"version/{version}", last_at)
        self._batches.see((each.scored_at for each, _ in good), [at for _, at in good])
        if self._answers is not None:
            step = max(1, len(good) // _LOOKED_AT)
            self._answers.add(each for each, _ in good[::step])
        if self._subject.outcomes is not None:
            self._judge(self._join.add_predictions(good))

    def see_outcomes(self, records: Sequence[Seen]) -> None:
        """Outcomes as they stand on their topic; what is none is counted and left out."""
        decoded = decode_outcomes(each.value for each in records)
        good = [(o, seen.at) for o, seen in zip(decoded, records, strict=True) if o is not None]
        if len(good) < len(records):
            self._join.count("unusable_outcomes", len(records) - len(good))
        self._judge(self._join.add_outcomes(good))

    def see_dead_letter(self, letter: DeadLetter, at: float) -> None:
        """One event that was set aside, at that time."""
        self._dead.add(at)
        self._join.count(f"dead/{letter.stage}/{letter.code}")
        self._letters.appendleft(letter)

    def see_sample(
        self, values: Sequence[bytes | None], places: Sequence[tuple[int, int]], at: Sequence[float]
    ) -> None:
        """Some events of the input, with their places and timestamps."""
        for place, when in zip(places, at, strict=True):
            self._latency.see_event(place, when)
        if self._features is not None:
            self._features.add(values)

    def _judge(self, pairs: Sequence[Pair]) -> None:
        numbers = None if self._task is None else self._task is Task.REGRESSION
        for change in self._errors.see(pairs, numbers=numbers):
            self._alarms.appendleft(alarm(change))
            self._join.count(f"alarm/{change.metric}/{change.version}")
            self._join.note(_ALARMS, msgspec.json.encode(list(self._alarms)).decode())

    @property
    def _task(self) -> Task | None:
        return self._subject.signature.task if self._subject.signature else None

    def snapshot(self, now: float, view: View) -> Snapshot:
        """All of it, with what the broker said last."""
        counts, notes = self._join.counts(), self._join.notes()
        partitions = [self._partition(number, now, view) for number in sorted(view.ends)]
        self._events.see(view.at, sum(view.ends.values()))
        up = view.reachable
        rates = Rates(
            events_per_s=self._events.rate(now) if up else None,
            predictions_per_s=self._predicted.rate(now) if up else None,
            dead_letters_per_s=self._dead.rate(now) if up else None,
        )
        latency = self._latency.latency(now)
        lag = sum(each.lag_events or 0 for each in partitions) if partitions and up else None
        self._past.see(
            now, rates.events_per_s, rates.predictions_per_s, lag, latency.p50_s, latency.p99_s
        )
        subject, drift = self._subject, self._drifted(now, counts)
        seen = Snapshot(
            at=text_of(now),
            started_at=text_of(self._started),
            input=subject.input,
            output=subject.output,
            dead_letter_topic=subject.dead_letters,
            outcomes_topic=subject.outcomes,
            model=subject.model,
            task=self._task.value if self._task else None,
            broker=Broker(reachable=up, since=text_of(view.since), error=view.error),
            rates=rates,
            history=self._past.history(),
            partitions=partitions,
            latency=latency,
            batches=self._batches.batches(now),
            group=Group(
                name=subject.group,
                state=view.state,
                rebalances=view.rebalances,
                members=list(view.members),
            ),
            dead_letters=self._dead_letters(now, counts),
            versions=versions(counts, notes),
            distributions=self._answers.distributions() if self._answers else [],
            quality=self._quality(now),
            outcomes=self._outcomes(counts) if subject.outcomes else None,
            drift=drift,
        )
        return msgspec.structs.replace(seen, headline=headline(seen))

    def _partition(self, number: int, now: float, view: View) -> Partition:
        end, committed = view.ends[number], view.committed.get(number)
        arrivals = self._arrivals.setdefault(number, Arrivals())
        arrivals.see(view.at, end)
        done = committed or 0
        return Partition(
            partition=number,
            end=end,
            committed=committed,
            lag_events=max(0, end - done),
            lag_s=arrivals.lag_s(now, done, end),
        )

    def _dead_letters(self, now: float, counts: dict[str, int]) -> DeadLetters:
        by_cause = causes(counts)
        dead, predicted = self._dead.last_minute(now), self._predicted.last_minute(now)
        return DeadLetters(
            total=sum(each.count for each in by_cause),
            share=dead / (dead + predicted) if dead + predicted else None,
            by_cause=by_cause,
            last=list(self._letters),
        )

    def _quality(self, now: float) -> list[Quality]:
        if self._subject.outcomes is None:
            return []
        minutes = self._join.minutes()
        found = []
        for version in sorted({each.version for each in minutes}):
            own = [each for each in minutes if each.version == version]
            for window, length in _WINDOWS.items():
                since = 0 if length is None else int(now // MINUTE_S) - length + 1
                found.append(self._window(window, version, [m for m in own if m.minute >= since]))
        return found

    def _window(self, window: str, version: str, minutes: Sequence[Minute]) -> Quality:
        sums = quality.total(each.sums for each in minutes)
        predicted = sum(each.predicted for each in minutes)
        task = self._task
        numbers = sums.numbers == sums.n if task is None else task is Task.REGRESSION
        model, _, number = version.rpartition(":")
        return Quality(
            window=window,
            model=model,
            version=number,
            n=sums.numbers if numbers else sums.n,
            metrics=quality.metrics(sums, numbers=numbers),
            coverage=sum(m.covered for m in minutes) / predicted if predicted else None,
            delay_p50_s=quality.median_delay(sums),
            calibration=quality.calibration(sums),
        )

    def _outcomes(self, counts: dict[str, int]) -> Outcomes:
        waiting, early = self._waiting
        return Outcomes(
            received=counts.get("outcomes", 0),
            joined=counts.get("joined", 0),
            early=early,
            waiting=waiting,
            duplicates=counts.get("duplicate_outcomes", 0),
            unusable=counts.get("unusable_outcomes", 0),
            expired=counts.get("expired", 0),
        )

    def _drifted(self, now: float, counts: dict[str, int]) -> Drift:
        if now - self._compared_at >= _COMPARED_EVERY_S:
            self._compared_at = now
            self._waiting = self._join.waiting()
            features = self._features.drift() if self._features else []
            self._drift = Drift(features=features)
        return msgspec.structs.replace(
            self._drift, alarms=list(self._alarms), totals=alarm_counts(counts)
        )
