"""What people see of the demo: on a terminal, in a log, and as a picture."""

import io
from xml.etree import ElementTree as ET

from rich.console import Console

from demo.departures import Flight
from demo.figures import Figures, Prediction, Rejected, Snapshot
from demo.screen import (
    export_svg,
    live_screen,
    prediction_line,
    progress_line,
    sparkline,
    summary_table,
)
from demo.show import LiveShow, PlainShow, show_on
from demo.summary import Summary

LATE = Flight("UA-1545-EWR-2013-12-01", "UA-1545", "EWR", "IAH", 2.0, 11.0)
SUMMARY = Summary(
    events=27_020,
    predictions=26_993,
    dead_letters=27,
    lost=0,
    doubled=0,
    events_per_second=1998.4,
    latency_p50_ms=12.0,
    latency_p99_ms=40.0,
    mae=13.03,
    naive_mae=13.69,
    seconds=13.5,
    workers=2,
    alerts=1893,
    model="flight-delay:1",
)


def snapshot() -> Snapshot:
    figures = Figures(1000)
    figures.publish(LATE, 100.0)
    figures.publish(None, 100.0)
    figures.publish(None, 100.0)
    figures.predict(LATE.id, 12.4, 100.02)
    figures.reject(Rejected("wrong_type", "the field '[red]' must be number"), 100.03)
    return figures.now(101.0)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, height=40)


def log() -> Console:
    return Console(file=io.StringIO(), width=10_000)


def test_a_prediction_reads_like_a_sentence() -> None:
    """Flight, route, departure and prediction in one line."""
    line = prediction_line(Prediction(LATE, 12.4))
    assert line == "UA-1545 EWR→IAH left 2 min late, predicted +12.4"
    early = Flight("x", "B6-1", "JFK", "BOS", -3.0, 0.0)
    assert prediction_line(Prediction(early, -8.04)).endswith("left 3 min early, predicted -8.0")
    on_time = Flight("x", "B6-1", "JFK", "BOS", 0.0, 0.0)
    assert prediction_line(Prediction(on_time, -0.04)).endswith("left on time, predicted +0.0")


def test_the_screen_shows_figures_predictions_and_dead_letters() -> None:
    """One screen has it all, and data are shown as they are, never read as markup."""
    console = terminal()
    console.print(live_screen(snapshot(), title="December 2013, 2 workers"))
    for text in ("UA-1545", "EWR→IAH", "+12.4", "20 ms", "wrong_type", "'[red]'", "3 of 1,000"):
        assert text in printed(console)


def test_the_screen_fits_a_small_terminal() -> None:
    """24 lines of 100 columns are enough."""
    console = terminal()
    figures = Figures(10)
    for number in range(10):
        figures.publish(LATE, 1.0)
        figures.predict(LATE.id, number, 1.0)
        figures.reject(Rejected("not_json", "x" * 500), 1.0)
    console.print(live_screen(figures.now(2.0), title="x"))
    assert len(printed(console).splitlines()) <= 24


def test_the_log_line_says_the_same() -> None:
    """Off a terminal one line has the counts, the rate, the latency and the last prediction."""
    line = progress_line(snapshot())
    assert line.startswith("3 of 1,000 published, 2 answered, lag 1, 2 events/s, ")
    assert "p50 20 ms p99 20 ms; UA-1545 EWR→IAH" in line


def test_the_picture_is_an_svg() -> None:
    """`--screenshot` saves the screen as well-formed SVG with its text in it."""
    svg = export_svg(live_screen(snapshot(), title="December"), title="streamscore demo")
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - ours
    assert "UA-1545" in svg


def test_the_summary_names_every_figure() -> None:
    """The table at the end has what `--summary` writes."""
    console = log()
    console.print(summary_table(SUMMARY))
    for text in ("27,020", "26,993", "flight-delay:1", "1,998", "13.03 min", "13.69 min", "1,893"):
        assert text in printed(console)


def test_a_log_gets_a_line_every_two_seconds_and_no_control_characters() -> None:
    """Off a terminal each step is a line; figures come no more often than every two seconds."""
    console = log()
    figures = Figures(10)
    figures.publish(LATE, 100.0)
    with show_on(console, title="x") as show:
        assert isinstance(show, PlainShow)
        show.step("Training")
        for tenth in range(41):
            show.figures(figures.now(100.0 + tenth / 10))
    assert printed(console).splitlines()[0] == "Training"
    assert len(printed(console).splitlines()) == 4
    assert "\x1b" not in printed(console)


def test_a_terminal_gets_a_live_screen_that_stays_at_the_end() -> None:
    """On a terminal the screen is drawn in place, between two steps that leave nothing behind."""
    console = terminal()
    with show_on(console, title="the title") as show:
        assert isinstance(show, LiveShow)
        show.step("Training")
        show.figures(snapshot())
        show.step("Auditing")
    assert "the title" in printed(console).rpartition("Auditing")[0]
    assert printed(console).rindex("\x1b[?25h") > printed(console).rindex("\x1b[?25l")  # cursor


def test_a_sparkline_scales_to_its_largest_value() -> None:
    """The largest is a full bar; nothing at all is no bar."""
    assert sparkline([0, 5, 10]) == "▁▅█"
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == ""
