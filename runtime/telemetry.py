"""The one list of metrics.

Every metric that Streamscore exports is named here, nowhere else. It must not know where the
numbers come from, nor how they are served. No metric is labelled with an id of an event.
"""

import importlib.metadata
import platform

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from runtime.latency_histogram import LatencyHistogram
from runtime.version import version

RESULTS = ("predicted", "dead_letter", "skipped")
STAGES = ("poll", "decode", "score", "encode", "publish", "commit")

RELOADS = ("loaded", "refused", "not_found")

PUBLISHED = ("delivered", "dropped", "failed")

HTTP_EVENTS = ("predicted", "refused")

BATCH_DAYS = ("complete", "failed")
BATCH_ROWS = ("predicted", "rejected")

_BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
_STAGE_BUCKETS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_HTTP_BUCKETS = (
    *(2.5e-4, 5e-4, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30),
)


class ModelMetrics:
    """Which model a service uses, and what came of following its alias."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Always 1: which model is served, and how it is evaluated.
        self._info = Info("streamscore_model", "The model in use.", registry=registry)
        # Versions that an alias came to, by what became of them: alert on any that was refused.
        self.reloads = Counter(
            "streamscore_model_reloads_total",
            "Versions taken up while at work, and tries that failed, by result.",
            ["result"],
            registry=registry,
        )
        for result in RELOADS:
            self.reloads.labels(result)

    def serve(self, *, model: str, version: str, engine: str) -> None:
        """State the model in use; replaces the one before."""
        self._info.info({"model": model, "version": version, "engine": engine})


class Metrics:
    """Every metric of the scoring service, registered in `registry`; one instance a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        # Events that are done (committed), by what became of them.
        self.events = Counter(
            "streamscore_events_total", "Events done, by result.", ["result"], registry=registry
        )
        # The dead letters among them: where in the pipeline, and why (see docs/contracts.md).
        self.dead_letters = Counter(
            "streamscore_dead_letters_total",
            "Events dead-lettered, by the stage that failed and its code.",
            ["stage", "code"],
            registry=registry,
        )
        # How many events are scored at once: 1 when idle, max_batch when behind.
        self.batch_events = Histogram(
            "streamscore_batch_events",
            "Events in a batch.",
            buckets=_BATCH_BUCKETS,
            registry=registry,
        )
        # Where the time of a batch goes.
        self.stage_seconds = Histogram(
            "streamscore_stage_seconds",
            "Time that a batch spent in a stage.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        # What an application waits for: event timestamp -> its prediction committed.
        self.latency_seconds = LatencyHistogram(
            "streamscore_latency_seconds",
            "Time from an event's timestamp to the commit of its prediction.",
        )
        registry.register(self.latency_seconds)
        # Events waiting in each partition that this process owns.
        self.lag = Gauge(
            "streamscore_lag_events",
            "Committed events of a partition that are not yet scored.",
            ["topic", "partition"],
            registry=registry,
        )
        # Partitions moved between the members of the group.
        self.rebalances_total = Counter(
            "streamscore_rebalances_total", "Assignments of partitions.", registry=registry
        )
        # Batches that were taken back and tried again: never a loss, but time.
        self.transaction_aborts_total = Counter(
            "streamscore_transaction_aborts_total", "Transactions aborted.", registry=registry
        )
        self.model = ModelMetrics(registry)
        # Stands still when the service hangs: alert on its age while there is lag.
        self.last_progress_timestamp_seconds = Gauge(
            "streamscore_last_progress_timestamp_seconds",
            "Unix time at which the loop last came round.",
            registry=registry,
        )
        # Always 1: which software this is.
        self.build_info = Info("streamscore_build", "The versions in use.", registry=registry)
        self._show_from_the_start()

    def _show_from_the_start(self) -> None:
        for result in RESULTS:  # a counter that appears at its first event has no rate for it
            self.events.labels(result)
        for stage in STAGES:
            self.stage_seconds.labels(stage)
        self.build_info.info(
            {
                "version": version(),
                "python": platform.python_version(),
                "scikit_learn": importlib.metadata.version("scikit-learn"),
                "confluent_kafka": importlib.metadata.version("confluent-kafka"),
            }
        )


class PublishMetrics:
    """What became of the online answers that are published as predictions."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Alert on `dropped` and `failed`: subscribers miss these predictions.
        self.published = Counter(
            "streamscore_published_predictions_total",
            "Online predictions for the topic, by result.",
            ["result"],
            registry=registry,
        )
        for result in PUBLISHED:
            self.published.labels(result)


class ServingMetrics:
    """Every metric of the HTTP service, registered in `registry`; one instance a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        # Requests by route (not by path: that is anyone's to choose) and status.
        self.requests = Counter(
            "streamscore_http_requests_total",
            "Requests answered, by route and status.",
            ["route", "status"],
            registry=registry,
        )
        # From a request's headers to its answer.
        self.request_seconds = LatencyHistogram(
            "streamscore_http_request_seconds", "Time of a request in the service.", _HTTP_BUCKETS
        )
        registry.register(self.request_seconds)
        # Events by what became of them: refused ones are the clients' to mend.
        self.events = Counter(
            "streamscore_http_events_total", "Events by result.", ["result"], registry=registry
        )
        # Requests in flight are scored together: 1 when there is nothing to do.
        self.batch_events = Histogram(
            "streamscore_http_batch_events",
            "Events scored at once.",
            buckets=_BATCH_BUCKETS,
            registry=registry,
        )
        # Near `serving.queue_events` there are 503s.
        self.queued_events = Gauge(
            "streamscore_http_queued_events", "Events that wait to be scored.", registry=registry
        )
        self.in_flight = Gauge(
            "streamscore_http_requests_in_flight", "Requests being answered.", registry=registry
        )
        self.model = ModelMetrics(registry)
        for result in HTTP_EVENTS:
            self.events.labels(result)


class BatchMetrics:
    """Every metric of the scheduler of batch runs, registered in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        # Days that were tried, by what became of them; a day that failed is tried again.
        self.days = Counter(
            "streamscore_batch_days_total", "Days tried, by result.", ["result"], registry=registry
        )
        # Rows that are done (committed), by what became of them.
        self.rows = Counter(
            "streamscore_batch_rows_total", "Rows done, by result.", ["result"], registry=registry
        )
        # Days that are due and not complete: alert on it where it stays above 0.
        self.missing_days = Gauge(
            "streamscore_batch_missing_days", "Days due and not yet complete.", registry=registry
        )
        # Rows that came into complete days, or went from them, after their runs: `--again` is due.
        self.late_rows = Gauge(
            "streamscore_batch_late_rows",
            "Rows that came into, or went from, complete days since their runs.",
            registry=registry,
        )
        # The end of the newest day that is complete: alert on its age.
        self.complete_until_timestamp_seconds = Gauge(
            "streamscore_batch_complete_until_timestamp_seconds",
            "Unix time of the end of the newest complete day.",
            registry=registry,
        )
        # Stands still when a run hangs: alert on its age.
        self.last_progress_timestamp_seconds = Gauge(
            "streamscore_batch_last_progress_timestamp_seconds",
            "Unix time at which the scheduler, or a chunk of its run, last came round.",
            registry=registry,
        )
        for result in BATCH_DAYS:
            self.days.labels(result)
        for result in BATCH_ROWS:
            self.rows.labels(result)


class MonitorMetrics:
    """Every metric of the monitor, registered in `registry`: what its page shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        own, version = "streamscore_monitor", ("model", "version")

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        # Of the watched group, by the name that dashboards chart it; seconds are at least.
        place = ("consumergroup", "topic", "partition")
        self.lag = gauge("kafka_consumergroup_lag", "Events that are not done.", *place)
        self.lag_seconds = gauge(f"{own}_lag_seconds", "How long the oldest waits.", *place)
        # 0 while no broker answers: the other figures stand still then.
        self.broker_up = gauge(f"{own}_broker_up", "Whether a broker answers.")
        self.members = gauge(f"{own}_group_members", "Members of the watched group.")
        self.rebalances = counter(f"{own}_rebalances_total", "Changes of the group's members.")
        # Since the monitor first watched, through its restarts.
        self.predictions = counter(f"{own}_predictions_total", "Predictions seen.", *version)
        self.dead_letters = counter(f"{own}_dead_letters_total", "By cause.", "stage", "code")
        self.outcomes = counter(f"{own}_outcomes_total", "By what became of them.", "result")
        # Of the last minute's sample: event timestamp -> prediction timestamp; events at once.
        self.latency = gauge(f"{own}_latency_seconds", "Event to prediction.", "quantile")
        self.batch_events = gauge(f"{own}_batch_events", "Events scored at once.", "quantile")
        # What the truth says, by window (5m, 1h, all): mae, rmse, bias, accuracy, …
        window = ("window", *version)
        self.quality = gauge(f"{own}_quality", "Of predictions.", "metric", *window)
        self.coverage = gauge(f"{own}_outcome_coverage_ratio", "Share with outcome.", *window)
        # Against the baseline. Of the index: below 0.1 nothing has moved, above 0.2 much has.
        self.feature_psi = gauge(f"{own}_feature_psi", "Population stability.", "feature")
        self.feature_ks = gauge(f"{own}_feature_ks", "Kolmogorov-Smirnov.", "feature")
        self.prediction_psi = gauge(f"{own}_prediction_psi", "Of the answers.", "answer")
        # Alert on any: the mean of a version's error is another one now (ADWIN).
        self.drift_alarms = counter(f"{own}_drift_alarms_total", "By error.", "metric", *version)
