"""Prometheus rules and the Grafana dashboard: tested, and about metrics that there are."""

import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from runtime.telemetry import Metrics, MonitorMetrics

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
RULES_TEST = RULES.with_name("rules_test.yml")


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def exported() -> set[str]:
    registries = [CollectorRegistry(), CollectorRegistry()]
    MonitorMetrics(registries[0])
    Metrics(registries[1])
    names: set[str] = set()
    for registry in registries:
        for metric in registry.collect():
            ends = ("", "_total", "_bucket", "_sum", "_count")
            names |= {metric.name + end for end in ends}
    return names


def test_every_rule_is_about_metrics_that_are_exported() -> None:
    """A renamed metric would silence an alert, and nobody would notice."""
    named = {
        name
        for rule in rules()
        for name in re.findall(r"(?:streamscore|kafka)_[a-z_]+", rule["expr"])
    }
    assert named
    assert named <= exported()


def test_every_rule_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    """An alert that was never seen firing is a hope."""
    cases = [
        (case["alertname"], bool(case["exp_alerts"]))
        for test in yaml.safe_load(RULES_TEST.read_text(encoding="utf-8"))["tests"]
        for case in test["alert_rule_test"]
    ]
    for rule in rules():
        assert {(rule["alert"], True), (rule["alert"], False)} <= set(cases)
        assert set(rule["annotations"]) == {"summary", "description"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool here")
def test_the_rules_fire_as_their_test_says() -> None:
    """By Prometheus' own tool, where the machine has it."""
    done = subprocess.run(
        ["promtool", "test", "rules", RULES_TEST.name],
        cwd=RULES.parent, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_that_of_the_one_list() -> None:
    """Mend it with: python deploy/grafana_dashboard.py."""
    made = runpy.run_path(str(ROOT / "deploy" / "grafana_dashboard.py"))
    assert made["FILE"].read_text(encoding="utf-8") == made["text"]()
    queries = [
        target["expr"] for panel in made["dashboard"]()["panels"]
        for target in panel.get("targets", ())
    ]  # fmt: skip
    named = {name for query in queries for name in re.findall(r"(?:streamscore|kafka)_\w+", query)}
    assert named <= exported()
    assert "kafka_consumergroup_lag" in named
