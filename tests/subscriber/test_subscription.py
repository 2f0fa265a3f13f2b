"""Iterating predictions on real Kafka: what is delivered, and what is committed when."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from confluent_kafka import Consumer, Producer

from model.errors import BrokerUnreachable, MissingTopics, WrongUsage
from runtime.clients import admin_client
from runtime.settings import Settings, load_settings
from subscriber import Prediction, Subscription
from subscriber.progress import Watch
from subscriber.source import Source

if TYPE_CHECKING:
    from tests.subscriber.conftest import Board

Until = Callable[..., None]


@pytest.fixture
def other_program() -> Iterator[None]:
    """As in a program of someone else's: structlog is not set up, whatever ran before."""
    before = structlog.get_config() if structlog.is_configured() else None
    structlog.reset_defaults()
    yield
    if before is not None:
        structlog.configure(**before)


def read(board: "Board", **options: Any) -> list[str]:
    """The ids of the predictions that a subscription gives until the topic is idle."""
    options = {"idle_timeout_s": 1.0, **options}
    with Subscription(board.topic, settings=board.settings, **options) as predictions:
        return [prediction.id for prediction in predictions]


def with_consumer(settings: Settings, **change: object) -> Settings:
    return settings.model_copy(update={"consumer": settings.consumer.model_copy(update=change)})


def test_without_a_group_everybody_gets_all_and_nothing_is_remembered(wide_board: "Board") -> None:
    """Two anonymous readers get every prediction each, in order within a partition."""
    ids = wide_board.put(40)

    for _ in range(2):
        got = read(wide_board)
        assert sorted(got) == sorted(ids)
        for partition in range(4):
            assert [each for each in got if each in ids[partition::4]] == ids[partition::4]


def test_a_prediction_carries_what_its_record_has(board: "Board") -> None:
    """The value's members, the record's key and its headers."""
    producer = board.producer()
    board.put(1, producer, probabilities={"late": 0.5})
    producer.flush(30)

    with Subscription(board.topic, max=1, settings=board.settings) as predictions:
        (prediction,) = predictions

    assert isinstance(prediction, Prediction)
    assert prediction.key == b"event-0"
    assert prediction.probabilities == {"late": 0.5}
    assert prediction.reference == "flights/0/0"


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_group_goes_on_where_it_stopped(board: "Board", protocol: str) -> None:
    """What one run was done with, the next one does not get; in both protocols of groups."""
    board.settings = with_consumer(board.settings, group_protocol=protocol)
    first = board.put(5)
    assert read(board, group="readers", max=5) == first
    assert board.committed("readers") == [5]

    second = board.put(3)
    assert read(board, group="readers", max=3) == second
    assert board.committed("readers") == [8]


def test_what_the_loop_body_did_not_finish_is_delivered_again(board: "Board") -> None:
    """An exception and a `break` leave the prediction in hand uncommitted, but no one before it."""
    ids = board.put(5)

    def fail_at_the_third() -> None:
        with Subscription(board.topic, group="readers", settings=board.settings) as predictions:
            for prediction in predictions:
                if prediction.id == ids[2]:
                    raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_at_the_third()
    assert board.committed("readers") == [2]

    with Subscription(board.topic, group="readers", settings=board.settings) as predictions:
        for prediction in predictions:
            if prediction.id == ids[3]:
                break
    assert board.committed("readers") == [3]

    assert read(board, group="readers") == ids[3:]


def test_stop_ends_the_loop_after_the_body(board: "Board") -> None:
    """`stop()` in the body: this prediction is done, the next one is not begun."""
    ids = board.put(5)
    got = []

    with Subscription(board.topic, group="readers", settings=board.settings) as predictions:
        for prediction in predictions:
            got.append(prediction.id)
            if prediction.id == ids[1]:
                predictions.stop()

    assert got == ids[:2]
    assert board.committed("readers") == [2]


def test_nothing_is_committed_ahead_of_the_body(board: "Board", until: Until) -> None:
    """While a body works, what comes after it is not committed; what is done is, within seconds."""
    ids = board.put(3)

    with Subscription(board.topic, group="readers", settings=board.settings) as predictions:
        assert next(predictions).id == ids[0]
        assert next(predictions).id == ids[1]
        assert board.committed("readers")[0] <= 1
        assert next(predictions).id == ids[2]
        ahead = threading.Thread(target=lambda: next(predictions, None))
        ahead.start()
        until(lambda: board.committed("readers") == [3])
        predictions.stop()
        ahead.join(10)
        assert not ahead.is_alive()


