"""What the tests of the online way share: models of every task, and a service on a real port.

For annotations: `if TYPE_CHECKING: from tests.serving.conftest import Online`.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pandas as pd
import pytest
import uvicorn
from starlette.routing import Route
from starlette.types import ASGIApp

import model as bundles
from model.bundle import Model, load_model
from runtime.child_process import bound
from tests.conftest import CommandLine
from tests.serving.local_desk import LocalDesk

if TYPE_CHECKING:
    import ssl

DEADLINE_S = 30.0
ORIGINS = ("EWR", "JFK", "LGA")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def task_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a model of each task, and two versions of `delay`: all of them quick."""
    from sklearn.compose import ColumnTransformer  # noqa: PLC0415 - it takes a second
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415 - as above
    from sklearn.linear_model import LinearRegression, LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415 - as above
    from sklearn.preprocessing import OrdinalEncoder  # noqa: PLC0415 - as above
    from sklearn.tree import DecisionTreeRegressor  # noqa: PLC0415 - as above

    drawn = np.random.default_rng(0)
    sample = pd.DataFrame(
        {
            "distance": drawn.uniform(80, 5000, 300),
            "hour": drawn.integers(0, 24, 300),
            "origin": drawn.choice(ORIGINS, 300),
            "late": drawn.random(300) < 0.3,
            "temp": np.where(drawn.random(300) < 0.1, np.nan, drawn.normal(15, 9, 300)),
        }
    )
    store = tmp_path_factory.mktemp("task-store") / "models"
    numbers = sample[["distance", "hour"]]
    delay = sample["distance"] / 7 + sample["hour"] + drawn.normal(0, 3, 300)
    encode = ColumnTransformer([("text", OrdinalEncoder(), ["origin"])], remainder="passthrough")
    for depth in (5, 6):
        tree = make_pipeline(encode, DecisionTreeRegressor(max_depth=depth, random_state=0))
        tree.fit(sample, delay)
        bundles.save(tree, sample, name="delay", store=store, paths={"temp": "weather.temp"})
    bundles.save(LinearRegression().fit(numbers, delay), numbers, name="line", store=store)
    labels = np.where(delay > delay.median(), "late", "on time")
    classes = LogisticRegression(max_iter=1000).fit(numbers / [5000, 24], labels)
    bundles.save(classes, numbers / [5000, 24], name="class", store=store)
    forest = IsolationForest(n_estimators=5, random_state=0).fit(numbers)
    bundles.save(forest, numbers, name="outlier", store=store)
    return store


@pytest.fixture(scope="session")
def load(task_store: Path) -> Callable[[str], Model]:
    """Loads a model of the store by its reference: delay:1, delay:2, line, class, outlier."""
    return cache(lambda reference: load_model(reference, store=task_store))


@dataclass(frozen=True, slots=True)
class Online:
    """A service on a port: what it stands on, and a client that asks it."""

    desk: LocalDesk
    client: httpx.Client
    url: str
    routes: frozenset[str]  # "GET /v2"


@contextlib.contextmanager
def listening(app: ASGIApp) -> Iterator[str]:
    """Serve an app on a free port of the loopback; gives its address."""
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="serving", daemon=True)
    thread.start()
    deadline = time.monotonic() + DEADLINE_S
    while not server.started:
        if time.monotonic() > deadline:
            pytest.fail("the server does not listen")
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(DEADLINE_S)


@pytest.fixture
def online(load: Callable[[str], Model]) -> Iterator[Callable[[str], Online]]:
    """Serves a model by its reference, for the test."""
    with contextlib.ExitStack() as running:

        def serve(reference: str) -> Online:
            desk = LocalDesk(load(reference))
            app = desk.app()
            url = running.enter_context(listening(app))
            client = httpx.Client(base_url=url, timeout=DEADLINE_S, trust_env=False)
            routes = {
                f"{method} {route.path}"
                for route in app.routes
                if isinstance(route, Route)
                for method in (route.methods or set()) - {"HEAD"}
            }
            return Online(desk, running.enter_context(client), url, frozenset(routes))

        yield serve


