"""`streamscore serve` while what it stands on changes under load: its model, and the broker."""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest

import model
from demo.flights import MODEL, december_events, load_flights
from runtime.broker import EmbeddedBroker
from runtime.clients import consumer_properties, open_consumer

if TYPE_CHECKING:
    from tests.conftest import CommandLine

CLIENTS = 6
FLIGHTS = 500
LIST = 10
BAD_AT = 3  # the place of the bad event in a list
DEADLINE_S = 60.0
REFUSED = 'streamscore_model_reloads_total{result="refused"}'


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {DEADLINE_S:g} s: {what}")
        time.sleep(0.02)


@dataclass
class Served:
    """A running `streamscore serve`."""

    address: str
    log: Path

    def get(self, path: str) -> tuple[int, bytes]:
        with self.connected() as connection:
            return ask(connection, "GET", path)

    def connected(self) -> contextlib.closing[http.client.HTTPConnection]:
        netloc = urlsplit(self.address).netloc
        return contextlib.closing(http.client.HTTPConnection(netloc, timeout=30))

    def entries(self, event: str) -> list[dict[str, Any]]:
        return entries(self.log, event)

    def figure(self, name: str) -> float:
        text = self.get("/metrics")[1].decode()
        (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
        return float(line.split()[-1])


def ask(
    to: http.client.HTTPConnection, method: str, path: str, body: object = None
) -> tuple[int, bytes]:
    """Ask on a connection that is kept alive, and opened anew where it was closed."""
    given = None if body is None else json.dumps(body)
    to.request(method, path, given, {"content-type": "application/json"})
    with to.getresponse() as response:
        return response.status, response.read()


def entries(log: Path, event: str) -> list[dict[str, Any]]:
    """The log entries of one event so far; the last line may be half written."""
    lines = log.read_text().split("\n")[:-1]
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [entry for entry in found if entry["event"] == event]


@pytest.fixture
def serve(
    streamscore: "CommandLine", moving_store: model.Store, tmp_path: Path
) -> Callable[..., Served]:
    """Serve the champion of the store that may change, and follow it closely."""

    def start(*flags: str, **environ: str) -> Served:
        log = tmp_path / "serve.log"
        env = {
            "STREAMSCORE_STORE": str(moving_store.path),
            "STREAMSCORE_MODEL__RELOAD_INTERVAL_S": "0.05",
            **environ,
        }
        arguments = ("serve", "--model", f"{MODEL}@champion", "--port", "0", *flags)
        with log.open("wb") as file:
            process = streamscore.start(*arguments, env=env, stderr=file, stdout=file)
        wait_until(
            lambda: bool(process.poll() is not None or entries(log, "service_started")), "it starts"
        )
        assert process.poll() is None, log.read_text()
        return Served(entries(log, "service_started")[0]["address"], log)

    return start


@pytest.fixture(scope="module")
def flights() -> list[dict[str, Any]]:
    return list(islice(december_events(load_flights()), FLIGHTS))


@dataclass
class Client(threading.Thread):
    """Asks one thing after the other, events and lists by turns, until told."""

    served: Served
    flights: list[dict[str, Any]]
    enough: threading.Event
    answers: list[list[dict[str, Any]]] = field(default_factory=list)
    failures: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        number = 0
        with self.served.connected() as connection:
            while not self.enough.is_set():
                number = (number + LIST) % (FLIGHTS - LIST)
                try:
                    if number % (2 * LIST):
                        self.one(connection, self.flights[number])
                    else:
                        self.several(connection, self.flights[number : number + LIST])
                except (OSError, http.client.HTTPException, ValueError) as error:
                    self.failures.append(error)
                    connection.close()

    def one(self, connection: http.client.HTTPConnection, flight: dict[str, Any]) -> None:
        status, body = ask(connection, "POST", "/predict", flight)
        if status == 200:
            self.answers.append([json.loads(body)])
        else:
            self.failures.append((status, body))

    def several(
        self, connection: http.client.HTTPConnection, flights: list[dict[str, Any]]
    ) -> None:
        """A bad event among them is refused in its place."""
        events = [*flights[:BAD_AT], {**flights[BAD_AT], "distance": "far"}, *flights[BAD_AT + 1 :]]
        status, body = ask(connection, "POST", "/predict", events)
        answers = json.loads(body)
        if status == 200 and answers.pop(BAD_AT)["status"] == 422:
            self.answers.append(answers)
        else:
            self.failures.append((status, body))


class Crowd:
    """Clients that ask at once."""

    def __init__(self, served: Served, flights: list[dict[str, Any]]) -> None:
        self.enough = threading.Event()
        self.clients = [Client(served, flights, self.enough) for _ in range(CLIENTS)]
        for client in self.clients:
            client.start()

    def wait_for_answers(self, count: int = 20) -> None:
        """Until each client got some more."""
        before = [len(client.answers) for client in self.clients]
        wait_until(
            lambda: all(
                len(client.answers) >= then + count
                for client, then in zip(self.clients, before, strict=True)
            ),
            f"each client gets answers; failures: {self.failures[:3]}",
        )

    @property
    def failures(self) -> list[object]:
        return [failure for client in self.clients for failure in client.failures]

    def stop(self) -> None:
        self.enough.set()
        for client in self.clients:
            client.join(DEADLINE_S)


@pytest.fixture
def crowd(flights: list[dict[str, Any]]) -> Iterator[Callable[[Served], Crowd]]:
    crowds: list[Crowd] = []

    def gather(served: Served) -> Crowd:
        crowds.append(Crowd(served, flights))
        return crowds[-1]

    yield gather
    for each in crowds:
        each.stop()


def all_say(served: Served, version: str) -> bool:
    """Whether every place that tells the version tells this one; it is ready all along."""
    status, body = served.get("/readyz")
    assert status == 200, body
    described = json.loads(served.get(f"/models/{MODEL}")[1])
    (info,) = [
        line
        for line in served.get("/metrics")[1].decode().splitlines()
        if line.startswith("streamscore_model_info{")
    ]
    return (
        json.loads(body)["model"] == f"{MODEL}:{version}"
        and described["version"] == version
        and f'version="{version}"' in info
    )


def test_requests_are_answered_while_the_alias_moves(
    serve: Callable[..., Served],
    crowd: Callable[[Served], Crowd],
    moving_store: model.Store,
    flights: list[dict[str, Any]],
) -> None:
    """No request fails; each answer is its version's own; a broken version changes nothing.

    What one client is answered stands in the order in which the alias moved, and a list is
    answered by one version.
    """
    served = serve()
    clients = crowd(served)
    clients.wait_for_answers()
    for version in ("2", "1", "2"):
        moving_store.promote(MODEL, version, "champion")
        wait_until(lambda at=version: all_say(served, at), f"it says {version}")  # type: ignore[misc]
        clients.wait_for_answers()
        if version == "1":
            moving_store.promote(MODEL, "3", "champion")
            wait_until(lambda: served.figure(REFUSED) > 0, "the broken version is refused")
            clients.wait_for_answers()
            assert all_say(served, "1")
    clients.stop()
    assert clients.failures == []
    assert len(served.entries("model_refused")) == 1
    frame = pd.DataFrame(flights)
    expected = {
        version: dict(
            zip(
                frame["id"],
                model.load(f"{MODEL}:{version}", store=moving_store.path).score(frame)[
                    "prediction"
                ],
                strict=True,
            )
        )
        for version in ("1", "2")
    }
    for client in clients.clients:
        versions = [{answer["version"] for answer in together} for together in client.answers]
        assert all(len(each) == 1 for each in versions)
        assert [key for key, _ in groupby(each.pop() for each in versions)] == list("1212")
        answers = [answer for together in client.answers for answer in together]
        right = [expected[answer["version"]][answer["id"]] for answer in answers]
        assert np.array_equal([answer["prediction"] for answer in answers], right)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(data=tmp_path / "broker") as broker:
        yield broker


def test_a_killed_broker_holds_up_no_answer(
    kafka: Any,
    broker: EmbeddedBroker,
    serve: Callable[..., Served],
    crowd: Callable[[Served], Crowd],
) -> None:
    """Requests flow on; predictions that find no room are dropped, counted and told.

    When the broker is back predictions are published again: each as its client got it.
    """
    there = type(kafka)(broker.bootstrap_servers)
    topic, name = there.topic(partitions=2), "streamscore_published_predictions_total"
    served = serve(
        *("--publish", topic, "--bootstrap-servers", broker.bootstrap_servers),
        STREAMSCORE_KAFKA__QUEUE_BUFFERING_MAX_MESSAGES="300",
        STREAMSCORE_KAFKA__RECONNECT_BACKOFF_MAX_MS="500",
    )

    def published(result: str) -> float:
        return served.figure(f'{name}{{result="{result}"}}')

    clients = crowd(served)
    wait_until(lambda: published("delivered") > 100, "predictions are published")
    broker.kill()
    wait_until(lambda: published("dropped") > 100, "what finds no room is dropped")
    clients.wait_for_answers()
    broker.start()
    before = published("delivered")
    wait_until(lambda: published("delivered") > before + 400, "predictions are published again")
    clients.stop()
    assert clients.failures == []
    answers = [a for client in clients.clients for some in client.answers for a in some]
    wait_until(
        lambda: published("delivered") + published("dropped") == len(answers), "all are settled"
    )
    delivered = int(published("delivered"))
    assert published("failed") == 0
    told = served.entries("predictions_not_published")
    assert told
    assert all(entry["topic"] == topic for entry in told)
    given = {_place(answer): answer for answer in answers}
    records = _read(there.settings(), topic, delivered)
    places = set()
    for record in records:
        answer = json.loads(record.value())
        assert given[_place(answer)] == answer
        assert record.key() == answer["id"].encode()
        places.add(_place(answer))
    assert len(places) == len(records) == delivered


def _place(answer: dict[str, Any]) -> tuple[str, int]:
    return answer["source"]["request"], answer["source"]["index"]


def _read(settings: Any, topic: str, count: int) -> list[Any]:
    consumer = open_consumer(consumer_properties(settings, group="reader"))
    consumer.subscribe([topic])
    records: list[Any] = []
    deadline = time.monotonic() + DEADLINE_S
    try:
        while len(records) < count:
            assert time.monotonic() < deadline, f"{len(records)} of {count} records on {topic}"
            records += consumer.consume(1000, 0.2)
    finally:
        consumer.close()
    assert [record.error() for record in records] == [None] * len(records)
    return records
