"""How long to wait between attempts, and when to stop: pure, without a clock or a sleep."""

from dataclasses import dataclass

_LARGEST_EXPONENT = 1000  # 2.0 ** 1024 overflows a float; the cap has long decided by then


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that double from `base_s` up to `cap_s`, each spread by `jitter` both ways.

    `attempts` is how many are made in all. The jitter keeps processes that failed together from
    coming back together.
    """

    base_s: float
    cap_s: float
    attempts: int
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if not (0 < self.base_s <= self.cap_s):
            raise ValueError(f"0 < base_s <= cap_s does not hold: {self.base_s}, {self.cap_s}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter is a share between 0 and 1, not {self.jitter}")

    def delay_s(self, attempt: int, random: float) -> float:
        """The seconds to wait after the `attempt`-th attempt failed (the first is 1), <= `cap_s`.

        `random` is a number in [0, 1) that the caller draws.
        """
        exponent = min(max(attempt - 1, 0), _LARGEST_EXPONENT)
        doubled = min(self.cap_s, self.base_s * 2.0**exponent)
        return min(self.cap_s, doubled * (1 + self.jitter * (2 * random - 1)))

    def exhausted(self, attempt: int) -> bool:
        """Whether the `attempt`-th attempt (the first is 1) was the last one to make."""
        return attempt >= self.attempts
