"""What a run's rows and answers were like, counted in the bins of a baseline.

A profile is kept with its run as plain JSON and says everything about itself: whoever reads it
needs no model. Profiles of the same bins add up. How it is counted is model/profiler.py.
"""

from typing import Any, TypeVar

import msgspec

from model.baseline import finite

_N = TypeVar("_N", int, float)


class NumberCounts(msgspec.Struct, frozen=True, tag="number"):
    """A number: how many values lie in each bin, how many are missing, and the moments.

    `expected` are the baseline's shares of the bins and of missing values; `edges` and it are
    empty without a baseline. A moment is None without values, or beyond what a number holds.
    """

    name: str
    edges: list[float]
    expected: list[float]
    expected_mean: float | None
    counts: list[int]
    missing: int
    total: float | None
    squares: float | None
    least: float | None
    most: float | None


class TextCounts(msgspec.Struct, frozen=True, tag="text"):
    """A text, a boolean or a label: the rows of each value, of all other values, and of none.

    `expected` are the baseline's shares of the same; empty without a baseline.
    """

    name: str
    categories: list[str]
    expected: list[float]
    counts: list[int]


class Segment(msgspec.Struct, frozen=True):
    """The answers by the values of one feature; the last two places are other values and none.

    `totals` are the sums of the answers' number, `labels` the rows of each label, others last.
    """

    feature: str
    categories: list[str]
    rows: list[int]
    totals: list[float] | None
    labels: list[list[int]] | None


class Profile(msgspec.Struct, frozen=True):
    """`given` rows fitted the model, `scored` of them were scored."""

    task: str
    has_baseline: bool
    given: int
    scored: int
    features: list[NumberCounts | TextCounts]
    number: NumberCounts | None
    labels: TextCounts | None
    segments: list[Segment]

    def to_json(self) -> dict[str, Any]:
        """As a plain JSON value; `from_json` is its inverse."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def from_json(given: object) -> Profile | None:
    """Read what `to_json` wrote; None for anything else, such as another version's."""
    try:
        return msgspec.convert(given, Profile)
    except msgspec.ValidationError:
        return None


def merged(first: Profile, second: Profile) -> Profile | None:
    """Both together; None where they were counted in other bins."""
    if _layout(first) != _layout(second):
        return None
    return Profile(
        task=first.task,
        has_baseline=first.has_baseline,
        given=first.given + second.given,
        scored=first.scored + second.scored,
        features=[_both(*each) for each in zip(first.features, second.features, strict=True)],
        number=first.number and second.number and _both_numbers(first.number, second.number),
        labels=first.labels and second.labels and _both_texts(first.labels, second.labels),
        segments=[_segments(*each) for each in zip(first.segments, second.segments, strict=True)],
    )


def _layout(profile: Profile) -> list[object]:
    """What has to be the same where profiles are added: all that is not counted."""
    parts = [*profile.features, profile.number, profile.labels]
    return [
        profile.task,
        *(
            (
                part.name,
                part.edges if isinstance(part, NumberCounts) else part.categories,
                part.expected,
            )
            for part in parts
            if part is not None
        ),
    ]


def _both(first: NumberCounts | TextCounts, second: NumberCounts | TextCounts) -> Any:  # noqa: ANN401 - of their own kind
    if isinstance(first, NumberCounts) and isinstance(second, NumberCounts):
        return _both_numbers(first, second)
    if isinstance(first, TextCounts) and isinstance(second, TextCounts):
        return _both_texts(first, second)
    raise TypeError("a number and a text cannot be added")


def _both_numbers(first: NumberCounts, second: NumberCounts) -> NumberCounts:
    return msgspec.structs.replace(
        first,
        counts=_plus(first.counts, second.counts),
        missing=first.missing + second.missing,
        total=_sum(first.total, second.total),
        squares=_sum(first.squares, second.squares),
        least=min((each.least for each in (first, second) if each.least is not None), default=None),
        most=max((each.most for each in (first, second) if each.most is not None), default=None),
    )


def _both_texts(first: TextCounts, second: TextCounts) -> TextCounts:
    return msgspec.structs.replace(first, counts=_plus(first.counts, second.counts))


def _segments(first: Segment, second: Segment) -> Segment:
    totals = by_label = None
    if first.totals is not None and second.totals is not None:
        totals = _plus(first.totals, second.totals)
    if first.labels is not None and second.labels is not None:
        by_label = [_plus(*each) for each in zip(first.labels, second.labels, strict=True)]
    rows = _plus(first.rows, second.rows)
    return msgspec.structs.replace(first, rows=rows, totals=totals, labels=by_label)


def _plus(first: list[_N], second: list[_N]) -> list[_N]:
    return [a + b for a, b in zip(first, second, strict=True)]


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else finite(first + second)
