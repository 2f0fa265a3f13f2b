"""The report's figures: what the page says, from what the database has."""

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sqlalchemy import func, select, update

from batch.assembly import open_target
from batch.found import Ran
from batch.report.drifting import Moved, drifts_of
from batch.report.figures import DayFigures, Report
from batch.report.measured import SHOWN
from batch.report.quality import Answer, Naive, Quality, QualityRow, Tally, calibration, outcome_key
from batch.report.reporting import Wanted, make_report, naive_of
from batch.report.segmenting import _Feature
from batch.report.verdict import Tone, findings, worst
from batch.tables import predictions, runs
from model.drift import in_words, population_stability
from model.errors import NoRun
from model.profile import NumberCounts, Profile
from model.signature import Feature as FeatureOf
from model.signature import Kind
from runtime.sections import BatchSettings
from runtime.settings import Settings
from tests.batch.filled import CARRIERS, DAY, GAP, HOSTILE, HOSTILE_ID, ROWS, fill, score
from tests.batch.watching import Nobody

if TYPE_CHECKING:
    from tests.batch.conftest import Bench

WANTED = Wanted(top=5, lowest=False, label=None)


def made(settings: Settings, day: date = DAY, wanted: Wanted = WANTED) -> Report:
    return make_report(settings, day, wanted, Nobody())


def stored(settings: Settings, day: date, column: str = "prediction") -> list[Any]:
    with open_target(settings, create=False).reading() as connection:
        found = select(predictions.c[column]).where(predictions.c.scored_for == day)
        return list(connection.execute(found).scalars())


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return fill(tmp_path_factory.mktemp("regression"), "regression")


@pytest.fixture(scope="module")
def regression(settings: Settings) -> Report:
    return made(settings)


