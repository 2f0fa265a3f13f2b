"""Predictions for your own code: iterate a topic, and what you are done with is committed.

    with Subscription("predictions", group="my-app", where="prediction > 60") as predictions:
        for prediction in predictions:
            ...

It must not know how a reaction is made: webhooks and commands are subscriber/reactions.py.
"""

import logging
import math
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from model.errors import BrokerError, WrongUsage
from runtime.expressions import Condition, parse_condition
from runtime.settings import Settings, load_settings
from subscriber.log import log
from subscriber.prediction import FIELDS, NotAPrediction, Prediction, decode
from subscriber.reader import AnonymousReader, GroupReader, Reader, Start
from subscriber.source import Record

_POLL_S: Final = 0.2  # how soon a stop or a timeout is noticed
_QUIET_S: Final = 10.0  # between two log lines about values that are no predictions


class Subscription:
    """The predictions of a topic, in order within each partition; an iterator and a context.

    Without a `group` everybody gets all predictions and nothing is remembered. With one, the
    members of the group share them and the next run goes on where this one stopped: a prediction is
    committed once the loop body has finished with it, that is when the next one is asked for. One
    whose body raised, or was left by `break`, is delivered again; `stop()` ends the loop after the
    body. So each is delivered at least once, also through a crash.

    `start` says where to begin when the group has committed nothing: "earliest" or "latest" (after
    what is there as the block is entered). `where` is a condition (runtime/expressions.py); a
    prediction that lacks what it asks for does not match. The iteration ends after `max` matching
    predictions, when nothing at all arrived for `idle_timeout_s`, `timeout_s` after the block was
    entered, or after `stop()`; else it goes on for ever. A body may take `longest_reaction_s`, or
    `settings.consumer.max_poll_interval_s` if that is longer, before the group goes on without it.

    Raises WrongUsage, MissingTopics, BrokerUnreachable and other BrokerErrors. For one thread; only
    `stop()` may be called from another one or from a signal handler.
    """

    def __init__(  # noqa: PLR0913 - each is an option of its own, by name
        self,
        topic: str,
        *,
        group: str | None = None,
        where: str | None = None,
        start: Start = "earliest",
        max: int | None = None,  # noqa: A002 - as the command line calls it
        idle_timeout_s: float | None = None,
        timeout_s: float | None = None,
        longest_reaction_s: float = 0.0,
        settings: Settings | None = None,
    ) -> None:
        if start not in ("earliest", "latest"):
            raise WrongUsage(f"start is {start!r}", hint="it is 'earliest' or 'latest'")
        if max is not None and max < 1:
            raise WrongUsage(f"max is {max}", hint="it is the number of predictions to stop after")
        self._topic = topic
        self._group = group
        self._condition: Condition | None = (
            None if where is None else parse_condition(where, FIELDS)
        )
        self._start: Start = start
        self._most = max
        self._idle_timeout_s = idle_timeout_s
        self._timeout_s = timeout_s
        self._longest_reaction_s = longest_reaction_s
        self._settings = settings
        self._reader: Reader | None = None
        self._in_hand: tuple[int, int] | None = None  # partition and offset the body works on
        self._stopped = False
        self._deadline = math.inf
        self._settle_by = 0.0
        self._unreadable = _Unreadable(topic)
        self.seen = 0
        self.matched = 0

    @property
    def skipped(self) -> int:
        """How many values on the topic were no predictions."""
        return self._unreadable.count

    def stop(self) -> None:
        """End the iteration once the loop body has finished; callable from anywhere."""
        self._stopped = True  # no lock: a signal handler may have interrupted its holder

    def __enter__(self) -> Self:
        settings = self._settings or load_settings()
        self._reader = self._opened(settings)
        now = time.monotonic()
        if self._timeout_s is not None:
            self._deadline = now + self._timeout_s
        # Nobody is idle who still connects, or whose group gathers and misses a former member.
        self._settle_by = now + settings.broker_timeout_s + settings.consumer.session_timeout_s
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        reader, self._reader = self._reader, None
        self._in_hand = None  # left by `break` or an exception: not done
        if reader is None:
            return
        try:
            reader.close()
        except BrokerError as failure:
            if error is None:
                raise
            log(logging.WARNING, "close_failed", topic=self._topic, reason=str(failure))
        finally:
            self._unreadable.tell()

    def __iter__(self) -> Iterator[Prediction]:
        return self

    def __next__(self) -> Prediction:
        reader = self._reader
        if reader is None:
            raise WrongUsage("a Subscription is read inside its `with` block")
        self._finish(reader)
        idle_since = time.monotonic()
        while not self._over(time.monotonic(), idle_since):
            message = reader.poll(_POLL_S)
            now = time.monotonic()
            if message is not None:
                idle_since = now
                prediction = self._taken(message, reader)
                if prediction is not None:
                    return prediction
            elif now < self._settle_by and not reader.settled():
                idle_since = now
        raise StopIteration

    def _opened(self, settings: Settings) -> Reader:
        if self._group is None:
            return AnonymousReader(settings, self._topic, self._start)
        return GroupReader(
            settings,
            self._topic,
            self._start,
            group=self._group,
            longest_reaction_s=self._longest_reaction_s,
        )

    def _over(self, now: float, idle_since: float) -> bool:
        enough = self._most is not None and self.matched >= self._most
        idle = self._idle_timeout_s is not None and now - idle_since >= self._idle_timeout_s
        return self._stopped or enough or idle or now >= self._deadline

    def _finish(self, reader: Reader) -> None:
        if self._in_hand is not None:
            partition, offset = self._in_hand
            self._in_hand = None
            reader.done(partition, offset + 1)

    def _taken(self, record: Record, reader: Reader) -> Prediction | None:
        """Give the prediction if the record is one and matches; else it is done with."""
        self.seen += 1
        try:
            prediction = decode(record.value, key=record.key, headers=record.headers)
        except NotAPrediction as reason:
            self._unreadable.add(record, str(reason))
        else:
            if self._matches(prediction):
                self.matched += 1
                self._in_hand = (record.partition, record.offset)
                return prediction
        reader.done(record.partition, record.offset + 1)
        return None

    def _matches(self, prediction: Prediction) -> bool:
        condition = self._condition
        return condition is None or condition.holds(prediction.fields(condition.names))


class _Unreadable:
    """Counts the values that are no predictions, and logs some of them: where, and why."""

    def __init__(self, topic: str) -> None:
        self.count = 0
        self._topic = topic
        self._told = 0
        self._told_at = -_QUIET_S

    def add(self, record: Record, reason: str) -> None:
        """Count one; the first of `_QUIET_S` seconds is logged."""
        self.count += 1
        now = time.monotonic()
        if now - self._told_at >= _QUIET_S:
            self._told_at = now
            self._told = self.count
            log(
                logging.WARNING,
                "not_a_prediction",
                topic=self._topic,
                partition=record.partition,
                offset=record.offset,
                reason=reason,
                skipped=self.count,
            )

    def tell(self) -> None:
        """Log the count if some were not logged."""
        if self.count > self._told:
            log(logging.WARNING, "not_predictions", topic=self._topic, skipped=self.count)
