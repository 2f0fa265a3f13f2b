"""Writes deploy/grafana/streamscore.json: a panel for each metric of the monitor and of workers.

    python deploy/grafana_dashboard.py

Names, help and labels are read from the one list (runtime/telemetry.py), so that a metric that is
added there has its panel, and a test fails while the file is out of date.
"""

import json
import sys
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

sys.path.insert(0, str(Path(__file__).parent.parent))

from runtime.latency_histogram import LatencyHistogram
from runtime.telemetry import Metrics, MonitorMetrics

FILE = Path(__file__).parent / "grafana" / "streamscore.json"
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH, HEIGHT, ACROSS = 8, 8, 3


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    for title, listed in (
        ("Monitor", MonitorMetrics(CollectorRegistry())),
        ("Workers", Metrics(CollectorRegistry())),
    ):
        top = max((p["gridPos"]["y"] + p["gridPos"]["h"] for p in panels), default=0)
        panels.append(
            {
                "type": "row",
                "title": title,
                "panels": [],
                "collapsed": False,
                "gridPos": {"x": 0, "y": top, "w": 24, "h": 1},
            }
        )
        panels += [
            panel(metric, number, top + 1) for number, metric in enumerate(metrics_of(listed))
        ]
    for number, each in enumerate(panels, start=1):
        each["id"] = number
    return {
        "uid": "streamscore",
        "title": "Streamscore",
        "schemaVersion": 39,
        "tags": ["streamscore"],
        "timezone": "browser",
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "source",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": panels,
    }


def metrics_of(listed: object) -> list[Any]:
    """The metrics in their order; which version runs is no curve."""
    kinds = (MetricWrapperBase, LatencyHistogram)
    found = [each for each in vars(listed).values() if isinstance(each, kinds)]
    return [each for each in found if next(iter(each.describe())).type != "info"]


def panel(metric: Any, number: int, top: int) -> dict[str, Any]:  # noqa: ANN401 - any kind of metric
    """A chart of one metric."""
    told = next(iter(metric.describe()))
    labels = list(getattr(metric, "_labelnames", ()))
    query, unit = chart(told.name, told.type, labels)
    return {
        "type": "timeseries",
        "title": told.name.removeprefix("streamscore_").replace("_", " "),
        "description": told.documentation,
        "datasource": SOURCE,
        "gridPos": {
            "x": WIDTH * (number % ACROSS),
            "y": top + HEIGHT * (number // ACROSS),
            "w": WIDTH,
            "h": HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [
            {
                "refId": "A",
                "datasource": SOURCE,
                "expr": query,
                "legendFormat": " ".join(f"{{{{{name}}}}}" for name in labels) or "__auto",
            }
        ],
    }


def chart(name: str, kind: str, labels: list[str]) -> tuple[str, str]:
    """The query that a kind of metric is charted by, and its unit."""
    unit = "s" if name.endswith("_seconds") else "short"
    by = f" by ({', '.join(labels)})" if labels else ""
    if kind == "counter":
        return f"sum{by} (rate({name}_total[$__rate_interval]))", "ops"
    if kind == "histogram":
        inner = ", ".join(["le", *labels])
        buckets = f"sum by ({inner}) (rate({name}_bucket[$__rate_interval]))"
        return f"histogram_quantile(0.99, {buckets})", unit
    if name.endswith("timestamp_seconds"):
        return f"time() - {name}", "s"
    return name, unit


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    print(f"{FILE}: {len(dashboard()['panels'])} panels")