@pytest.fixture(scope="module")
def classification(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return made(fill(tmp_path_factory.mktemp("classification"), "classification"))


def test_the_day_and_the_seven_before(settings: Settings, regression: Report) -> None:
    """Each day's rows, level and state; a day without a run is a gap."""
    assert [each.day for each in regression.days] == [
        DAY - timedelta(days=n) for n in range(7, -1, -1)
    ]
    states = {each.day: each.state for each in regression.days}
    assert states.pop(GAP) == "none"
    assert set(states.values()) == {"complete"}
    today = regression.today
    assert (today.rows, today.scored, today.rejected) == (ROWS, ROWS - 3, 3)
    with open_target(settings, create=False).reading() as connection:
        mean = select(func.avg(predictions.c.prediction)).where(predictions.c.scored_for == DAY)
        assert today.mean == pytest.approx(connection.execute(mean).scalar_one())


def test_the_top_are_the_highest(settings: Settings, regression: Report) -> None:
    """In their order, as many as are wanted; or the lowest."""
    figures = [each.figure or 0 for each in regression.top]
    lowest = made(settings, wanted=Wanted(3, lowest=True, label=None)).top

    assert figures == sorted(figures, reverse=True)
    assert len(figures) == 5
    assert regression.top[0].event_id == HOSTILE_ID
    assert (lowest[0].figure or 0) < figures[-1]


def test_rejections_go_by_their_cause(regression: Report) -> None:
    """With how many rows, and the id of one of them."""
    (cause,) = regression.causes

    assert cause.rows == 3
    assert cause.code == "null_not_allowed"
    assert cause.example == f"{DAY}-0001"


def test_drift_is_told_of_what_has_moved(regression: Report) -> None:
    """The delays of the day were raised, its carriers were not."""
    words = {each.name: each.word for each in regression.drifts}

    assert words["delay"] == "strong"
    assert words["carrier"] == "none"
    assert words["prediction"] == "strong"
    assert [each.index for each in regression.drifts] == sorted(
        (each.index for each in regression.drifts), reverse=True
    )


def test_quantiles_are_exact(settings: Settings, regression: Report) -> None:
    """Those of the predictions themselves, as numpy has them; the median of each day before too."""
    for day, found in ((DAY, regression.quantiles), (DAY - timedelta(days=1), None)):
        values = stored(settings, day)
        if found is not None:
            assert found == pytest.approx({share: np.quantile(values, share) for share in SHOWN})
        (of_day,) = (each for each in regression.days if each.day == day)
        assert of_day.median == pytest.approx(np.median(values))


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_both_databases_give_the_same_report(bench: "Bench", tmp_path: Path, kind: str) -> None:
    """Whatever is asked in SQL: quantiles, the top, causes, shares, quality."""
    settings = fill(tmp_path, kind, days=4, on=(bench.source, bench.target))

    report = made(settings)

    figures = stored(settings, DAY)
    if kind == "classification":
        figures = [each["on time"] for each in stored(settings, DAY, "probabilities")]
    top = sorted(figures, reverse=True)[:5]
    assert [each.figure for each in report.top] == pytest.approx(top)
    numbers = [1 - each for each in figures] if kind == "classification" else figures
    if report.figure == "probability of on time":
        numbers = figures
    assert report.quantiles == pytest.approx({s: np.quantile(numbers, s) for s in SHOWN})
    assert [(each.rows, each.example) for each in report.causes] == [(3, f"{DAY}-0001")]
    assert {row.known for row in report.quality.rows} == {0, ROWS}
    assert sum(each.rows for each in report.segments[0].groups) == ROWS - 3


@pytest.mark.parametrize("kind", ["regression", "classification", "outlier"])
def test_without_a_baseline_the_databases_are_asked(
    bench: "Bench", tmp_path: Path, kind: str
) -> None:
    """The same figures as with one: quantiles, labels, segments; a distribution of its own bins."""
    address = (bench.source, bench.target)
    report = made(fill(tmp_path, kind, days=1, on=address, baseline=False))
    usual = made(fill(tmp_path / "usual", kind, days=1))

    assert report.today.scored == ROWS - 3
    assert report.drifts == ()
    assert report.quantiles == pytest.approx(usual.quantiles)
    assert report.number is not None
    assert sum(report.number.counts) == ROWS - 3
    assert len(report.number.edges) > 10
    assert report.today.mean == pytest.approx(usual.today.mean)
    assert report.today.shares == pytest.approx(usual.today.shares)
    assert [each.feature for each in report.segments] == [each.feature for each in usual.segments]
    for segment, as_usual in zip(report.segments, usual.segments, strict=True):
        shown, wanted = (
            {each.value: [each.rows, each.share, each.figure] for each in one.groups}
            for one in (segment, as_usual)
        )
        assert set(shown) == set(wanted)
        for value, figures in wanted.items():
            assert shown[value] == pytest.approx(figures)


def test_a_run_without_any_profile_is_measured_too(tmp_path: Path) -> None:
    """As an older version left it: from the predictions alone; segments want the bundle."""
    settings = fill(tmp_path, "classification", days=2)
    usual = made(settings)
    with open_target(settings).database.connect() as connection, connection.begin():
        connection.execute(update(runs).values(profile=None))

    report = made(settings)
    elsewhere = made(settings.model_copy(update={"store": tmp_path / "none"}))

    assert report.task == "classification"
    assert report.label == usual.label
    assert report.quantiles == pytest.approx(usual.quantiles)
    assert [each.shares for each in report.days] == [
        pytest.approx(each.shares) for each in usual.days
    ]
    assert len(report.segments) == 1
    assert elsewhere.segments == ()
    assert "--store" in elsewhere.no_segments


def test_a_feature_with_many_values_has_its_most_frequent() -> None:
    """Twenty of them; the rest together."""
    feature = _Feature(FeatureOf("x", Kind.STRING, nullable=True, dtype="object", path=("x",)))
    for number in range(2_000):
        feature.add(f"v{number}", 1.0)
    for number in range(20):
        feature.add(f"v{number}", 3.0)
    feature.add(None, 5.0)

    groups = feature.figures().groups

    assert [(each.value, each.rows, each.figure) for each in groups[:20]] == [
        (f"v{number}", 2, 2.0) for number in sorted(range(20), key=lambda n: f"v{n}")
    ]
    assert [(each.value, each.rows, each.figure) for each in groups[20:]] == [
        ("all others", 1_980, 1.0),
        ("missing", 1, 5.0),
    ]


def profile(counts: list[int], expected: list[float] | None = None) -> Profile:
    edges = [float(n) for n in range(len(counts) - 1)]
    shares = [*(expected or [1 / len(counts)] * len(counts)), 0.0]
    number = NumberCounts("x", edges, shares, 1.0, counts, 0, 1.0, 1.0, 0.0, 9.0)
    rows = sum(counts)
    return Profile("regression", True, rows, rows, [number], None, None, [])


WINTER, SPRING = [10, 20, 30, 40, 50, 60, 70, 720], [125] * 8


@pytest.mark.parametrize(
    ("today", "before", "moved"),
    [
        (SPRING, [SPRING] * 7, Moved.NO),
        (WINTER, [WINTER] * 7, Moved.KNOWN),
        (WINTER, [SPRING] * 7, Moved.SUDDENLY),
        (SPRING, [WINTER] * 7, Moved.SUDDENLY),
        (WINTER, [SPRING] * 2, Moved.STRONGLY),
        (SPRING, [], Moved.NO),
    ],
)
def test_drift_is_told_from_the_days_before(
    today: list[int], before: list[list[int]], moved: Moved
) -> None:
    """A season that the bundle has not seen is no news each day; what moves since yesterday is."""
    (drift,), _ = drifts_of(profile(today), [profile(each) for each in before], 1_000)

    assert drift.moved is moved
    assert (drift.lately is None) is (len(before) < 3)


def test_what_differs_every_day_is_usual() -> None:
    """As a day of the week, which has one value a day: no day moves further than any before."""
    week = [[1_000 * (place == day) for place in range(7)] for day in range(7)]

    (drift,), _ = drifts_of(profile(week[0]), [profile(each) for each in week], 1_000)

    assert drift.lately is not None
    assert drift.moved is Moved.KNOWN


def test_few_values_have_wider_limits() -> None:
    """With three values the same index that is much for ten is none."""
    (few,), _ = drifts_of(profile([600, 200, 200]), [profile([400, 300, 300])] * 3, 1_000)
    (same_few,), _ = drifts_of(profile([200, 400, 400]), [profile([400, 300, 300])] * 3, 1_000)
    ten = [60] * 5 + [140] * 5
    (many,), _ = drifts_of(profile(ten), [profile([100] * 10)] * 3, 1_000)

    assert few.few_values
    assert few.limit == 0.4
    assert not many.few_values
    assert many.limit == 0.2
    assert 0.1 < (few.lately or 0) < 0.4
    assert same_few.moved is not Moved.SUDDENLY


def test_bins_of_another_version_are_not_compared() -> None:
    """Another bundle has other edges: its days say nothing of this one's."""
    (drift,), _ = drifts_of(profile(SPRING), [profile([500, 500])] * 7, 1_000)

    assert drift.lately is None


@pytest.mark.parametrize(
    ("rejected", "tone", "says"),
    [
        (0, Tone.FINE, "No row was rejected."),
        (1, Tone.FINE, "1 row was rejected (0.1%, within the limit of 1%)."),
        (10, Tone.FINE, "10 rows were rejected (1.0%, within the limit of 1%)."),
        (11, Tone.LOOK, "11 rows were rejected (1.1%, above the limit of 1%)."),
        (51, Tone.ACT, "51 rows were rejected (5.1%, above the limit of 5%)."),
    ],
)
def test_rejected_rows_are_told_by_their_share(rejected: int, tone: Tone, says: str) -> None:
    """One row of a thousand wakes nobody; the limit is told."""
    today = DayFigures(
        DAY, "complete", ("1",), 1_000, 1_000 - rejected, rejected, 1.0, None, None, {}
    )

    told = {each.section: each for each in findings([today], None, (), Quality())}["rejected"]

    assert (told.tone, told.text) == (tone, says)


def test_naive_is_what_the_card_says() -> None:
    """The median that the model was fitted on, on the rows of the days; else each day's own."""
    card = {"training": {"baseline": {"prediction": 12.0}}}
    naive = naive_of(card)
    tally, own = Tally(None, naive), Tally(None, naive_of({"training": {}}))
    for each in (tally, own):
        each.add([10.0, 12.0, 20.0], [Answer("1", 11.0, None, None)] * 3)

    assert naive.number == 12.0
    assert tally.figures()["naive MAE"] == pytest.approx(10 / 3)
    assert "12, the median outcome that the model was fitted on" in naive.in_words({"naive MAE"})
    assert own.figures()["naive MAE"] == pytest.approx(10 / 3)
    assert naive_of({"training": {"baseline": "x"}}) == naive_of({}) == Naive()


def test_naive_of_a_classifier_is_what_the_card_says() -> None:
    """The shares of the labels that it was fitted on."""
    naive = naive_of({"training": {"baseline": {"shares": {"late": 0.25, "on time": 0.75}}}})
    tally = Tally("late", naive)
    probabilities = {"late": 0.5, "on time": 0.5}
    tally.add(["late", "on time"], [Answer("1", None, "late", probabilities)] * 2)

    expected = -(math.log(0.25) + math.log(0.75)) / 2
    assert tally.figures()["naive log-loss"] == pytest.approx(expected)
    assert "shares of the labels that the model was fitted on" in naive.in_words({"naive log-loss"})


def test_segments_are_the_features_values(regression: Report) -> None:
    """All rows of the day are in them, hostile names as they are."""
    (carrier,) = regression.segments

    assert {each.value for each in carrier.groups} == set(CARRIERS)
    assert sum(each.rows for each in carrier.groups) == ROWS - 3
    means = sum((each.figure or 0) * each.rows for each in carrier.groups) / (ROWS - 3)
    assert means == pytest.approx(regression.today.mean)
    assert HOSTILE in {each.value for each in carrier.groups}


def test_quality_is_measured_where_outcomes_are_known(regression: Report) -> None:
    """Per day and version; the day itself is not known yet."""
    by_day = {row.day: row for row in regression.quality.rows}

    assert by_day[DAY].known == 0
    assert GAP not in by_day
    earlier = by_day[DAY - timedelta(days=1)]
    assert (earlier.known, earlier.scored, earlier.version) == (ROWS, ROWS, "1")
    assert earlier.figures["MAE"] < earlier.figures["naive MAE"]
    assert regression.quality.promised == {"mae": 2.5}
    assert "better than naive" in (regression.quality.summary or "")


def test_a_classifiers_quality(classification: Report) -> None:
    """The rarest label is acted on; log-loss, AUC and calibration are those of its rows."""
    assert classification.label == "on time"  # the delays of the day were raised
    figures = classification.quality.total
    assert 0.7 < figures["AUC"] <= 1
    assert figures["log-loss"] < figures["naive log-loss"]
    assert sum(rows for _, _, rows in classification.quality.calibration) == ROWS * 6
    top = [each.figure or 0 for each in classification.top]
    assert top == sorted(top, reverse=True)


def test_the_findings_say_what_is_unusual(regression: Report) -> None:
    """A higher level, drift: worth a look; rows as usual, few rejected: fine."""
    told = {each.section: each for each in regression.findings}

    assert told["rejected"].tone is Tone.FINE
    assert told["drift"].tone is Tone.LOOK
    assert "delay" in told["drift"].text
    assert any("unusually high" in each.text for each in regression.findings)
    assert any(each.text.startswith("Rows: 300, usually 300") for each in regression.findings)
    assert worst(regression.findings) is Tone.LOOK


def test_an_outlier_detector(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The lowest scores are acted on; outcomes are not measured."""
    report = made(fill(tmp_path_factory.mktemp("outlier"), "outlier", days=2))

    figures = [each.figure or 0 for each in report.top]
    assert figures == sorted(figures)
    assert report.label == "-1"
    assert not report.quality.rows
    assert "regressors and classifiers" in report.quality.why_not


def test_several_sources_of_a_day_are_told_together(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Their rows add up, and each is named."""
    report = made(fill(tmp_path_factory.mktemp("two"), "regression", days=1, sources=2))

    assert len({run.source for run in report.runs}) == 2
    assert report.today.rows == 2 * ROWS
    assert sum(report.number.counts if report.number else ()) == report.today.scored


def test_without_an_outcome_column_the_report_says_so(settings: Settings) -> None:
    """Nothing is read of the source then."""
    batch = settings.batch.model_copy(update={"outcome_column": None, "source": None})

    report = made(settings.model_copy(update={"batch": batch}))

    assert isinstance(batch, BatchSettings)
    assert "--outcome-column" in report.quality.why_not


def test_a_day_without_rows(settings: Settings) -> None:
    """It has a run of no rows, and the report says just that."""
    empty = DAY + timedelta(days=400)
    score(settings, empty)

    report = made(settings, empty)

    assert report.findings[0].tone is Tone.ACT
    assert "no rows" in report.findings[0].text
    assert report.top == ()


def test_a_day_without_a_run(settings: Settings) -> None:
    """No page about nothing."""
    with pytest.raises(NoRun, match=str(GAP)):
        made(settings, GAP)


def test_a_run_that_is_not_complete_is_told_first(regression: Report) -> None:
    """Whatever else there is to say."""
    from batch.report.figures import Lists, Parts, build  # noqa: PLC0415 - of this test alone

    runs = [replace(each, state="failed") for each in regression.runs]

    report = build(DAY, runs, Lists((), "", ()), Parts(), None)

    assert report.findings[0].tone is Tone.ACT
    assert "failed" in report.findings[0].text


def test_a_run_without_a_profile_says_why_there_is_no_drift(regression: Report) -> None:
    """One that an older version began."""
    from batch.report.figures import Lists, Parts, build  # noqa: PLC0415 - of this test alone

    runs = [replace(each, profile=None) for each in regression.runs]

    report = build(DAY, runs, Lists((), "", ()), Parts(), None)

    assert report.drifts == ()
    assert "older version" in report.no_drift


def test_the_stability_index() -> None:
    """The example of the formula; nothing of nothing."""
    assert population_stability([0.5, 0.5], [5, 5]) == 0
    expected = (0.8 - 0.5) * math.log(0.8 / 0.5) + (0.2 - 0.5) * math.log(0.2 / 0.5)
    assert population_stability([0.5, 0.5], [8, 2]) == pytest.approx(expected)
    assert population_stability([0.5, 0.5], [0, 0]) is None
    assert population_stability([], []) is None
    assert [in_words(each) for each in (0.05, 0.15, 0.3)] == ["none", "some", "strong"]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=2, max_size=200))
