"""Logs that machines and people can read, and the one list of metrics."""

import json
import logging
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from runtime.latency_histogram import LatencyHistogram
from runtime.logs import configure_logging
from runtime.sections import LogSettings
from runtime.telemetry import Metrics

SECRET = "geheim-8f2a"


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Give the rest of the tests the logging that they had."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    printed = capsys.readouterr()
    assert printed.out == ""
    return [json.loads(line) for line in printed.err.splitlines()]


@pytest.mark.usefixtures("restored_logging")
def test_off_a_terminal_every_line_is_json_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An event name with fields, its level, its logger, and a time in UTC."""
    configure_logging(LogSettings())
    structlog.get_logger("streamscore.consumer").info("batch_committed", events=3)
    (line,) = lines_of(capsys)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "event": "batch_committed",
        "events": 3,
        "level": "info",
        "logger": "streamscore.consumer",
    }


@pytest.mark.usefixtures("restored_logging")
def test_what_is_below_the_level_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """The level of the settings decides."""
    configure_logging(LogSettings(level="warning"))
    log = structlog.get_logger("streamscore.consumer")
    log.info("quiet")
    log.warning("loud")
    assert [line["event"] for line in lines_of(capsys)] == ["loud"]


@pytest.mark.usefixtures("restored_logging")
def test_libraries_and_warnings_are_logged_in_the_same_form(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing breaks the stream of JSON lines."""
    configure_logging(LogSettings())
    logging.getLogger("urllib3").warning("retry %s", 1)
    logging.getLogger("urllib3").info("chatter")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old name", UserWarning, stacklevel=1)
    first, second = lines_of(capsys)
    assert (first["event"], first["logger"]) == ("retry 1", "urllib3")
    assert "old name" in str(second["event"])


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_carries_no_local_variables(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """They may be payloads or secrets."""
    configure_logging(LogSettings.model_validate({"format": form}))
    password = "".join(reversed(SECRET))
    try:
        int(password[:0])
    except ValueError:
        structlog.get_logger("streamscore").exception("failed")
    printed = capsys.readouterr().err
    assert "ValueError" in printed
    assert password not in printed


@pytest.mark.usefixtures("restored_logging")
def test_the_console_form_is_for_reading(capsys: pytest.CaptureFixture[str]) -> None:
    """No JSON, and no colours where standard error is no terminal."""
    configure_logging(LogSettings(format="console"))
    structlog.get_logger("streamscore.demo").info("started", port=9092)
    printed = capsys.readouterr().err
    assert "started" in printed
    assert "port=9092" in printed
    assert "\x1b[" not in printed


def test_every_metric_is_exported_under_its_name(metrics: Metrics) -> None:
    """Dashboards and alerts are built on these names: they change by intention only."""
    families = {family.name for family in metrics.registry.collect()}
    assert families == {
        "streamscore_events",
        "streamscore_dead_letters",
        "streamscore_batch_events",
        "streamscore_stage_seconds",
        "streamscore_latency_seconds",
        "streamscore_lag_events",
        "streamscore_rebalances",
        "streamscore_transaction_aborts",
        "streamscore_model",
        "streamscore_model_reloads",
        "streamscore_last_progress_timestamp_seconds",
        "streamscore_build",
    }


def test_counters_are_there_before_their_first_event(metrics: Metrics) -> None:
    """A counter that appears with its first event has no rate for it."""
    exported = generate_latest(metrics.registry).decode()
    assert 'streamscore_events_total{result="dead_letter"} 0.0' in exported
    assert 'streamscore_stage_seconds_count{stage="commit"} 0.0' in exported
    assert "streamscore_build_info{" in exported


def test_another_model_replaces_the_one_before(metrics: Metrics) -> None:
    """One series says what is served now."""
    metrics.model.serve(model="m", version="1", engine="scikit-learn")
    metrics.model.serve(model="m", version="2", engine="scikit-learn")
    exported = generate_latest(metrics.registry).decode()
    assert 'streamscore_model_info{engine="scikit-learn",model="m",version="2"} 1.0' in exported
    assert 'version="1"' not in exported


_BUCKETS = (0.01, 0.1, 1.0)


def samples_of(collector: LatencyHistogram | Histogram) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in collector.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.lists(st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.5, 1.0, 7.0])), max_size=4))
def test_a_batch_counts_as_its_events_do(batches: list[list[float]]) -> None:
    """The histogram of many at once equals that of Prometheus' client, fed one by one."""
    ours = LatencyHistogram("latency_seconds", "x", _BUCKETS)
    theirs = Histogram("latency_seconds", "x", buckets=_BUCKETS, registry=None)
    for batch in batches:
        ours.observe_many(np.array(batch, dtype=np.float64))
        for seconds in batch:
            theirs.observe(seconds)
    assert samples_of(ours) == pytest.approx(samples_of(theirs))


def test_clocks_that_differ_and_times_that_are_none_do_no_harm() -> None:
    """Before zero counts as zero; what is not finite is left out."""
    histogram = LatencyHistogram("latency_seconds", "x", _BUCKETS)
    histogram.observe_many(np.array([-3.0, np.nan, np.inf, 0.05]))
    samples = samples_of(histogram)
    assert samples["latency_seconds_count", ""] == 2
    assert samples["latency_seconds_sum", ""] == pytest.approx(0.05)
    assert samples["latency_seconds_bucket", "0.01"] == 1