def test_a_condition_chooses_and_the_rest_is_passed_over(board: "Board") -> None:
    """Only what matches is delivered; what does not is done with, and counted."""
    ids = board.put(10)

    with Subscription(
        board.topic,
        group="readers",
        where="prediction >= 7 or score > 0.5",
        idle_timeout_s=1.0,
        settings=board.settings,
    ) as predictions:
        got = [prediction.id for prediction in predictions]

    assert got == ids[7:]
    assert (predictions.seen, predictions.matched, predictions.skipped) == (10, 3, 0)
    assert board.committed("readers") == [10]


@pytest.mark.usefixtures("other_program")
def test_a_value_that_is_no_prediction_is_counted_logged_and_passed_over(
    board: "Board", caplog: pytest.LogCaptureFixture
) -> None:
    """Broken JSON, a tombstone, another team's record: neighbours are delivered, nothing stops."""
    before = board.put(1)
    for value in (b"{SECRET", None, b'{"id": "SECRET"}', b"\xff\xfe"):
        board.put_value(value)
    after = board.put(1)

    with (
        caplog.at_level(logging.WARNING, "streamscore.subscriber"),
        Subscription(
            board.topic, group="readers", idle_timeout_s=1.0, settings=board.settings
        ) as predictions,
    ):
        got = [prediction.id for prediction in predictions]

    assert got == before + after
    assert (predictions.seen, predictions.matched, predictions.skipped) == (6, 2, 4)
    assert board.committed("readers") == [6]
    assert "offset=1" in caplog.text
    assert "skipped=4" in caplog.text
    assert "SECRET" not in caplog.text


def test_predictions_of_an_aborted_transaction_are_never_seen(board: "Board") -> None:
    """Only what was committed is delivered; the markers count as read, so that no lag remains."""
    producer = board.producer(f"{board.topic}-writer")
    producer.begin_transaction()
    first = board.put(2, producer)
    producer.commit_transaction(30)
    producer.begin_transaction()
    board.put(2, producer)
    producer.flush(30)
    producer.abort_transaction(30)
    producer.begin_transaction()
    last = board.put(2, producer)
    producer.commit_transaction(30)

    assert read(board) == first + last
    assert read(board, group="readers") == first + last
    assert board.committed("readers") == board.ends() == [9]


def test_predictions_of_an_open_transaction_are_seen_when_it_commits(board: "Board") -> None:
    """Neither before, nor are they lost to who began at the latest in between."""
    producer = board.producer(f"{board.topic}-writer")
    producer.begin_transaction()
    ids = board.put(2, producer)
    producer.flush(30)
    assert read(board) == []

    with Subscription(
        board.topic, start="latest", idle_timeout_s=20.0, max=2, settings=board.settings
    ) as predictions:
        producer.commit_transaction(30)
        assert [prediction.id for prediction in predictions] == ids


@pytest.mark.parametrize("group", [None, "readers"])
def test_latest_begins_with_what_comes_after_the_block_was_entered(
    wide_board: "Board", group: str | None
) -> None:
    """Also when the group gathers only later: nothing that comes in between is skipped."""
    wide_board.put(8)

    with Subscription(
        wide_board.topic,
        group=group,
        start="latest",
        max=8,
        idle_timeout_s=10.0,
        settings=wide_board.settings,
    ) as predictions:
        ids = wide_board.put(8)
        assert sorted(prediction.id for prediction in predictions) == sorted(ids)


def test_latest_is_kept_from_the_first_start_of_a_group(wide_board: "Board") -> None:
    """A group that stopped before anything came gets at the next start what came in between."""
    wide_board.put(8)
    assert read(wide_board, group="readers", start="latest") == []

    ids = wide_board.put(4)

    assert sorted(read(wide_board, group="readers", start="latest")) == sorted(ids)


