"""The dead letter contract: what is written is read back, and nothing forged gets through."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dead_letter import (
    ATTEMPT,
    MESSAGE_LIMIT_BYTES,
    PREFIX,
    VALUE_OMITTED,
    Failure,
    Header,
    NotADeadLetter,
    attempt_of,
    omit_value,
    omitted_value_bytes,
    original_headers,
    read_headers,
    replay_headers,
    write_headers,
)

FAILURE = Failure(
    topic="flights",
    partition=2,
    offset=8812,
    timestamp_ms=1385892900123,
    group="streamscore-flight-delay",
    stage="validate",
    code="wrong_type",
    message="the feature 'distance' is text where a number belongs",
    model="flight-delay",
    version="3",
    attempt=1,
    failed_at="2013-12-01T10:15:00.123456Z",
)
ERRORS = (
    "topic",
    "partition",
    "offset",
    "timestamp",
    "group",
    "stage",
    "code",
    "message",
    "model",
    "version",
    "attempt",
    "failed_at",
)

whole_numbers = st.integers(-1, 10**17)
short_text = st.text(st.characters(codec="utf-8"), max_size=200)
failures = st.builds(
    Failure,
    topic=short_text,
    partition=whole_numbers,
    offset=whole_numbers,
    timestamp_ms=whole_numbers,
    group=short_text,
    stage=short_text,
    code=short_text,
    message=short_text,
    model=short_text,
    version=short_text,
    attempt=whole_numbers,
    failed_at=short_text,
)
names = st.one_of(
    short_text,
    st.just(ATTEMPT),
    st.sampled_from(ERRORS).map(lambda field: f"{PREFIX}errors.{field}"),
)
header_lists = st.lists(st.tuples(names, st.none() | st.binary(max_size=50)), max_size=20)


@given(header_lists, failures)
def test_a_written_failure_is_read_back(original: list[Header], failure: Failure) -> None:
    """Whatever headers the sender set, forged ones included, the failure reads back as written."""
    assert read_headers(write_headers(original, failure)) == failure


@given(header_lists, failures)
def test_a_replay_carries_the_original_headers(original: list[Header], failure: Failure) -> None:
    """A replayed event has its own headers, in order, and the next attempt as the only other."""
    dead = write_headers(original, failure)

    replayed = replay_headers(dead)

    own = [header for header in original if not header[0].startswith(PREFIX)]
    assert original_headers(dead) == own
    assert replayed == [*own, (ATTEMPT, str(failure.attempt + 1).encode())]


def test_the_headers_have_the_documented_names() -> None:
    """Other teams read these names and texts: they are a contract."""
    headers = write_headers([("traceparent", b"00-ab-cd-01"), ("raw", b"\xff\xfe")], FAILURE)

    assert headers == [
        ("traceparent", b"00-ab-cd-01"),
        ("raw", b"\xff\xfe"),
        ("__streamscore.errors.topic", b"flights"),
        ("__streamscore.errors.partition", b"2"),
        ("__streamscore.errors.offset", b"8812"),
        ("__streamscore.errors.timestamp", b"1385892900123"),
        ("__streamscore.errors.group", b"streamscore-flight-delay"),
        ("__streamscore.errors.stage", b"validate"),
        ("__streamscore.errors.code", b"wrong_type"),
        ("__streamscore.errors.message", FAILURE.message.encode()),
        ("__streamscore.errors.model", b"flight-delay"),
        ("__streamscore.errors.version", b"3"),
        ("__streamscore.errors.attempt", b"1"),
        ("__streamscore.errors.failed_at", b"2013-12-01T10:15:00.123456Z"),
    ]


def test_a_long_message_is_cut_between_characters() -> None:
    """The message takes at most 1 KB and stays readable where the cut falls into a character."""
    long = replace(FAILURE, message="x" + "\N{EURO SIGN}" * 1000)

    message = read_headers(write_headers(None, long)).message

    assert len(message.encode()) <= MESSAGE_LIMIT_BYTES
    assert message == "x" + "\N{EURO SIGN}" * 341


def test_a_lone_surrogate_in_the_message_does_no_harm() -> None:
    """A message that quotes a broken field name can still be written."""
    odd = replace(FAILURE, message="the feature '\ud800' is missing")

    assert read_headers(write_headers(None, odd)).message == "the feature '?' is missing"


@pytest.mark.parametrize("field", ERRORS)
def test_a_missing_header_is_named(field: str) -> None:
    """What lacks a field of the contract is no dead letter, and the error says which."""
    name = f"{PREFIX}errors.{field}"
    headers = [header for header in write_headers(None, FAILURE) if header[0] != name]

    with pytest.raises(NotADeadLetter, match=f"the header {name} is missing"):
        read_headers(headers)


@pytest.mark.parametrize("value", [b"", b"two", b"1_0", b" 1", b"1.0", b"9" * 5000])
def test_a_number_that_is_none_is_named(value: bytes) -> None:
    """A number must be decimal text as the writer writes it."""
    headers = [*write_headers(None, FAILURE), (f"{PREFIX}errors.offset", value)]

    with pytest.raises(NotADeadLetter, match="offset is not a whole number"):
        read_headers(headers)


def test_text_that_is_not_utf8_is_named() -> None:
    """A field that cannot be decoded is no dead letter's."""
    headers = [*write_headers(None, FAILURE), (f"{PREFIX}errors.code", b"\xff")]

    with pytest.raises(NotADeadLetter, match="code is not UTF-8"):
        read_headers(headers)


