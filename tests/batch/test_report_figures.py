"""The report's figures: what the page says, from what the database has."""

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sqlalchemy import func, select

from batch.assembly import open_target
from batch.found import Ran
from batch.report.figures import Report, quantile
from batch.report.quality import Answer, QualityRow, Tally, calibration, outcome_key
from batch.report.reporting import Wanted, make_report
from batch.report.verdict import Tone, worst
from batch.tables import predictions
from model.drift import in_words, population_stability
from model.errors import NoRun
from model.profile import NumberCounts
from runtime.sections import BatchSettings
from runtime.settings import Settings
from tests.batch.filled import CARRIERS, DAY, GAP, HOSTILE, HOSTILE_ID, ROWS, Nobody, fill, score

WANTED = Wanted(top=5, lowest=False, label=None)


def made(settings: Settings, day: date = DAY, wanted: Wanted = WANTED) -> Report:
    return make_report(settings, day, wanted, Nobody())


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
    assert "better than the mean" in (regression.quality.summary or "")


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
    """Rejected rows, a higher level, drift: worth a look; rows as usual: fine."""
    told = {each.section: each for each in regression.findings}

    assert told["rejected"].tone is Tone.LOOK
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
    from batch.report.figures import Lists, build  # noqa: PLC0415 - of this test alone

    runs = [replace(each, state="failed") for each in regression.runs]

    report = build(DAY, runs, Lists((), "", ()), regression.quality, None)

    assert report.findings[0].tone is Tone.ACT
    assert "failed" in report.findings[0].text


def test_a_run_without_a_profile_says_why_there_is_no_drift(regression: Report) -> None:
    """One that an older version began."""
    from batch.report.figures import Lists, build  # noqa: PLC0415 - of this test alone

    runs = [replace(each, profile=None) for each in regression.runs]

    report = build(DAY, runs, Lists((), "", ()), regression.quality, None)

    assert report.drifts == ()
    assert "older version" in report.no_drift


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_lies_within_its_bin(values: list[float], share: float) -> None:
    """Interpolated, it is off by no more than the bin's width, and never outside of the values."""
    edges = [-100.0, 0.0, 100.0, 1e5]
    places = np.searchsorted(edges, values)
    counts = np.bincount(places, minlength=5).tolist()
    number = NumberCounts(
        "x", edges, [], None, counts, 0, sum(values), None, min(values), max(values)
    )

    found = quantile(number, share)

    exact = float(np.quantile(values, share, method="inverted_cdf"))
    assert found is not None
    assert min(values) <= found <= max(values)
    if share > 0:
        assert np.searchsorted(edges, exact) <= np.searchsorted(edges, found) + 1


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
    tally = Tally("yes")
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
    tally = Tally(None)
    for start in range(0, len(pairs), 7):
        part = pairs[start : start + 7]
        tally.add([t for t, _ in part], [Answer("1", p, None, None) for _, p in part])
    truth, predicted = np.array(pairs).T
    figures = tally.figures()

    assert figures["MAE"] == pytest.approx(np.abs(truth - predicted).mean())
    assert figures["naive MAE"] == pytest.approx(np.abs(truth - truth.mean()).mean(), abs=1e-9)
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
    tally = Tally(None)
    tally.add(["x", math.inf, 2.0], [Answer("1", 1.0, None, None)] * 3)

    assert tally.known == 1


def test_the_calibration_curve() -> None:
    """Of bins that have rows: the mean probability and what came true."""
    tally = Tally("yes")
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
