"""What all tests share: a real Kafka, the command line, a store with a model of flights, a browser.

The broker is that of STREAMSCORE_TEST_BOOTSTRAP_SERVERS where it is set, else a container where
Docker answers, else the embedded one: no test is skipped for want of a broker. Whatever is started
here ends with this process, however that ends; containers alone outlive its SIGKILL.

For annotations: `if TYPE_CHECKING: from tests.conftest import CommandLine, Kafka`.
"""

import contextlib
import gc
import os
import shutil
import socket
import subprocess
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings as hypothesis_settings

from model.errors import BrokerError
from runtime.broker import EmbeddedBroker
from runtime.broker_node import KAFKA_VERSION, SINGLE_NODE
from runtime.child_process import bound
from runtime.clients import require_broker
from runtime.settings import Settings, load_settings
from runtime.topics import Topic, create_topics

hypothesis_settings.register_profile("untimed", deadline=None)  # machines are busy at times
hypothesis_settings.load_profile("untimed")

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from testcontainers.core.container import DockerContainer

    import model.store as model_store

GIVEN_BROKER = "STREAMSCORE_TEST_BOOTSTRAP_SERVERS"
IMAGE = f"apache/kafka:{KAFKA_VERSION}"
PORT = 9092
DOCKER_TIMEOUT_S = 5
PULL_TIMEOUT_S = 120
CONTAINER_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 15.0
PIPE_BYTES = 1 << 20  # a test that does not read along must not hold up what it started
NOWHERE = Path(os.devnull)  # a folder without streamscore.toml


