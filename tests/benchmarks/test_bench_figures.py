"""The benchmark's arithmetic: schedules, percentiles, rates, ratios, verdicts, tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.names import (
    BATCH_BEST,
    BATCH_UNSCORED,
    BEST_NAME,
    ONLINE_BEST,
    ONLINE_CONSTANT,
    ONLINE_MANY,
    ONLINE_ONE,
    PASS_NAME,
    PLAIN_NAME,
)
from benchmarks.report import BEGIN, END, PARTS, Column, cell, replaced, section_table
from benchmarks.results import Results, Row, ratios
from benchmarks.schedule import Schedule, latencies_ms, percentiles
from benchmarks.verdicts import judge, spread


@given(st.integers(1, 10_000), st.floats(0, 5), st.floats(0.1, 5), st.floats(0, 12))
def test_an_event_is_due_when_its_time_has_come_and_not_before(
    rate: int, warm_up_s: float, seconds: float, elapsed_s: float
) -> None:
    """Of a schedule exactly those events are due whose time is not after the present."""
    schedule = Schedule(rate, warm_up_s, seconds)
    due = schedule.due_by(elapsed_s)
    assert 0 <= due <= schedule.count
    slack_s = 1e-9 * max(1.0, elapsed_s)
    assert due == 0 or schedule.due(due - 1) <= elapsed_s + slack_s
    assert due == schedule.count or schedule.due(due) >= elapsed_s - slack_s


def test_nothing_is_due_before_the_begin() -> None:
    """A sender that is ready early waits."""
    assert Schedule(1000, 1.0, 1.0).due_by(-0.001) == 0


def test_latency_counts_from_the_schedule_and_leaves_the_warm_up_out() -> None:
    """Given a stall of a second, then the events that had to wait for its end are late too."""
    schedule = Schedule(rate=10, warm_up_s=0.2, seconds=0.4)
    arrived = np.array([100.0, 100.1, 101.2, 101.2, 101.2, 101.2])
    np.testing.assert_allclose(latencies_ms(schedule, 100.0, arrived), [1000, 900, 800, 700])


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_percentiles_are_values_that_occurred_in_order(values: list[float]) -> None:
    """A percentile is never better than what was seen: no interpolation."""
    found = percentiles(values)
    assert set(found.values()) <= set(values)
    assert found["p50_ms"] <= found["p99_ms"] <= found["p999_ms"] <= found["max_ms"] == max(values)


def test_a_p999_of_few_values_is_the_largest() -> None:
    """Ten values say nothing of one in a thousand but the worst."""
    assert percentiles(list(range(10)))["p999_ms"] == 9


def row(name: str, **figures: list[float]) -> Row:
    """A row of flights with these figures."""
    return Row("throughput", "flight", name, dict(figures))


def test_rates_are_compared_round_by_round() -> None:
    """What drifts meets both: the ratio is taken within each round."""
    ours, limit = row("a", x=[40, 20, 10]), row("b", x=[80, 40, 20])
    assert ratios(ours, limit, "x") == [0.5, 0.5, 0.5]


def results(**rates: list[float]) -> Results:
    """Flights drained by these contestants."""
    names = {"limit": PASS_NAME, "plain": PLAIN_NAME, "best": BEST_NAME}
    found = Results()
    for who, values in rates.items():
        for value in values:
            found.add("throughput", "flight", names[who], {"events_per_second": value})
    return found


def test_a_target_is_reached_at_its_bound() -> None:
    """Given 0.40 of the limit, then that is enough for the plain engine and not for the best."""
    found = results(limit=[100, 200, 300], plain=[40, 80, 120], best=[40, 80, 120])
    plain, best = judge(found)[:2]
    assert plain.measured == pytest.approx(0.4)
    assert (plain.reached, plain.word) == (True, "yes")
    assert (best.reached, best.word) == (False, "NO")
    assert best.ratio == pytest.approx(0.4 / 0.6)


def test_what_was_not_measured_has_no_verdict() -> None:
    """Given no results at all, then no target is called reached or missed."""
    verdicts = judge(Results())
    assert verdicts
    assert {(v.measured, v.reached, v.word) for v in verdicts} == {(None, None, "not measured")}


def test_a_day_is_compared_with_the_same_without_scoring_and_with_one_ten_times_as_large() -> None:
    """Given both databases, then the rate is each one's own, and the worst memory counts."""
    found = Results()
    for where, rate, peak in (("SQLite", 50, 200.0), ("PostgreSQL", 60, 220.0)):
        figures = {"rows_per_second": rate, "peak_rss_mib": peak}
        found.add("batch", where, BATCH_BEST, figures)
        found.add("batch", where, BATCH_UNSCORED, {"rows_per_second": 100, "peak_rss_mib": 190})
    found.add("batch", "SQLite, 9 rows", BATCH_BEST, {"peak_rss_mib": 208.0})
    found.add("batch", "PostgreSQL, 9 rows", BATCH_BEST, {"peak_rss_mib": 222.0})
    by_what = {verdict.what: verdict for verdict in judge(found)}
    measured = {
        what: by_what[what].measured
        for what in (
            "a day from SQLite to SQLite: of the same without scoring",
            "a day from PostgreSQL to PostgreSQL: of the same without scoring",
            "peak RSS of a day, 0.3 and 3 million rows",
            "peak RSS of 3 million rows: beside that of 0.3",
        )
    }
    assert list(measured.values()) == pytest.approx([0.5, 0.6, 222.0, 4.0])


