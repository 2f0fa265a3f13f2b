"""Which predictions are done, when that is committed, and when a silent broker counts as gone.

Pure policies: they take `now` (monotonic seconds) and give decisions. They must not know Kafka
clients or the clock.
"""

from collections.abc import Iterable, Mapping


class Progress:
    """The offsets that are done but not yet committed, by partition.

    A commit is due when `most` predictions, or the oldest for `interval_s` seconds, have waited
    for it. So a crash repeats at most that many, and a commit costs little per prediction.
    """

    def __init__(self, *, most: int = 500, interval_s: float = 1.0) -> None:
        self._most = most
        self._interval_s = interval_s
        self._next: dict[int, int] = {}
        self._waiting = 0
        self._since = 0.0

    def done(self, partition: int, next_offset: int, now: float) -> None:
        """Note that all before `next_offset` is done, and nothing from there on."""
        if not self._next:
            self._since, self._waiting = now, 0
        self._next[partition] = max(next_offset, self._next.get(partition, 0))
        self._waiting += 1

    def due(self, now: float) -> bool:
        """Tell whether it is time to commit."""
        late = now - self._since >= self._interval_s
        return bool(self._next) and (late or self._waiting >= self._most)

    def pending(self) -> dict[int, int]:
        """Give what is to be committed: the next offset to read, by partition."""
        return dict(self._next)

    def postpone(self, now: float) -> None:
        """Note that a commit failed in passing: the next one is due after the interval."""
        self._since, self._waiting = now, 0

    def committed(self, offsets: Mapping[int, int]) -> None:
        """Note that these were committed."""
        self.forget([each for each in offsets if self._next.get(each) == offsets[each]])

    def forget(self, partitions: Iterable[int]) -> None:
        """Drop partitions that belong to another member now."""
        for partition in partitions:
            self._next.pop(partition, None)


class Watch:
    """Decides when to ask whether the broker is still there, and when to give it up.

    A consumer of a dead broker hears nothing, as one of a quiet topic does. So after `quiet_s`
    seconds of silence the broker is asked; silent for `patience_s`, it is gone.
    """

    def __init__(self, now: float, *, quiet_s: float = 5.0, patience_s: float = 60.0) -> None:
        self.patience_s = patience_s
        self._quiet_s = quiet_s
        self._heard = self._asked = now

    def heard(self, now: float) -> None:
        """Note that the broker showed itself."""
        self._heard = self._asked = now

    def asked(self, now: float) -> None:
        """Note that the broker was asked and did not answer."""
        self._asked = now

    def due(self, now: float) -> bool:
        """Tell whether it is time to ask."""
        return now - self._asked >= self._quiet_s

    def gone(self, now: float) -> bool:
        """Tell whether the patience is at its end."""
        return now - self._heard >= self.patience_s