@dataclass(frozen=True, slots=True)
class Started:
    """The service in a process of its own."""

    url: str
    client: httpx.Client
    process: "subprocess.Popen[str]"
    log: Path  # and what it prints

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def entries(self, event: str) -> list[dict[str, Any]]:
        """The log entries of one event so far; the last line may be half written."""
        lines = self.log.read_text().split("\n")[:-1]
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [entry for entry in found if entry["event"] == event]


@contextlib.contextmanager
def started(
    start: Callable[..., "subprocess.Popen[str]"],
    store: Path,
    *arguments: str,
    verify: "ssl.SSLContext | bool" = True,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Started]:
    """Start the service on a free port of the loopback, and wait until it is ready.

    `start` is CommandLine.start, or like it; `settings` are by their environment variables.
    """
    log = Path(tempfile.mkstemp(".log", dir=store.parent)[1])
    env = {"STREAMSCORE_STORE": str(store), "STREAMSCORE_SERVING__PORT": "0", **(settings or {})}
    with log.open("wb") as file:
        process = start(*arguments, env=env, stdout=file, stderr=file)
    deadline = time.monotonic() + DEADLINE_S
    address: str | None = None
    while address is None:
        found = re.search(r'"address": ?"([^"]+)"', log.read_text())
        address = found and found[1]
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"it does not serve: {log.read_text()}")
        time.sleep(0.02)
    with httpx.Client(
        base_url=address, timeout=DEADLINE_S, trust_env=False, verify=verify
    ) as client:
        while not _is_ready(client):
            if time.monotonic() > deadline:
                pytest.fail(f"it is not ready: {log.read_text()}")
            time.sleep(0.02)
        yield Started(address, client, process, log)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@pytest.fixture
def serve_with(streamscore: CommandLine, task_store: Path) -> Iterator[Callable[..., Started]]:
    """Starts `streamscore serve --model delay:1` with more flags, and settings by their names."""
    with contextlib.ExitStack() as running:

        def start(*flags: str, verify: Any = True, **settings: object) -> Started:
            given = {f"STREAMSCORE_SERVING__{k.upper()}": str(v) for k, v in settings.items()}
            arguments = ("serve", "--model", "delay:1", *flags)
            service = started(
                streamscore.start, task_store, *arguments, verify=verify, settings=given
            )
            return running.enter_context(service)

        yield start


@pytest.fixture
def strange(task_store: Path) -> Iterator[Callable[..., Started]]:
    """Starts the service with a model that takes so many seconds for a batch."""
    processes: list[subprocess.Popen[str]] = []

    def run(*arguments: str, env: Mapping[str, str], **options: Any) -> "subprocess.Popen[str]":
        others = {k: v for k, v in os.environ.items() if not k.startswith("STREAMSCORE_")}
        command = [sys.executable, "-m", "tests.serving.strange_service", *arguments]
        given = {**others, **env}
        processes.append(
            subprocess.Popen(bound(command), cwd=ROOT, env=given, text=True, **options)
        )
        return processes[-1]

    with contextlib.ExitStack() as running:

        def start(seconds: float, **settings: object) -> Started:
            given = {f"STREAMSCORE_SERVING__{k.upper()}": str(v) for k, v in settings.items()}
            return running.enter_context(started(run, task_store, str(seconds), settings=given))

        yield start
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def serving(
    task_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Started]]:
    """The real service for a model by its reference; one for all tests that only ask it."""
    command_line = CommandLine(tmp_path_factory.mktemp("serving"))
    with contextlib.ExitStack() as running:
        running.callback(command_line.stop)
        yield cache(
            lambda reference: running.enter_context(
                started(command_line.start, task_store, "serve", "--model", reference)
            )
        )