def test_an_event_without_headers_is_no_dead_letter() -> None:
    """confluent-kafka gives None for an event without headers."""
    with pytest.raises(NotADeadLetter, match="topic is missing"):
        read_headers(None)
    with pytest.raises(NotADeadLetter, match="attempt is missing"):
        replay_headers(None)


@pytest.mark.parametrize(
    ("headers", "attempt"),
    [
        (None, 1),
        ([], 1),
        ([(ATTEMPT, b"2")], 2),
        ([(ATTEMPT, b"2"), ("other", b"9"), (ATTEMPT, b"3")], 3),
        ([(ATTEMPT, None)], 1),
        ([(ATTEMPT, b"0")], 1),
        ([(ATTEMPT, b"-4")], 1),
        ([(ATTEMPT, b"many")], 1),
        ([(ATTEMPT, b"\xff\xfe")], 1),
        ([(ATTEMPT, "\N{SUPERSCRIPT TWO}".encode())], 1),
        ([(ATTEMPT, b"9" * 5000)], 1),
    ],
)
def test_the_attempt_is_read_and_nonsense_counts_as_none(
    headers: list[Header] | None, attempt: int
) -> None:
    """An event is at its first attempt unless a replay wrote a positive decimal number."""
    assert attempt_of(headers) == attempt


def test_attempts_add_up_over_replays() -> None:
    """Each round through the dead letters adds one attempt and leaves one header of it."""
    headers = replay_headers(write_headers([("a", None)], FAILURE))
    again = replace(FAILURE, attempt=attempt_of(headers))

    assert replay_headers(write_headers(headers, again)) == [("a", None), (ATTEMPT, b"3")]


def test_an_omitted_value_is_marked_with_its_size() -> None:
    """A value left out for its size is told from an event that had none."""
    whole = write_headers([("a", b"1")], FAILURE)

    marked = omit_value(whole, 1_048_576)

    assert omitted_value_bytes(whole) is None
    assert omitted_value_bytes(None) is None
    assert omitted_value_bytes(marked) == 1_048_576
    assert omitted_value_bytes([(VALUE_OMITTED, b"large")]) == 0
    assert read_headers(marked) == FAILURE
    assert original_headers(marked) == [("a", b"1")]
