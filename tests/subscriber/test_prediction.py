"""The wire type: what counts as a prediction, and that nothing else stops a reader."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.expressions import parse_condition
from subscriber.prediction import FIELDS, NotAPrediction, Source, decode

WIRE: dict[str, object] = {
    "id": "UA-1545-EWR-2013-12-01",
    "prediction": 12.4,
    "model": "flight-delay",
    "version": "3",
    "source": {"topic": "flights", "partition": 2, "offset": 8812},
    "scored_at": "2013-12-01T10:15:00.123456Z",
}


def wire(change: Mapping[str, object] = {}, *, without: str = "") -> bytes:
    members = {**WIRE, **change}
    members.pop(without, None)
    return json.dumps(members).encode()


def test_a_prediction_has_the_members_of_the_contract() -> None:
    """The example of the contract is read into typed values, with the record's key and headers."""
    prediction = decode(wire(), key=b"UA-1545", headers=[("traceparent", b"00-1")])

    assert prediction.id == "UA-1545-EWR-2013-12-01"
    assert prediction.prediction == 12.4
    assert (prediction.model, prediction.version) == ("flight-delay", "3")
    assert prediction.source == Source("flights", 2, 8812)
    assert prediction.reference == "flights/2/8812"
    assert prediction.scored_at == datetime(2013, 12, 1, 10, 15, 0, 123456, tzinfo=UTC)
    assert (prediction.probabilities, prediction.score) == (None, None)
    assert (prediction.key, prediction.headers) == (b"UA-1545", (("traceparent", b"00-1"),))


@pytest.mark.parametrize("answer", [1, -2.5, "late", True, 0])
def test_an_answer_is_a_number_or_a_label(answer: object) -> None:
    """Each kind of label keeps its type: a whole number is no float, a boolean no number."""
    value = decode(wire({"prediction": answer})).prediction

    assert value == answer
    assert type(value) is type(answer)


def test_the_members_of_other_tasks_are_read() -> None:
    """A classifier's probabilities and an outlier detector's score are there when they are sent."""
    assert decode(wire({"probabilities": {"late": 0.9}})).probabilities == {"late": 0.9}
    assert decode(wire({"score": -0.2})).score == -0.2


def test_members_that_are_added_later_are_kept_in_the_json() -> None:
    """The contract can grow: what this version does not know is ignored, and passed on."""
    value = json.dumps({**WIRE, "shap": [1, 2]}, indent=4).encode()

    line = decode(value).to_json()

    assert b"\n" not in line
    assert json.loads(line) == {**WIRE, "shap": [1, 2]}


def test_members_of_ours_cannot_be_forged_by_the_value() -> None:
    """`key`, `headers` and `value` come from the record, whatever the JSON says."""
    prediction = decode(wire({"key": "Zm9yZ2Vk", "headers": [], "value": "x"}), key=b"k")

    assert prediction.key == b"k"
    assert prediction.value.startswith(b"{")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xef\xbb\xbf" + wire(), "not JSON"),
        (wire() + b"x", "not JSON"),
        (b'{"id": NaN}', "not JSON"),
        (b"[]", "object"),
        (b"null", "object"),
        (wire({"id": 5}), "$.id"),
        (wire({"prediction": None}), "$.prediction"),
        (wire({"prediction": [1]}), "$.prediction"),
        (wire({"source": {"topic": "t", "partition": -1, "offset": 0}}), "$.source.partition"),
        (wire({"source": {"topic": "t", "partition": 0, "offset": 0.5}}), "$.source.offset"),
        (wire({"source": {"topic": "t", "partition": 0}}), "$.source"),
        (wire({"source": {"request": "r"}}), "$.source"),
        (wire({"source": {}}), "$.source"),
        (wire({"scored_at": "yesterday"}), "$.scored_at"),
        (wire({"scored_at": "2013-12-01T10:15:00"}), "$.scored_at"),
        (wire({"probabilities": {"late": "x"}}), "$.probabilities"),
        (wire(without="model"), "`model`"),
        (b'{"id": "\xff\xfe"}', "UTF-8"),
        (wire()[:-1] + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too deep"),
        (b'{"id": "SECRET-\xff"}', "UTF-8"),
        (b'{"id": 5, "x": "SECRET"}', "$.id"),
    ],
)
def test_what_is_no_prediction_is_refused_with_its_reason(value: bytes | None, reason: str) -> None:
    """The message names the cause and shows nothing of the value."""
    with pytest.raises(NotAPrediction) as caught:
        decode(value)

    assert reason in str(caught.value)
    assert "SECRET" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(
    st.binary(max_size=50)
    | st.dictionaries(st.sampled_from([*WIRE, "probabilities", "score"]), JSON).map(wire)
)
@settings(max_examples=150, deadline=None)
def test_no_value_raises_anything_but_not_a_prediction(value: bytes) -> None:
    """Whatever stands on the topic is read, or refused; and what was read can be asked."""
    try:
        prediction = decode(value)
    except NotAPrediction:
        return
    parse_condition("prediction > 1 or key == 'a'", FIELDS).holds(prediction.fields())
    json.loads(prediction.to_json())


def test_a_condition_sees_every_field_by_its_name_on_the_wire() -> None:
    """The names that conditions may use and those that predictions have are the same."""
    prediction = decode(wire({"probabilities": {"late": 0.9}, "score": 0.5}), key=b"UA-1545")
    fields = prediction.fields()

    assert list(fields) == list(FIELDS)
    text = (
        "id == 'UA-1545-EWR-2013-12-01' and prediction == 12.4 and model == 'flight-delay' "
        "and version == '3' and source.topic == 'flights' and source.partition == 2 "
        "and source.offset == 8812 and scored_at == '2013-12-01T10:15:00.123456Z' "
        "and probabilities.late == 0.9 and score == 0.5 and key == 'UA-1545'"
    )
    assert parse_condition(text, FIELDS).holds(fields)


def test_a_prediction_of_a_request_is_read_like_any_other() -> None:
    """Online predictions may stand on the same topic; conditions tell the two kinds apart."""
    prediction = decode(wire({"source": {"request": "r-7", "index": 3}}))

    assert prediction.source == Source(request="r-7", index=3)
    assert prediction.reference == "r-7/3"
    for text in ("source.request == 'r-7' and source.index == 3", "source.topic == None"):
        assert parse_condition(text, FIELDS).holds(prediction.fields())
    assert not parse_condition("source.topic == 'flights'", FIELDS).holds(prediction.fields())


def test_a_key_that_is_no_text_is_missing_in_conditions() -> None:
    """Keys are bytes: one that is not UTF-8 matches nothing and breaks nothing."""
    fields = decode(wire(), key=b"\xff").fields()

    assert not parse_condition("key != 'a'", FIELDS).holds(fields)
