"""A snapshot as Prometheus metrics. The names are those of runtime/telemetry.py."""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge

from monitor.snapshot import Snapshot
from runtime.telemetry import MonitorMetrics

Labels = tuple[str, ...]


class Export:
    """Shows one snapshot after another; what is no longer known is no longer shown."""

    def __init__(self, metrics: MonitorMetrics) -> None:
        self._metrics = metrics
        self._shown: dict[Gauge, set[Labels]] = {}
        self._counted: dict[tuple[Counter, Labels], int] = {}

    def show(self, seen: Snapshot) -> None:
        """Set every metric to what the snapshot says."""
        metrics = self._metrics
        metrics.broker_up.set(seen.broker.reachable)
        metrics.members.set(len(seen.group.members))
        metrics.rebalances.inc(self._more(metrics.rebalances, (), seen.group.rebalances))
        self._show_lag(seen)
        self._show_answers(seen)
        self._show_quality(seen)
        self._show_drift(seen)

    def _show_lag(self, seen: Snapshot) -> None:
        def place(number: int) -> Labels:
            return (seen.group.name, seen.input, str(number))

        known = seen.partitions if seen.broker.reachable else ()
        self._set(self._metrics.lag, {place(p.partition): p.lag_events for p in known})
        self._set(self._metrics.lag_seconds, {place(p.partition): p.lag_s for p in known})

    def _show_answers(self, seen: Snapshot) -> None:
        metrics = self._metrics
        for version in seen.versions:
            self._count(metrics.predictions, (version.model, version.version), version.count)
        for cause in seen.dead_letters.by_cause:
            self._count(metrics.dead_letters, (cause.stage, cause.code), cause.count)
        self._set(metrics.latency, {("0.5",): seen.latency.p50_s, ("0.99",): seen.latency.p99_s})
        self._set(metrics.batch_events, {("0.5",): seen.batches.p50, ("1",): seen.batches.max})
        if seen.outcomes is not None:
            for result in ("joined", "duplicates", "unusable", "expired"):
                self._count(metrics.outcomes, (result,), getattr(seen.outcomes, result))

    def _show_quality(self, seen: Snapshot) -> None:
        values: dict[Labels, float | None] = {}
        coverage: dict[Labels, float | None] = {}
        for each in seen.quality:
            window = (each.window, each.model, each.version)
            values |= {(name, *window): value for name, value in each.metrics.items()}
            coverage[window] = each.coverage
        self._set(self._metrics.quality, values)
        self._set(self._metrics.coverage, coverage)

    def _show_drift(self, seen: Snapshot) -> None:
        metrics, features = self._metrics, seen.drift.features
        self._set(metrics.feature_psi, {(each.name,): each.psi for each in features})
        self._set(metrics.feature_ks, {(each.name,): each.ks for each in features})
        self._set(metrics.prediction_psi, {(each.name,): each.psi for each in seen.distributions})
        for total in seen.drift.totals:
            labels = (total.metric, total.model, total.version)
            self._count(metrics.drift_alarms, labels, total.count)

    def _set(self, gauge: Gauge, values: Mapping[Labels, float | None]) -> None:
        known = {labels: value for labels, value in values.items() if value is not None}
        for labels, value in known.items():
            gauge.labels(*labels).set(value)
        for gone in self._shown.get(gauge, set()) - known.keys():
            gauge.remove(*gone)
        self._shown[gauge] = set(known)

    def _count(self, counter: Counter, labels: Labels, total: int) -> None:
        counter.labels(*labels).inc(self._more(counter, labels, total))

    def _more(self, counter: Counter, labels: Labels, total: int) -> int:
        more = total - self._counted.get((counter, labels), 0)
        self._counted[counter, labels] = total
        return max(0, more)
