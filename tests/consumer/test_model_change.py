"""`streamscore consume` follows its alias while events flow, on real Kafka."""

import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import model
from consumer.following import Following
from consumer.records import Batch, Outgoing, Tally
from demo.flights import (
    FEATURES,
    MODEL,
    WEATHER,
    december_events,
    fit,
    load_flights,
    training,
)
from runtime.dead_letter import read_headers

EVENTS = 20_000
BURST = 100
GOOD, BAD_EVERY = 2000, 200
DEADLINE_S = 90.0


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {DEADLINE_S:g} s: {what}")
        time.sleep(0.05)


@pytest.fixture(scope="module")
def two_versions(flight_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two versions that answer differently, and a third one that is broken."""
    folder = tmp_path_factory.mktemp("two-versions") / "models"
    shutil.copytree(flight_store, folder)
    flights = training(load_flights()).sample(3_000, random_state=7)
    for version in ("2", "3"):
        saved = model.save(
            fit(flights),
            flights[list(FEATURES)].head(500),
            name=MODEL,
            store=folder,
            nullable=dict.fromkeys(WEATHER, True),
        )
        assert saved == f"{MODEL}:{version}"
    broken = folder / MODEL / "3" / "model.skops"
    broken.write_bytes(broken.read_bytes()[:-1])
    return folder


@pytest.fixture
def moving(two_versions: Path, services: Any) -> model.Store:
    """The services' store, with version 1 as the champion."""
    services.store = two_versions
    store = model.Store(two_versions)
    store.promote(MODEL, "1", "champion")
    return store


class Sender(threading.Thread):
    """Sends numbered flights, one in `BAD_EVERY` broken, until told and until there are enough."""

    def __init__(self, flow: Any) -> None:
        super().__init__(daemon=True)
        self.flow = flow
        self.sent = 0
        self.enough = threading.Event()
        self.flights = list(islice(december_events(load_flights()), GOOD))

    def run(self) -> None:
        while self.sent < EVENTS or not self.enough.is_set():
            for number in range(self.sent, self.sent + BURST):
                flight = {**self.flights[number % GOOD], "id": str(number)}
                if number % BAD_EVERY == 0:
                    flight["distance"] = "far"
                partition = number % self.flow.partitions
                self.flow.send(json.dumps(flight).encode(), partition=partition)
            self.sent += BURST
            time.sleep(0.03)
        self.flow.flush()


@pytest.fixture
def sender(make_flow: Callable[..., Any]) -> Iterator[Sender]:
    sender = Sender(make_flow(partitions=2))
    yield sender
    sender.enough.set()
    if sender.is_alive():
        sender.join(DEADLINE_S)


def figure(service: Any, worker: int, name: str) -> float:
    found = re.search(
        rf"^{re.escape(name)} (\S+)$", service.get("/metrics", worker)[1], re.MULTILINE
    )
    assert found is not None, name
    return float(found[1])


class Workers:
    """What the workers of a service say of themselves."""

    def __init__(self, service: Any, count: int) -> None:
        self.service = service
        self.numbers = range(count)
        wait_until(lambda: len(service.entries("worker_started")) == count, "all workers started")
        wait_until(lambda: all(s == 200 for s, _ in self.ready()), "all workers are ready")

    def ready(self) -> list[tuple[int, str]]:
        return [self.service.get("/readyz", worker) for worker in self.numbers]

    def all_at(self, version: str) -> bool:
        """Whether all say that they score with this version, in both places; ready all along."""
        answers = self.ready()
        assert all(status == 200 for status, _ in answers), answers
        told = {json.loads(body)["model"] for _, body in answers}
        info = f'model="{MODEL}",version="{version}"'
        metrics = [self.service.get("/metrics", worker)[1] for worker in self.numbers]
        return told == {f"{MODEL}:{version}"} and all(
            info in re.sub(r'engine="[^"]*",', "", text) for text in metrics
        )

    def predicted(self) -> list[float]:
        name = 'streamscore_events_total{result="predicted"}'
        return [figure(self.service, worker, name) for worker in self.numbers]

    def refused(self) -> list[float]:
        name = 'streamscore_model_reloads_total{result="refused"}'
        return [figure(self.service, worker, name) for worker in self.numbers]

    def wait_for_answers(self) -> None:
        """Until each worker answered some hundred events more."""
        before = self.predicted()
        wait_until(
            lambda: all(
                now > then + 500 for now, then in zip(self.predicted(), before, strict=True)
            ),
            "each worker answers events",
        )


@pytest.mark.parametrize("count", [1, 2])
def test_events_flow_while_the_alias_moves(
    sender: Sender, services: Any, moving: model.Store, count: int
) -> None:
    """Each event once, in order, with its version's own answer; a broken version changes nothing.

    The versions of a partition stand in the order in which the alias came to them, in batches of
    one version; dead letters name theirs, too.
    """
    flow = sender.flow
    service = services.start(
        flow, "--workers", str(count), STREAMSCORE_MODEL__RELOAD_INTERVAL_S="0.05"
    )
    workers = Workers(service, count)
    sender.start()
    workers.wait_for_answers()
    for version in ("2", "1", "2"):
        moving.promote(MODEL, version, "champion")
        wait_until(lambda at=version: workers.all_at(at), f"all at {version}")  # type: ignore[misc]
        workers.wait_for_answers()
        if version == "1":
            moving.promote(MODEL, "3", "champion")
            wait_until(lambda: all(workers.refused()), "the broken version is refused")
            workers.wait_for_answers()
            assert workers.all_at("1")
    sender.enough.set()
    sender.join(DEADLINE_S)
    bad = sender.sent // BAD_EVERY
    predictions = flow.read(flow.output, sender.sent - bad)
    letters = flow.read(flow.dead_letters, bad)
    assert service.stop() == 0
    refusals = service.entries("model_refused")
    assert len(refusals) == count  # told once each
    assert all("model.skops" in entry["reason"] for entry in refusals)

    assert len(letters) == bad
    assert {read_headers(letter.headers()).version for letter in letters} <= {"1", "2"}
    answers = [json.loads(record.value()) for record in predictions]
    numbers = sorted(int(answer["id"]) for answer in answers)
    assert numbers == [number for number in range(sender.sent) if number % BAD_EVERY]
    for partition in range(flow.partitions):
        there = [answer for answer in answers if answer["source"]["partition"] == partition]
        offsets = [answer["source"]["offset"] for answer in there]
        assert offsets == sorted(offsets)
        assert [key for key, _ in groupby(there, lambda answer: answer["version"])] == list("1212")
        batches = {(answer["scored_at"], answer["version"]) for answer in there}
        assert len(batches) == len({scored_at for scored_at, _ in batches})
    frame = pd.DataFrame(sender.flights)
    for version in ("1", "2"):
        loaded = model.load(f"{MODEL}:{version}", store=moving.path)
        expected = loaded.score(frame)["prediction"].to_numpy()
        own = [answer for answer in answers if answer["version"] == version]
        at = [int(answer["id"]) % GOOD for answer in own]
        assert np.array_equal([answer["prediction"] for answer in own], expected[at])


def test_a_fixed_version_stays(
    make_flow: Callable[..., Any], services: Any, moving: model.Store
) -> None:
    """Who names a version gets that version, whatever becomes of the aliases."""
    flow = make_flow(partitions=1)
    service = services.start(flow, model=f"{MODEL}:2", STREAMSCORE_MODEL__RELOAD_INTERVAL_S="0.05")
    service.wait_ready()
    moving.promote(MODEL, "3", "champion")
    flight = next(iter(december_events(load_flights())))
    flow.send(json.dumps(flight).encode())
    flow.flush()
    (record,) = flow.read(flow.output, 1)
    assert json.loads(record.value())["version"] == "2"
    assert service.entries("model_refused") == []


class FakeWatcher:
    """Has a model, which a test changes as it likes."""

    def __init__(self, at_work: str) -> None:
        self.model = at_work


class OneModel:
    """Says which model it was built for, and changes the watcher's in the middle of a batch."""

    def __init__(self, built_for: str, watcher: FakeWatcher) -> None:
        self.built_for = built_for
        self.watcher = watcher

    def run(self, _batch: Batch, _now: str, _stage: Any) -> tuple[Outgoing, Tally]:
        self.watcher.model = "next"
        return Outgoing(), Tally(0, 0, {("built_for", self.built_for): 1})


def test_a_model_is_taken_up_between_two_batches() -> None:
    """Never within one; and its pipeline is built once."""
    built: list[str] = []
    watcher = FakeWatcher("first")

    def build(at_work: Any) -> OneModel:
        built.append(at_work)
        return OneModel(at_work, watcher)

    scoring = Following(watcher, build)  # type: ignore[arg-type]
    batch = Batch("events", [], [], [], None)
    tallies = [scoring.run(batch, "", lambda _: pytest.fail("no stage"))[1] for _ in range(3)]
    assert [next(iter(tally.dead_letters))[1] for tally in tallies] == ["first", "next", "next"]
    assert built == ["first", "next"]
