"""`streamscore consume` on real Kafka: what its users were promised, end to end."""

import json
import os
import signal
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import pandas as pd
import pytest

import model
from demo.flights import december_events, load_flights
from runtime.audit import audit_topics
from runtime.dead_letter import original_headers, read_headers


def wait_until(holds: Callable[[], bool], what: str, deadline_s: float = 90.0) -> None:
    """Poll until a condition holds; fail with its name when it does not in time."""
    deadline = time.monotonic() + deadline_s
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {deadline_s:g} s: {what}")
        time.sleep(0.1)


def answered(flow: Any) -> int:
    """How many events were answered so far, by the audit's own reading."""
    audit = audit_topics(flow.settings, source=flow.input, output=flow.output)
    assert audit.doubled == 0, audit
    return int(audit.predictions + audit.dead_letters)


@pytest.fixture(scope="session")
def flights() -> list[dict[str, Any]]:
    """Real December departures, as events."""
    return list(islice(december_events(load_flights()), 3000))


def encode(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()


def test_real_flights_are_answered_with_scikit_learns_own_predictions(
    make_flow: Callable[..., Any],
    services: Any,
    flights: list[dict[str, Any]],
) -> None:
    """Every event once, in its partition, in order, with its key and the model's own answer."""
    flow = make_flow(partitions=3)
    service = services.start(flow)
    for number, event in enumerate(flights):
        flow.send(encode(event), key=event["flight"].encode(), partition=number % 3)
    flow.flush()
    records = flow.read(flow.output, len(flights))
    assert len(records) == len(flights)
    loaded = model.load("flight-delay@champion", store=services.store)
    expected = loaded.score(pd.DataFrame(flights))["prediction"].to_numpy()
    by_id = {event["id"]: at for at, event in enumerate(flights)}
    for record in records:
        answer = json.loads(record.value())
        at = by_id[answer["id"]]
        assert answer["prediction"] == expected[at]
        assert record.key() == flights[at]["flight"].encode()
        assert record.partition() == answer["source"]["partition"] == at % 3
        assert (answer["model"], answer["version"]) == ("flight-delay", "1")
    audit = audit_topics(flow.settings, source=flow.input, output=flow.output)
    assert audit.ok, audit
    metrics = service.get("/metrics")[1]
    assert f'streamscore_events_total{{result="predicted"}} {len(flights)}.0' in metrics
    assert service.stop() == 0


def test_an_idle_service_answers_one_event_at_once(
    make_flow: Callable[..., Any], services: Any, flights: list[dict[str, Any]]
) -> None:
    """No batch is waited for; headers of the trace go along, and no others."""
    flow = make_flow(partitions=1)
    service = services.start(flow)
    service.wait_ready()
    headers = [("traceparent", b"00-1-1-01"), ("other", b"\xff"), ("__streamscore.attempt", b"9")]
    flow.send(encode(flights[0]), headers=headers)
    flow.flush()
    (record,) = flow.read(flow.output, 1, deadline_s=10)
    assert record.headers() == [("traceparent", b"00-1-1-01")]
    assert record.key() is None


BAD = [
    ("empty", b"", "decode", "empty_value"),
    ("not json", b"hello", "decode", "not_json"),
    ("1 MB of text", b"x" * 1_000_000, "decode", "not_json"),
    ("nan", b'{"dep_delay": NaN}', "decode", "not_json"),
    ("byte order mark", b'\xef\xbb\xbf{"a": 1}', "decode", "not_json"),
    ("utf-16", '{"a": 1}'.encode("utf-16"), "decode", "not_utf8"),
    ("latin-1", b'{"id": "\xe9"}', "decode", "not_utf8"),
    ("trailing", b"{} {}", "decode", "not_json"),
    ("array", b"[1, 2]", "decode", "not_an_object"),
    ("string", b'"x"', "decode", "not_an_object"),
    ("null", b"null", "decode", "not_an_object"),
    ("deep", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "decode", "too_deep"),
]
BAD_FIELDS: list[tuple[str, dict[str, Any], str, str]] = [
    ("missing", {"dep_delay": ...}, "validate", "missing_feature"),
    ("text for number", {"dep_delay": "12"}, "validate", "wrong_type"),
    ("number for text", {"carrier": 7}, "validate", "wrong_type"),
    ("bool for number", {"dep_delay": True}, "validate", "wrong_type"),
    ("fraction for integer", {"distance": 1.5}, "validate", "wrong_type"),
    ("2^64 for integer", {"distance": 2**64}, "validate", "out_of_range"),
    ("null", {"dep_delay": None}, "validate", "null_not_allowed"),
    ("id a number", {"id": 12}, "validate", "invalid_id"),
    ("id empty", {"id": ""}, "validate", "invalid_id"),
    ("id with NUL", {"id": "a\0b"}, "validate", "invalid_id"),
]


def test_one_bad_event_becomes_one_dead_letter_and_nothing_stops(
    make_flow: Callable[..., Any], services: Any, flights: list[dict[str, Any]]
) -> None:
    """Each kind of bad event among good ones: cause named, payload whole, neighbours scored."""
    flow = make_flow(partitions=1)
    bad = [(value, stage, code) for _, value, stage, code in BAD]
    for _, change, stage, code in BAD_FIELDS:
        event = {k: v for k, v in {**flights[0], **change}.items() if v is not ...}
        bad.append((encode(event), stage, code))
    twice = encode(flights[0])[:-1] + b', "dep_delay": 1}'
    bad.append((twice, "decode", "duplicate_field"))
    forged = [("__streamscore.errors.code", b"forged"), ("mine", b"\xff\xfe")]
    many = [(f"h{number}", b"v") for number in range(500)]
    for number, (value, _, _) in enumerate(bad):
        flow.send(encode(flights[number]), key=b"good")
        flow.send(value, key=b"bad", headers=forged if number % 2 else many, timestamp=1234567)
    good = len(bad)
    for change in ({"temp": None}, {"carrier": "never seen"}, {"distance": 100.0}, {"id": None}):
        flow.send(encode({**flights[0], **change}), key=b"good")
        good += 1
    flow.send(None, key=b"tombstone")
    flow.flush()
    services.start(flow)
    letters = flow.read(flow.dead_letters, len(bad))
    predictions = flow.read(flow.output, good)
    assert len(predictions) == good
    assert len(letters) == len(bad)
    for number, (letter, (value, stage, code)) in enumerate(zip(letters, bad, strict=True)):
        failure = read_headers(letter.headers())
        assert (failure.stage, failure.code) == (stage, code), (value[:80], failure)
        assert (failure.topic, failure.offset) == (flow.input, 2 * number + 1)
        assert (failure.attempt, failure.version) == (1, "1")
        assert letter.value() == value
        assert letter.key() == b"bad"
        assert letter.timestamp()[1] == 1234567
        kept = original_headers(letter.headers())
        assert kept == ([("mine", b"\xff\xfe")] if number % 2 else many)
    audit = audit_topics(flow.settings, source=flow.input, output=flow.output)
    assert audit.ok, audit


def test_tombstones_are_dead_lettered_where_that_is_set(
    make_flow: Callable[..., Any], services: Any
) -> None:
    """By default they are skipped and counted; an operator may want to see them."""
    flow = make_flow(partitions=1)
    flow.send(None, key=b"k")
    flow.flush()
    services.start(flow, STREAMSCORE_CONSUMER__TOMBSTONES="dead_letter")
    (letter,) = flow.read(flow.dead_letters, 1)
    assert letter.value() is None
    assert read_headers(letter.headers()).code == "tombstone"


@pytest.mark.parametrize(
    ("flags", "environ"),
    [
        (["--guarantee", "at_least_once"], {}),
        ([], {"STREAMSCORE_CONSUMER__GROUP_PROTOCOL": "consumer"}),
        (["--instance-id", "one"], {}),
        (["--workers", "2"], {}),
    ],
    ids=["at-least-once", "kip-848", "static-member", "two-workers"],
)
def test_every_way_to_run_answers_everything(
    make_flow: Callable[..., Any],
    services: Any,
    flights: list[dict[str, Any]],
    flags: list[str],
    environ: dict[str, str],
) -> None:
    """Without failures, each guarantee, protocol and membership answers each event once."""
    flow = make_flow(partitions=4, output_partitions=2)
    service = services.start(flow, *flags, **environ)
    for event in flights[:1000]:
        flow.send(encode(event), key=event["id"].encode())
    flow.flush()
    assert len(flow.read(flow.output, 1000)) == 1000
    assert service.stop() == 0
    audit = audit_topics(flow.settings, source=flow.input, output=flow.output)
    assert (audit.lost, audit.doubled) == (0, 0), audit


def test_sigterm_under_load_commits_what_is_in_hand_and_the_next_goes_on(
    make_flow: Callable[..., Any], services: Any, flights: list[dict[str, Any]]
) -> None:
    """Stopped in the middle, started again: nothing lost, nothing twice."""
    flow = make_flow(partitions=2)
    for number in range(30_000):
        flow.send(encode(flights[number % 3000]), partition=number % 2)
    flow.flush()
    first = services.start(flow, "--max-batch", "500")
    flow.read(flow.output, 1000)
    assert first.stop(within_s=10) == 0
    services.start(flow)
    flow.read(flow.output, 30_000)
    audit = audit_topics(flow.settings, source=flow.input, output=flow.output)
    assert audit.ok, audit
    assert audit.predictions == 30_000


def test_three_workers_killed_in_turn_lose_and_double_nothing(
    make_flow: Callable[..., Any], services: Any, flights: list[dict[str, Any]]
) -> None:
    """Kill -9 under load, a worker at a time: the input is exactly what was answered."""
    flow = make_flow(partitions=6)
    service = services.start(flow, "--workers", "3", "--max-batch", "200")
    values = [encode(event) for event in flights]
    values[::100] = [b"poison"] * len(values[::100])
    sent = killed = 0
    while killed < 6:
        target = sent + len(values)
        for value in values:
            flow.send(value, partition=sent % 6)
            sent += 1
        flow.flush()
        wait_until(lambda: answered(flow) > target // 2, "half of the events answered")  # noqa: B023
        running = {entry["worker"]: entry["pid"] for entry in service.entries("worker_spawned")}
        os.kill(running[killed % 3], signal.SIGKILL)
        killed += 1
        spawned = 3 + killed
        wait_until(lambda: len(service.entries("worker_spawned")) == spawned, "a new worker")  # noqa: B023
    wait_until(lambda: answered(flow) == sent, "every event answered")
    audit = audit_topics(flow.settings, source=flow.input, output=flow.output)
    assert audit.ok, audit
    assert audit.events == sent
    assert service.process.poll() is None