def test_the_iteration_ends_when_it_was_told_to(board: "Board") -> None:
    """After `max` matches, when nothing arrives, after a time, and by another thread."""
    ids = board.put(3)
    assert read(board, max=2) == ids[:2]

    began = time.monotonic()
    assert read(board, idle_timeout_s=0.5) == ids
    assert read(board, idle_timeout_s=None, timeout_s=2.0) == ids
    assert 2.0 < time.monotonic() - began < 15.0

    with Subscription(board.topic, settings=board.settings) as predictions:
        threading.Timer(3.0, predictions.stop).start()
        assert [prediction.id for prediction in predictions] == ids


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_members_of_a_group_share_the_partitions(
    wide_board: "Board", protocol: str, until: Until
) -> None:
    """A second member takes over half of it: all are delivered, and none that was done again."""
    settings = with_consumer(wide_board.settings, group_protocol=protocol)
    got: list[list[str]] = [[], []]
    members = [Subscription(wide_board.topic, group="readers", settings=settings) for _ in range(2)]

    def run(number: int) -> None:
        with members[number] as predictions:
            for prediction in predictions:
                got[number].append(prediction.id)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    ids = wide_board.put(40)
    threads[0].start()
    until(lambda: len(got[0]) == 40)
    threads[1].start()

    def second_member_works() -> bool:
        ids.extend(wide_board.put(4))
        time.sleep(0.1)
        return len(got[1]) >= 4

    until(second_member_works)
    until(lambda: len(got[0]) + len(got[1]) >= len(ids))
    for member, thread in zip(members, threads, strict=True):
        member.stop()
        thread.join(30)

    assert sorted(got[0] + got[1]) == sorted(ids)
    assert wide_board.committed("readers") == wide_board.ends()


def test_a_body_that_took_too_long_gets_its_prediction_again(board: "Board") -> None:
    """The group went on without it: nothing is lost, and the reader comes back by itself."""
    ids = board.put(2)
    settings = board.settings.model_copy(
        update={"consumer": board.settings.consumer.model_copy(update={"max_poll_interval_s": 6.0})}
    )
    got = []

    with Subscription(
        board.topic, group="readers", max=3, timeout_s=40.0, settings=settings
    ) as predictions:
        for prediction in predictions:
            got.append(prediction.id)
            if len(got) == 1:
                time.sleep(7.5)  # the body that takes too long: there is nothing to poll for

    assert got == [ids[0], *ids]
    assert board.committed("readers") == [2]


def test_a_topic_that_does_not_exist_is_named(board: "Board") -> None:
    """At once, with how to mend it."""
    with (
        pytest.raises(MissingTopics, match="no-such-topic"),
        Subscription("no-such-topic", settings=board.settings),
    ):
        pytest.fail("entered")


def test_a_topic_that_is_deleted_ends_the_iteration(board: "Board") -> None:
    """With an error, instead of waiting for ever for what cannot come."""
    board.put(1)
    with Subscription(board.topic, settings=board.settings, timeout_s=60.0) as predictions:
        next(predictions)
        admin = admin_client(board.settings)
        admin.delete_topics([board.topic])[board.topic].result(30)
        with pytest.raises(MissingTopics, match=board.topic):
            next(predictions)


def test_a_broker_that_does_not_answer_is_named() -> None:
    """Within the broker timeout, with what was tried."""
    settings = load_settings(
        {"bootstrap_servers": "127.0.0.1:1", "broker_timeout_s": 1.0}, environ={}
    )
    began = time.monotonic()

    with (
        pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:1"),
        Subscription("t", settings=settings),
    ):
        pytest.fail("entered")
    assert time.monotonic() - began < 5.0


def test_a_broker_that_went_away_ends_the_iteration() -> None:
    """It hears nothing, as on a quiet topic; so it asks, and gives up when its patience ends."""
    servers = {"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "log_level": 0}
    broker: Producer | None = Producer(servers)  # librdkafka's own, inside this process
    assert broker is not None
    (address,) = broker.list_topics("predictions", timeout=10).brokers.values()
    consumer = Consumer(
        {"bootstrap.servers": f"{address.host}:{address.port}", "group.id": "g", "log_level": 0}
    )
    source = Source(
        consumer, "predictions", 1.0, watch=Watch(time.monotonic(), quiet_s=0.2, patience_s=1.5)
    )

    def poll_for(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            source.poll(0.05, lambda _error, _message: None)

    poll_for(1.0)
    broker = None  # the broker ends with its client
    with pytest.raises(BrokerUnreachable, match=r"for 1\.5 s while reading the topic predictions"):
        poll_for(30.0)
    consumer.close()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"where": "predicton > 1"}, "did you mean prediction"),
        ({"where": ""}, "empty"),
        ({"start": "middle"}, "'middle'"),
        ({"max": 0}, "max is 0"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_connected(
    options: dict[str, Any], reason: str
) -> None:
    """Wrong usage needs no broker to be told."""
    with pytest.raises(WrongUsage, match=reason):
        Subscription("predictions", **options)


def test_it_is_read_inside_its_block(board: "Board") -> None:
    """Before and after, there is nothing to read from."""
    subscription = Subscription(board.topic, settings=board.settings)

    with pytest.raises(WrongUsage, match="with"):
        next(subscription)
