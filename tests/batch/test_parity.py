"""One model, three ways: a flight gets the same prediction, by the same version, through each."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pandas as pd
import pytest
import sqlalchemy as sa

import model
from demo.flights import EVENT_FIELDS, FEATURES, december, events, load_flights
from producer import Publisher
from subscriber import Subscription
from tests.conftest import CommandLine
from tests.serving.conftest import Started, started

if TYPE_CHECKING:
    from tests.conftest import Kafka

FLIGHTS = 10_000
DAY = "2013-12-10"
DEADLINE_S = 120.0
ROWS = 1_000  # a request

Answers = dict[str, tuple[float, str]]  # prediction and version, by id


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    """Ten thousand departures of December, some of them without weather."""
    return december(load_flights())[list(EVENT_FIELDS)].head(FLIGHTS).reset_index(drop=True)


@pytest.fixture(scope="module")
def by_api(flights: pd.DataFrame, flight_store: Path) -> Answers:
    """What Python code gets that loads the bundle."""
    loaded = model.load("flight-delay@champion", store=flight_store)
    predictions = loaded.score(flights)["prediction"].tolist()
    return {
        name: (prediction, loaded.version)
        for name, prediction in zip(flights["id"], predictions, strict=True)
    }


def test_the_stream_answers_as_python_does(
    flights: pd.DataFrame,
    by_api: Answers,
    kafka: "Kafka",
    flight_store: Path,
    streamscore: "CommandLine",
) -> None:
    """Events in, predictions out: to the bit."""
    source, output = kafka.topic(), kafka.topic()
    env = {
        "STREAMSCORE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "STREAMSCORE_STORE": str(flight_store),
    }
    topics = ("--input", source, "--output", output)
    assert streamscore("topics", "create", *topics, env=env).returncode == 0
    settings = kafka.settings()
    with Publisher(source, settings=settings) as publisher:
        for event in events(flights):
            publisher.send(event, key=event["id"])
    streamscore.start("consume", "--model", "flight-delay@champion", *topics, env=env)
    with Subscription(
        output, group="parity", max=FLIGHTS, timeout_s=DEADLINE_S, settings=settings
    ) as answers:
        found = {each.id: (each.prediction, each.version) for each in answers}
    assert found == by_api


@pytest.mark.parametrize("engine", ["auto", "scikit-learn"])
def test_the_batch_answers_as_python_does(  # noqa: PLR0913, PLR0917 - fixtures
    engine: str,
    flights: pd.DataFrame,
    by_api: Answers,
    flight_store: Path,
    tmp_path: Path,
    streamscore: "CommandLine",
) -> None:
    """Rows in, rows out: to the bit, whichever engine evaluates the trees."""
    database = sa.create_engine(f"sqlite:///{tmp_path / 'flights.db'}")
    with database.begin() as connection:
        rows = flights.drop(columns="sched_dep").assign(departs=pd.Timestamp(DAY))
        rows.to_sql("flights", connection, index=False, dtype={"departs": sa.DateTime})
    database.dispose()
    done = streamscore(
        *("batch", "run", "--date", DAY, "--model", "flight-delay@champion"),
        *("--source", f"sqlite:///{tmp_path / 'flights.db'}", "--table", "flights"),
        *("--time-column", "departs", "--target", f"sqlite:///{tmp_path / 'predictions.db'}"),
        env={"STREAMSCORE_STORE": str(flight_store), "STREAMSCORE_MODEL__ENGINE": engine},
    )
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(tmp_path / "predictions.db")) as connection:
        rows_written = connection.execute("SELECT event_id, prediction, version FROM predictions")
        found = {name: (prediction, version) for name, prediction, version in rows_written}
    assert found == by_api


@pytest.fixture(scope="module")
def service(flight_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """`streamscore serve` with the model of flights."""
    command_line = CommandLine(tmp_path_factory.mktemp("parity"))
    try:
        with started(
            command_line.start, flight_store, "serve", "--model", "flight-delay@champion"
        ) as running:
            yield running
    finally:
        command_line.stop()


@pytest.mark.parametrize("shape", ["events", "tensors", "records", "columns", "split", "csv"])
def test_http_answers_as_python_does(
    shape: str, flights: pd.DataFrame, by_api: Answers, service: Started
) -> None:
    """Requests in, answers out: to the bit, in whichever shape the flights are sent."""
    ask = {"events": by_events, "tensors": by_tensors, "csv": by_csv}.get(shape, by_frames)
    found: Answers = {}
    for chunk in chunks(flights):
        predictions, version = ask(service.client, chunk, shape)
        for event, prediction in zip(chunk, predictions, strict=True):
            found[str(event["id"])] = (prediction, version)
    assert found == by_api


def test_one_event_a_request_answers_as_python_does(
    flights: pd.DataFrame, by_api: Answers, service: Started
) -> None:
    """One event in, one prediction out, by its own id: the small batch is scored as the large."""
    for event in list(events(flights.head(200))):
        answer = service.client.post("/predict", json=event).json()
        assert (answer["prediction"], answer["version"]) == by_api[answer["id"]]


def chunks(flights: pd.DataFrame) -> Iterator[list[dict[str, Any]]]:
    """The flights as events, as many at a time as a request may hold."""
    every = list(events(flights))
    for start in range(0, len(every), ROWS):
        yield every[start : start + ROWS]


def by_events(client: httpx.Client, chunk: list[dict[str, Any]], _: str) -> tuple[list[float], str]:
    """A list of events, as they stand on the topic."""
    answers = client.post("/predict", json=chunk).json()
    assert [each["id"] for each in answers] == [event["id"] for event in chunk]
    (version,) = {each["version"] for each in answers}
    return [each["prediction"] for each in answers], version


def by_tensors(
    client: httpx.Client, chunk: list[dict[str, Any]], _: str
) -> tuple[list[float], str]:
    """The Open Inference Protocol: a tensor for each feature."""
    inputs = [
        {"name": name, "shape": [len(chunk), 1], "datatype": datatype, "data": values}
        for name in FEATURES
        for values in ([event[name] for event in chunk],)
        for datatype in ("BYTES" if any(isinstance(each, str) for each in values) else "FP64",)
    ]
    answer = client.post("/v2/models/flight-delay/infer", json={"inputs": inputs}).json()
    return answer["outputs"][0]["data"], answer["model_version"]


def by_frames(
    client: httpx.Client, chunk: list[dict[str, Any]], shape: str
) -> tuple[list[float], str]:
    """MLflow's shapes: records, columns, or a split DataFrame."""
    rows = [[event[name] for name in FEATURES] for event in chunk]
    split = {"columns": list(FEATURES), "data": rows}
    columns = {name: [event[name] for event in chunk] for name in FEATURES}
    bodies: dict[str, dict[str, Any]] = {
        "records": {"dataframe_records": chunk},
        "columns": {"inputs": columns},
        "split": {"dataframe_split": split},
    }
    return _invoked(client.post("/invocations", json=bodies[shape]))


def by_csv(client: httpx.Client, chunk: list[dict[str, Any]], _: str) -> tuple[list[float], str]:
    """MLflow's other content type, as pandas writes it."""
    table = pd.DataFrame(chunk).to_csv(index=False).encode()
    headers = {"content-type": "text/csv"}
    return _invoked(client.post("/invocations", content=table, headers=headers))


def _invoked(answer: httpx.Response) -> tuple[list[float], str]:
    return answer.json()["predictions"], answer.headers["model-version"].partition(":")[2]
