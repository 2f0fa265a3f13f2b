"""runtime/health.py: probes and metrics over real HTTP on loopback."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import CollectorRegistry, Counter

from model.errors import SettingsError
from runtime.health import Condition, HealthServer
from runtime.sections import HealthSettings


class Probes:
    """What the application says at the moment."""

    alive = Condition(holds=True)
    ready = Condition(holds=False, reason="starting")


@contextmanager
def serving(settings: HealthSettings, probes: Probes) -> Iterator[HealthServer]:
    registry = CollectorRegistry()
    Counter("streamscore_events", "Events.", registry=registry).inc(3)
    server = HealthServer(
        settings, alive=lambda: probes.alive, ready=lambda: probes.ready, registry=registry
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


def get(server: HealthServer, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310 - loopback
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_probes_answer_what_the_application_says() -> None:
    """200 while a condition holds, 503 with the reason while it does not."""
    probes = Probes()
    with serving(HealthSettings(port=0), probes) as server:
        assert get(server, "/livez")[0] == 200
        status, body = get(server, "/readyz")
        assert (status, json.loads(body)) == (503, {"ok": False, "reason": "starting"})
        probes.ready = Condition(holds=True).with_facts(model="flight-delay:3")
        facts = {"ok": True, "model": "flight-delay:3"}
        assert json.loads(get(server, "/readyz")[1]) == facts
        assert get(server, "/readyz?verbose")[0] == 200
        assert get(server, "/readyz", "HEAD") == (200, "")


def test_metrics_are_served_for_prometheus() -> None:
    """The text format, by its name."""
    with serving(HealthSettings(port=0), Probes()) as server:
        status, body = get(server, "/metrics")
        assert status == 200
        assert "streamscore_events_total 3.0" in body


def test_nothing_else_is_there() -> None:
    """Unknown paths and methods are refused, in JSON or by their status."""
    with serving(HealthSettings(port=0), Probes()) as server:
        assert get(server, "/")[0] == 404
        assert get(server, "/metrics", "POST")[0] == 501


def test_without_a_set_port_two_services_share_a_machine() -> None:
    """Each takes the next free port; a set port that is taken is an error that names it."""
    probes = Probes()
    with serving(HealthSettings(), probes) as one, serving(HealthSettings(), probes) as two:
        assert one.port != two.port
        with pytest.raises(SettingsError, match=f"127.0.0.1:{one.port} is in use"):
            HealthServer(
                HealthSettings(port=one.port),
                alive=lambda: probes.alive,
                ready=lambda: probes.ready,
                registry=CollectorRegistry(),
            )