@dataclass(frozen=True, slots=True)
class Kafka:
    """A real broker, and what a test needs to have it for itself."""

    bootstrap_servers: str

    def topic(self, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """Create a topic that no other test has; its name."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        create_topics(self.settings(), [Topic(name, partitions, 1, config or {})])
        return name

    def settings(self, **overrides: Any) -> Settings:
        """The defaults for this broker, whatever the environment says; `overrides` as for flags."""
        flags = {"bootstrap_servers": self.bootstrap_servers, **overrides}
        return load_settings(flags, environ={}, directory=NOWHERE)


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    if given := os.environ.get(GIVEN_BROKER):
        yield Kafka(given)
    elif _docker_has(IMAGE):
        with container() as bootstrap_servers:
            yield Kafka(bootstrap_servers)
    else:
        with EmbeddedBroker() as broker:
            yield Kafka(broker.bootstrap_servers)


@pytest.fixture(scope="session")
def docker_has() -> Callable[[str], bool]:
    """Whether an image can be run; see below."""
    return _docker_has


def _docker_has(image: str) -> bool:
    """Whether Docker answers, and has or gets the image; says so where it only does not get it."""
    import docker  # type: ignore[import-untyped]  # noqa: PLC0415 - only where it is needed

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its socket to the collector
        try:
            client = docker.from_env(timeout=DOCKER_TIMEOUT_S)
        except docker.errors.DockerException:
            return False
        finally:
            gc.collect()
    with contextlib.closing(client):
        try:
            client.images.get(image)
        except docker.errors.ImageNotFound:
            try:
                client.api.timeout = PULL_TIMEOUT_S
                client.images.pull(image)
            except (docker.errors.DockerException, OSError) as error:
                sys.stderr.write(f"\nno container is used: no image {image} ({error})\n")
                return False
    return True


@contextlib.contextmanager
def container() -> Iterator[str]:
    """Run Kafka in a container; gives its bootstrap servers."""
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")  # its image is one more to get
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - reads the above

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = DockerContainer(IMAGE).with_bind_ports(PORT, port)
    host = running.get_docker_client().host().replace("localhost", "127.0.0.1")
    if host == "127.0.0.1":  # Docker takes an address, too: no other machine is to reach it
        running.ports[str(PORT)] = (host, port)  # type: ignore[assignment]
    for name, value in container_properties(f"{host}:{port}").items():
        running.with_env(f"KAFKA_{name.upper().replace('.', '_')}", value)
    with running:
        wait_until_it_answers(f"{host}:{port}", running)
        yield f"{host}:{port}"


def container_properties(advertised: str) -> dict[str, str]:
    """A single node that clients reach at `advertised`, and that reaches itself inside."""
    return {
        **SINGLE_NODE,
        "listeners": f"PLAINTEXT://:{PORT},INSIDE://localhost:29092,CONTROLLER://localhost:29093",
        "advertised.listeners": f"PLAINTEXT://{advertised},INSIDE://localhost:29092",
        "inter.broker.listener.name": "INSIDE",  # transactions: it writes their ends to itself
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
        "controller.quorum.voters": "1@localhost:29093",
    }


def wait_until_it_answers(bootstrap_servers: str, running: "DockerContainer") -> None:
    settings = load_settings(
        {"bootstrap_servers": bootstrap_servers, "broker_timeout_s": CONTAINER_TIMEOUT_S},
        environ={},
        directory=NOWHERE,
    )
    try:
        require_broker(settings)
    except BrokerError as error:
        said = b"".join(running.get_logs()).decode(errors="replace")
        pytest.fail(f"{error}; the end of the container's log:\n{said[-3000:]}")


class CommandLine:
    """Runs `streamscore` as a user would: a process of its own, in an empty working directory.

    Of the environment's settings it sees those of `env` alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []

    def __call__(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        input: bytes | str = b"",  # noqa: A002 - as subprocess calls it
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end; `stdout` and `stderr` are text."""
        done = subprocess.run(
            _command(arguments),
            cwd=self.folder,
            env=_environ(env),
            input=input.encode() if isinstance(input, str) else input,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return subprocess.CompletedProcess(
            arguments, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def start(
        self, *arguments: str, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start a command, which the end of the test stops; `options` are those of Popen.

        Standard output and error are pipes of text, of which a test may leave 1 MiB unread.
        """
        process = subprocess.Popen(
            _command(arguments),
            env=_environ(env),
            text=True,
            pipesize=PIPE_BYTES,
            **{
                "cwd": self.folder,
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                **options,
            },
        )
        self._started.append(process)
        return process

    def stop(self) -> None:
        for process in self._started:
            process.terminate()
        for process in self._started:
            with process:  # closes its pipes
                try:
                    process.wait(STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    process.kill()


def _command(arguments: Sequence[str]) -> list[str]:
    return bound([sys.executable, "-m", "streamscore", *arguments])


def _environ(given: Mapping[str, str] | None) -> dict[str, str]:
    others = {k: v for k, v in os.environ.items() if not k.startswith("STREAMSCORE_")}
    return {**others, **(given or {})}


@pytest.fixture
def streamscore(tmp_path: Path) -> Iterator[CommandLine]:
    folder = tmp_path / "working-directory"
    folder.mkdir()
    command_line = CommandLine(folder)
    try:
        yield command_line
    finally:
        command_line.stop()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where a test keeps its models; nothing is there yet."""
    return tmp_path / "models"


@pytest.fixture(scope="session")
def flight_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a small model of real flights: flight-delay:1, the champion. Only to be read."""
    import model  # noqa: PLC0415 - other tests need not wait for scikit-learn and pandas
    from demo.flights import (  # noqa: PLC0415 - as above
        FEATURES,
        MODEL,
        WEATHER,
        fit,
        load_flights,
        training,
    )

    folder = tmp_path_factory.mktemp("flight-store") / "models"
    flights = training(load_flights()).sample(6_000, random_state=0)
    model.save(
        fit(flights),
        flights[list(FEATURES)].head(500),
        name=MODEL,
        store=folder,
        nullable=dict.fromkeys(WEATHER, True),
    )
    return folder


@pytest.fixture(scope="session")
def changing_flight_store(
    flight_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> "model_store.Store":
    """A store with two flight models that answer differently, and a third that is broken."""
    import model  # noqa: PLC0415 - as above
    from demo.flights import (  # noqa: PLC0415 - as above
        FEATURES,
        MODEL,
        WEATHER,
        fit,
        load_flights,
        training,
    )

    folder = tmp_path_factory.mktemp("changing-store") / "models"
    shutil.copytree(flight_store, folder)
    flights = training(load_flights()).sample(3_000, random_state=7)
    estimator, nullable = fit(flights), dict.fromkeys(WEATHER, True)
    for _ in range(2):
        sample = flights[list(FEATURES)].head(500)
        model.save(estimator, sample, name=MODEL, store=folder, nullable=nullable)
    broken = folder / MODEL / "3" / "model.skops"
    broken.write_bytes(broken.read_bytes()[:-1])
    return model.Store(folder)


@pytest.fixture
def moving_store(changing_flight_store: "model_store.Store") -> "model_store.Store":
    """The above, for a test that moves the champion: it begins at version 1."""
    changing_flight_store.promote("flight-delay", "1", "champion")
    return changing_flight_store


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A headless Chromium; of a module, for its event loop is in the way of others."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - where a browser is needed

    found = os.environ.get("STREAMSCORE_TEST_CHROMIUM") or shutil.which("chromium")
    assert found, "there is no chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    opened = browser.new_page()
    opened.set_default_timeout(15_000)
    yield opened
    opened.close()


def complaints(page: "Page") -> list[str]:
    """What the page says on its console, from now on."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("dialog", lambda dialog: found.append(dialog.message))
    return found