def test_the_auc_is_scikit_learns_of_rounded_probabilities(rows: list[tuple[bool, float]]) -> None:
    """However the rows come in: the same but for the thousandth that is kept."""
    truths = [truth for truth, _ in rows]
    tally = Tally("yes", Naive())
    for truth, probability in rows:
        answer = Answer("1", None, "yes", {"no": 1 - probability, "yes": probability})
        tally.add(["yes" if truth else "no"], [answer])

    figures = tally.figures()

    if len(set(truths)) == 1:
        assert "AUC" not in figures
        return
    yes = roc_auc_score(truths, [round(p * 1000) for _, p in rows])
    no = roc_auc_score([not t for t in truths], [round((1 - p) * 1000) for _, p in rows])
    assert figures["AUC"] == pytest.approx((yes + no) / 2)


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=1, max_size=100))
def test_regression_figures_are_those_of_the_whole(pairs: list[tuple[float, float]]) -> None:
    """Chunk by chunk as at once."""
    tally = Tally(None, Naive())
    for start in range(0, len(pairs), 7):
        part = pairs[start : start + 7]
        tally.add([t for t, _ in part], [Answer("1", p, None, None) for _, p in part])
    truth, predicted = np.array(pairs).T
    figures = tally.figures()

    assert figures["MAE"] == pytest.approx(np.abs(truth - predicted).mean())
    assert figures["naive MAE"] == pytest.approx(np.abs(truth - np.median(truth)).mean(), abs=1e-9)
    assert figures["RMSE"] == pytest.approx(math.sqrt(np.square(truth - predicted).mean()))
    assert figures["bias"] == pytest.approx((predicted - truth).mean(), abs=1e-9)


