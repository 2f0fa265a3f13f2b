"""How far a day has moved: from the days before it, and from the data of the bundle. Pure.

A baseline of a year tells every winter day that it is none of summer's. So what has moved is told
from the last days, and the baseline says whether the model has seen such rows at all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from model.drift import SOME, STRONG, in_words, population_stability
from model.profile import NumberCounts, Profile, TextCounts

LEAST_ROWS: Final = 200  # fewer rows than some ten in a bin move by chance
LEAST_DAYS: Final = 3  # before, to say what is usual
FEW_VALUES: Final = 6  # bins that hold something: then one value more or less moves much
WIDER: Final = 2.0  # the limits of those, times this
_SPREAD: Final = 1.5  # times the furthest that a day before was from the others: still usual


class Moved(StrEnum):
    """What the reader is told of a feature."""

    NO = "no"
    KNOWN = "since before"  # far from the baseline, as on the days before
    SLIGHTLY = "slightly"
    SUDDENLY = "suddenly"
    STRONGLY = "strongly"  # far from the baseline, and no days before to compare with


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a feature, or the answer, is from the baseline and from the days before.

    Both are population stability indexes; `lately` is None without enough days before. `usual` is
    the furthest that one of those days was from the others.
    """

    name: str
    index: float
    lately: float | None
    usual: float
    few_values: bool
    counts: NumberCounts | TextCounts
    before: tuple[float, ...] | None  # the shares of those days

    @property
    def limit(self) -> float:
        """Above it the day has moved from the days before."""
        return max(STRONG * (WIDER if self.few_values else 1), self.usual * _SPREAD)

    @property
    def word(self) -> str:
        """Against the baseline: none, some or strong."""
        return in_words(self.index / (WIDER if self.few_values else 1))

    @property
    def moved(self) -> Moved:
        """The verdict."""
        if self.lately is None:
            words = {"none": Moved.NO, "some": Moved.SLIGHTLY}
            return words.get(self.word, Moved.STRONGLY)
        if self.lately > self.limit:
            return Moved.SUDDENLY
        if self.word == "strong":
            return Moved.KNOWN
        return Moved.SLIGHTLY if self.lately > self.limit * SOME / STRONG else Moved.NO


def drifts_of(
    today: Profile | None, before: Sequence[Profile | None], scored: int
) -> tuple[tuple[Drift, ...], str]:
    """What has moved, the furthest first; and why there is nothing to tell, or only of a part.

    `before` are the complete days before; those of other bins, as of another version, are left out.
    """
    if today is None:
        return (), "The run kept no profile of its rows: it was begun by an older version."
    if not today.has_baseline:
        why = "The bundle has no baseline to compare with: bundle the model again to have one."
        return (), why
    if today.given < LEAST_ROWS:
        return (), f"Drift is told from {LEAST_ROWS} rows on; there are {today.given}."
    why = "" if today.scored == scored else f"Told of {today.scored} of {scored} rows alone."
    known = [list(_parts(each)) for each in before if each is not None and each.has_baseline]
    found = []
    for place, part in enumerate(_parts(today)):
        earlier = [
            _tallies(parts[place])
            for parts in known
            if place < len(parts) and _same_bins(parts[place], part)
        ]
        if (drift := _drift(part, [each for each in earlier if sum(each)])) is not None:
            found.append(drift)
    order = list(Moved)
    return tuple(sorted(found, key=lambda each: (-order.index(each.moved), -each.index))), why


def _parts(profile: Profile) -> Iterator[NumberCounts | TextCounts]:
    yield from profile.features
    yield from (each for each in (profile.number, profile.labels) if each is not None)


def _tallies(part: NumberCounts | TextCounts) -> list[int]:
    return part.counts if isinstance(part, TextCounts) else [*part.counts, part.missing]


def _same_bins(one: NumberCounts | TextCounts, other: NumberCounts | TextCounts) -> bool:
    bins = [
        (part.name, part.edges if isinstance(part, NumberCounts) else part.categories)
        for part in (one, other)
    ]
    return bins[0] == bins[1] and len(_tallies(one)) == len(_tallies(other))


def _drift(part: NumberCounts | TextCounts, earlier: Sequence[list[int]]) -> Drift | None:
    counts = _tallies(part)
    index = population_stability(part.expected, counts)
    if index is None:
        return None
    lately, usual, before = None, 0.0, None
    if len(earlier) >= LEAST_DAYS:
        lately, before = _between(earlier, counts), tuple(_shares(earlier))
        rest = ([*earlier[:place], *earlier[place + 1 :]] for place in range(len(earlier)))
        usual = max(_between(others, day) for others, day in zip(rest, earlier, strict=True))
    few = sum(share > 0 for share in part.expected) < FEW_VALUES
    return Drift(part.name, index, lately, usual, few, part, before)


def _between(days: Sequence[list[int]], day: list[int]) -> float:
    return population_stability(_shares(days), day) or 0.0


def _shares(days: Sequence[list[int]]) -> list[float]:
    """Of all those days together, each counting as its rows do."""
    whole = [sum(bin_of) for bin_of in zip(*days, strict=True)]
    rows = sum(whole)
    return [count / rows for count in whole]
