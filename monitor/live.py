"""The latest snapshot, for whoever shows it: written by the monitor's loop, read by any thread."""

import time
from typing import Final

from runtime.health import Condition

_SILENCE_S: Final = 30.0


class Live:
    """One value that is replaced whole: readers need no lock."""

    def __init__(self) -> None:
        self._latest: tuple[int, bytes] = (0, b"")
        self._reachable: tuple[bool, str] = (False, "not asked yet")
        self._at = time.monotonic()

    def publish(self, document: bytes, *, reachable: bool, error: str | None) -> None:
        """Replace the snapshot by its JSON document."""
        self._latest = (self._latest[0] + 1, document)
        self._reachable = (reachable, error or "")
        self._at = time.monotonic()

    def latest(self) -> tuple[int, bytes]:
        """The number of the snapshot, from 1 and growing, and its JSON; 0 before the first."""
        return self._latest

    def alive(self) -> Condition:
        """Whether the monitor's loop has come round lately."""
        silent_s = time.monotonic() - self._at
        if silent_s <= _SILENCE_S:
            return Condition(holds=True)
        return Condition(holds=False, reason=f"no snapshot for {silent_s:.0f} s")

    def ready(self) -> Condition:
        """Whether what is shown is of now: a broker answers, and the loop comes round."""
        reachable, error = self._reachable
        if not reachable:
            return Condition(holds=False, reason=f"no broker answers: {error}")
        return self.alive()