@pytest.mark.parametrize(
    ("outcome", "labels", "expected"),
    [
        ("late", {"late": 1}, "late"),
        (1, {"0": 0, "1": 0}, "1"),
        (1.0, {"0": 0, "1": 0}, "1"),
        (1, {"false": 0, "true": 0}, "true"),
        (True, {"false": 0, "true": 0}, "true"),
        (0, {"false": 0, "true": 0}, "false"),
        (1.5, {"1.5": 0}, "1.5"),
    ],
)
def test_an_outcome_is_a_label(outcome: object, labels: dict[str, float], expected: str) -> None:
    """However the database keeps it."""
    assert outcome_key(outcome, labels) == expected


def test_an_outcome_that_is_no_number_is_not_known() -> None:
    """A text in a column of numbers."""
    tally = Tally(None, Naive())
    tally.add(["x", math.inf, 2.0], [Answer("1", 1.0, None, None)] * 3)

    assert tally.known == 1


def test_the_calibration_curve() -> None:
    """Of bins that have rows: the mean probability and what came true."""
    tally = Tally("yes", Naive())
    for outcome, probability in (("yes", 0.91), ("no", 0.99), ("no", 1.0)):
        tally.add([outcome], [Answer("1", None, "yes", {"yes": probability})])

    ((said, true, rows),) = calibration([tally])

    assert said == pytest.approx(2.9 / 3)
    assert true == pytest.approx(1 / 3)
    assert rows == 3


def test_what_ran_needs_no_profile() -> None:
    """A run as an older version left it is one too."""
    at = datetime(2013, 12, 18, tzinfo=UTC)
    ran = Ran("r", "m", "1", "s", DAY, "complete", 1, 1, 0, 0.1, at, at, None, None)

    assert ran.is_complete
    assert QualityRow(DAY, "1", 0, 1, {}).figures == {}
