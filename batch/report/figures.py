"""Everything the report says, from what the predictions database has: pure, nothing is read here.

How it looks is batch/report/page.py and batch/report/pictures.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import reduce

from batch.found import Ran
from batch.report.drifting import Drift, drifts_of
from batch.report.measured import MEDIAN, Measured
from batch.report.quality import Quality
from batch.report.verdict import Finding, findings
from model.profile import NumberCounts, Profile, Segment, TextCounts, from_json, merged

DAYS_BEFORE = 7


@dataclass(frozen=True, slots=True)
class DayFigures:
    """A day of the model: all its sources together; `state` is "none" where nothing ran."""

    day: date
    state: str
    versions: tuple[str, ...]
    rows: int
    scored: int
    rejected: int
    seconds: float
    mean: float | None
    median: float | None
    shares: dict[str, float]  # of the labels

    @property
    def rejected_share(self) -> float:
        """The share of rows that were not scored."""
        return self.rejected / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class Group:
    """One value of a segment: its rows, and their mean number or the share of the label."""

    value: str
    rows: int
    share: float
    figure: float | None
    is_rest: bool  # of all other values, or of none


@dataclass(frozen=True, slots=True)
class SegmentFigures:
    """The answers by the values of one feature, the most frequent first."""

    feature: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Top:
    """A row to act on."""

    event_id: str
    figure: float | None
    label: str | None


@dataclass(frozen=True, slots=True)
class Cause:
    """Why rows were rejected: how many, and one of them."""

    stage: str
    code: str
    message: str
    rows: int
    example: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """A day of a model. `days` are the 7 before, gaps included, and the day itself last.

    `figure` says what the numbers are ("prediction", "probability of late", ...); `label` is the
    one that is acted on, None without labels. `quantiles` of the number are exact, by their share.
    `no_drift` and `no_segments` say why there are none to tell.
    """

    model: str
    runs: tuple[Ran, ...]
    days: tuple[DayFigures, ...]
    task: str | None
    figure: str
    label: str | None
    number: NumberCounts | None
    labels: TextCounts | None
    quantiles: Mapping[float, float]
    segments: tuple[SegmentFigures, ...]
    no_segments: str
    drifts: tuple[Drift, ...]
    no_drift: str
    top: tuple[Top, ...]
    top_is: str
    causes: tuple[Cause, ...]
    quality: Quality
    findings: tuple[Finding, ...]

    @property
    def today(self) -> DayFigures:
        """The day that the report is about."""
        return self.days[-1]


@dataclass(frozen=True, slots=True)
class Lists:
    """What was looked up row by row: the top, what it is in words, and causes."""

    top: tuple[Top, ...]
    top_is: str
    causes: tuple[Cause, ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """What was asked of the databases: `measured` by day, the `segments` that no run counted."""

    measured: Mapping[date, Measured] = field(default_factory=dict)
    segments: tuple[SegmentFigures, ...] = ()
    no_segments: str = ""
    quality: Quality = field(default_factory=Quality)


def build(day: date, ran: Sequence[Ran], lists: Lists, parts: Parts, label: str | None) -> Report:
    """The report of a day from the runs of it and of the days before."""
    of_day = tuple(each for each in ran if each.day == day)
    profile = day_profile(of_day)
    today = parts.measured.get(day, Measured())
    days = tuple(_day(each, ran, parts.measured.get(each, Measured())) for each in _days(day))
    drifts, no_drift = drifts_of(
        profile,
        [day_profile([each for each in ran if each.day == one.day]) for one in _before(days)],
        sum(each.rows_scored for each in of_day),
    )
    return Report(
        model=of_day[0].model,
        runs=of_day,
        days=days,
        task=today.task,
        figure=today.number.name if today.number else "prediction",
        label=label,
        number=today.number,
        labels=today.labels,
        quantiles=today.quantiles,
        segments=_segments(profile, label) or parts.segments,
        no_segments=parts.no_segments,
        drifts=drifts,
        no_drift=no_drift,
        top=lists.top,
        top_is=lists.top_is,
        causes=lists.causes,
        quality=parts.quality,
        findings=findings(days, label, drifts, parts.quality),
    )


def _before(days: Sequence[DayFigures]) -> list[DayFigures]:
    return [each for each in days[:-1] if each.state == "complete"]


def day_profile(ran: Sequence[Ran]) -> Profile | None:
    """The profile of all sources of a day; of the largest bins' worth where they differ."""
    ordered = sorted(ran, key=lambda each: -each.rows_scored)
    profiles = [found for each in ordered if (found := from_json(each.profile)) is not None]
    if not profiles:
        return None
    return reduce(lambda whole, each: merged(whole, each) or whole, profiles)


def label_to_act_on(measured: Measured, given: str | None) -> str | None:
    """The label that was given, or the rarest that the day has; -1 of outliers."""
    labels = measured.labels
    if given is not None or labels is None:
        return given
    if measured.task == "outlier":
        return "-1"
    counted = zip(labels.counts, labels.categories, strict=False)
    present = [(count, name) for count, name in counted if count > 0]
    return min(present)[1] if present else next(iter(labels.categories), None)


def label_share(labels: TextCounts | None, label: str | None) -> float | None:
    """The share of a label; None where it is not known."""
    if labels is None or label not in labels.categories:
        return None
    total = sum(labels.counts)
    return labels.counts[labels.categories.index(label)] / total if total else None


def _days(day: date) -> list[date]:
    return [day - timedelta(days=n) for n in range(DAYS_BEFORE, -1, -1)]


def _day(day: date, ran: Sequence[Ran], measured: Measured) -> DayFigures:
    runs = [each for each in ran if each.day == day]
    number, labels = measured.number, measured.labels
    states = [each.state for each in runs if not each.is_complete]
    mean = None
    if number is not None and number.total is not None and any(number.counts):
        mean = number.total / sum(number.counts)
    return DayFigures(
        day=day,
        state=next(iter(states), "complete") if runs else "none",
        versions=tuple(dict.fromkeys(each.version for each in runs)),
        rows=sum(each.rows_read for each in runs),
        scored=sum(each.rows_scored for each in runs),
        rejected=sum(each.rows_rejected for each in runs),
        seconds=sum(each.seconds for each in runs),
        mean=mean,
        median=measured.quantiles.get(MEDIAN),
        shares={
            name: share
            for name in (labels.categories if labels else ())
            if (share := label_share(labels, name)) is not None
        },
    )


def _segments(profile: Profile | None, label: str | None) -> tuple[SegmentFigures, ...]:
    if profile is None:
        return ()
    places = profile.labels.categories if profile.labels else []
    place = places.index(label) if label in places else None
    return tuple(_segment(each, place) for each in profile.segments if sum(each.rows))


def _segment(segment: Segment, label: int | None) -> SegmentFigures:
    total, named = sum(segment.rows), len(segment.categories)
    groups = []
    for place, (name, rows) in enumerate(
        zip([*segment.categories, "all others", "missing"], segment.rows, strict=True)
    ):
        figure = None
        if label is not None and segment.labels is not None and rows:
            figure = segment.labels[place][label] / rows
        elif segment.totals is not None and rows:
            figure = segment.totals[place] / rows
        if rows:
            groups.append(Group(name, rows, rows / total, figure, place >= named))
    return SegmentFigures(segment.feature, ordered_groups(groups))


def ordered_groups(groups: Iterable[Group]) -> tuple[Group, ...]:
    """The most frequent first, the rest last."""
    return tuple(sorted(groups, key=lambda each: (each.is_rest, -each.rows)))