def test_online_rates_are_compared_with_those_of_the_same_connections() -> None:
    """Given ours and a constant, then 64 connections decide on rates, and one on the delay."""
    found = Results()
    for name, rate, p99 in ((ONLINE_BEST, 60, 2.0), (ONLINE_CONSTANT, 100, 1.5)):
        for subject, slower in ((ONLINE_MANY, 10), (ONLINE_ONE, 1)):
            figures = {"requests_per_second": rate, "p99_ms": p99 * slower}
            found.add("online", subject, name, figures)
    by_what = {verdict.what: verdict.measured for verdict in judge(found)}
    assert by_what["online, 64 connections: of the constant answer"] == pytest.approx(0.6)
    assert by_what["online, p99 at 1 connection: above the constant answer's"] == pytest.approx(0.5)
    assert by_what["against MLServer's adaptive batching"] is None


def test_the_worst_overload_is_judged() -> None:
    """Given two of them, then each figure is of the one that bore it worse."""
    found = Results()
    for clients, answered, p99, growth in (("640", 1.0, 900.0, 0.5), ("200", 0.9, 300.0, 7.0)):
        figures = {"answered": answered, "refused": 0.9, "p99_ms": p99, "rss_growth": growth}
        found.add("strain", clients, ONLINE_BEST, figures)
    verdicts = [verdict for verdict in judge(found) if verdict.measured is not None]
    assert [verdict.measured for verdict in verdicts] == [0.9, 900.0, 7.0]
    assert [verdict.reached for verdict in verdicts] == [False, True, False]


def test_the_spread_is_of_the_largest_above_the_smallest() -> None:
    """In percent."""
    assert spread([10.0, 11.0, 10.5]) == pytest.approx(10.0)


def test_a_cell_shows_the_median_and_the_range() -> None:
    """Of one round only its value."""
    column = Column("x", "x", 1)
    assert cell(row("a", x=[3, 1, 2]), column) == "2.0 (1.0 to 3.0)"
    assert cell(row("a", x=[3]), column) == "3.0"
    assert cell(row("a"), column) == ""


def test_a_rate_is_shown_against_the_limit_of_its_own_guarantee() -> None:
    """Given both guarantees, then each is compared with the pass-through that has it."""
    rows = [
        row("pass-through, exactly once", events_per_second=[100.0]),
        row("streamscore auto, exactly once", events_per_second=[60.0]),
        row("pass-through, at least once", events_per_second=[200.0]),
        row("streamscore auto, at least once", events_per_second=[60.0]),
    ]
    _, *lines = section_table("throughput", rows)
    assert [line[3] for line in lines] == ["1.000", "0.600", "1.000", "0.300"]


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    """What people wrote stays; a page without markers is an error and stays as it is."""
    page = f"# Title\n{BEGIN}\nold\n{END}\nend\n"
    assert replaced(page, "new") == f"# Title\n{BEGIN}\n\nnew\n\n{END}\nend\n"
    part = "a <!-- bench online:begin -->old<!-- bench online:end --> z"
    assert replaced(part, "new", *PARTS["online"]).split("\n\n")[1] == "new"
    with pytest.raises(ValueError, match="markers"):
        replaced("# Title\n", "new")
