"""The JSON Schemas say what the decoder takes and what the encoder writes."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.codec import EventDecoder
from model.engines import Answers
from model.prediction import PredictionEncoder
from model.rejection import Code
from model.schema import DRAFT, event_schema, label_key, prediction_schema
from model.signature import Feature, Kind, Label, Signature, Task

SIGNATURE = Signature(
    (
        Feature("delay", Kind.NUMBER, nullable=False, dtype="float64", path=("delay",)),
        Feature("wind", Kind.NUMBER, nullable=True, dtype="float64", path=("weather", "wind")),
        Feature("dist", Kind.INTEGER, nullable=False, dtype="int64", path=("dist",)),
        Feature("rain", Kind.BOOLEAN, nullable=True, dtype="object", path=("weather", "rain")),
        Feature("a.b", Kind.STRING, nullable=False, dtype="str", path=("a.b",)),
        Feature("code", Kind.STRING, nullable=True, dtype="str", path=("to", "port", "code")),
    ),
    Task.REGRESSION,
)
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "string": (str,),
    "boolean": (bool,),
    "number": (int, float),
    "null": (type(None),),
}


def is_valid(schema: dict[str, Any], value: Any) -> bool:  # noqa: PLR0911 - one a keyword
    """Validate by hand the few keywords that the schemas use; an unknown one is an error."""
    known = {"$schema", "type", "properties", "required", "enum", "minLength", "description"}
    assert set(schema) <= known | {"minimum", "maximum", "format", "anyOf"}
    if "anyOf" in schema:
        return any(is_valid(either, value) for either in schema["anyOf"])
    names = schema.get("type", [])
    if names and not any(has_type(n, value) for n in ([names] if type(names) is str else names)):
        return False
    if "enum" in schema and not any(type(v) is type(value) and v == value for v in schema["enum"]):
        return False
    if isinstance(value, str):
        return bool(len(value) >= schema.get("minLength", 0))
    if isinstance(value, int | float) and "minimum" in schema:
        return bool(schema["minimum"] <= value <= schema["maximum"])
    if not isinstance(value, dict):
        return True
    return set(schema.get("required", [])) <= set(value) and all(
        is_valid(inner, value[name])
        for name, inner in schema.get("properties", {}).items()
        if name in value
    )


def has_type(name: str, value: Any) -> bool:
    if name == "integer":
        return type(value) is int or (type(value) is float and value.is_integer())
    return type(value) in TYPES[name]


def test_an_event_schema_names_every_feature_where_it_stands() -> None:
    """Features stand at their paths, required, with their types; the id is free to be absent."""
    assert event_schema(SIGNATURE) == {
        "$schema": DRAFT,
        "type": "object",
        "required": ["delay", "weather", "dist", "a.b", "to"],
        "properties": {
            "delay": {"type": "number"},
            "weather": {
                "type": "object",
                "required": ["wind", "rain"],
                "properties": {
                    "wind": {"type": ["number", "null"]},
                    "rain": {"type": ["boolean", "null"]},
                },
            },
            "dist": {"type": "integer"},
            "a.b": {"type": "string"},
            "to": {
                "type": "object",
                "required": ["port"],
                "properties": {
                    "port": {
                        "type": "object",
                        "required": ["code"],
                        "properties": {"code": {"type": ["string", "null"]}},
                    }
                },
            },
            "id": {"type": ["string", "null"], "minLength": 1, "description": "names the event"},
        },
    }


def test_the_id_stands_in_the_schema_under_its_own_name() -> None:
    """Another `event_id_field` is described, unless it is a feature already."""
    assert "flight.no" in event_schema(SIGNATURE, "flight.no")["properties"]
    assert event_schema(SIGNATURE, "a.b")["properties"]["a.b"] == {"type": "string"}


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-5, 5).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3),
    st.just({}),
    st.just([1]),
)


def mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(usual, usual, usual, usual, usual, usual, scalars)


text = st.text("abc", min_size=1, max_size=3)
events = st.fixed_dictionaries(
    {
        "delay": mostly(st.floats(-9, 9)),
        "dist": mostly(st.integers(-9, 9)),
        "a.b": mostly(text),
        "to": mostly(
            st.fixed_dictionaries({"port": st.fixed_dictionaries({"code": mostly(st.none())})})
        ),
    },
    optional={
        "weather": st.fixed_dictionaries(
            {"wind": mostly(st.none())}, optional={"rain": mostly(st.booleans())}
        ),
        "id": mostly(text),
        "other": scalars,
    },
)


@settings(deadline=None, max_examples=200)
@given(events)
def test_the_schema_and_the_decoder_agree(event: dict[str, Any]) -> None:
    """An event is valid under the schema just when the decoder takes it, ranges aside."""
    rejection = EventDecoder(SIGNATURE).decode([json.dumps(event).encode()]).rejections.get(0)

    accepted = rejection is None or rejection.code is Code.OUT_OF_RANGE
    assert is_valid(event_schema(SIGNATURE), event) is accepted


LABELS: list[tuple[Label, ...]] = [
    ("late", "on time"),
    ('"%s"', "100%", "Ærø"),
    (0, 1, -7),
    (False, True),
    (0.5, 1.0, 1e22),
]


@pytest.mark.parametrize("labels", LABELS)
def test_a_classifiers_prediction_is_valid(labels: tuple[Label, ...]) -> None:
    """The label is one of the schema's, and each label has its probability."""
    signature = Signature((), Task.CLASSIFICATION, labels=labels, probabilities=True)
    probabilities = np.full((len(labels), len(labels)), 1 / len(labels))

    written = predictions(signature, Answers(np.array(labels), probabilities))

    schema = prediction_schema(signature)
    assert all(is_valid(schema, prediction) for prediction in written)
    assert [prediction["prediction"] for prediction in written] == list(labels)
    assert list(written[0]["probabilities"]) == [label_key(label) for label in labels]


@pytest.mark.parametrize(
    ("signature", "answers"),
    [
        (Signature((), Task.REGRESSION), Answers(np.array([1.5, -0.0, 1e300, 5e-324]))),
        (Signature((), Task.CLUSTERING), Answers(np.array([0, 3], dtype=np.int32))),
        (Signature((), Task.OUTLIER), Answers(np.array([-1, 1]))),
        (
            Signature((), Task.OUTLIER, score=True),
            Answers(np.array([-1, 1]), score=np.array([-0.25, 0.125])),
        ),
        (Signature((), Task.CLASSIFICATION, labels=("a", "b")), Answers(np.array(["b", "a"]))),
    ],
)
def test_a_prediction_is_valid(signature: Signature, answers: Answers) -> None:
    """Whatever the task, predictions are valid under the schema and hold nothing else."""
    schema = prediction_schema(signature)

    for prediction in predictions(signature, answers):
        assert is_valid(schema, prediction)
        assert set(prediction) == set(schema["properties"])
        assert not is_valid(schema, {**prediction, "prediction": None})
        assert not is_valid(schema, {**prediction, "id": 7})


def test_a_prediction_of_a_request_is_valid() -> None:
    """Its source is a place in a request; half a place, of either kind, is none."""
    signature = Signature((), Task.REGRESSION)
    schema = prediction_schema(signature)
    (prediction,) = predictions(signature, Answers(np.array([1.5])))
    assert is_valid(schema, {**prediction, "source": {"request": "r-1", "index": 0}})
    for half in ({"request": "r-1"}, {"index": 0}, {"topic": "t", "offset": 3}, {}):
        assert not is_valid(schema, {**prediction, "source": half})


def predictions(signature: Signature, answers: Answers) -> list[dict[str, Any]]:
    count = len(answers.prediction)
    written = PredictionEncoder(signature, "flight-delay", "3").encode(
        answers,
        [str(row) for row in range(count)],
        topic="flights",
        partitions=[0] * count,
        offsets=list(range(count)),
        scored_at="2013-12-01T10:15:00.123456Z",
    )
    return [json.loads(value) for value in written]


@pytest.mark.parametrize(
    ("label", "key"), [("a b", "a b"), (1, "1"), (-0.5, "-0.5"), (True, "true"), (False, "false")]
)
def test_a_label_is_a_key_as_json_writes_it(label: Label, key: str) -> None:
    """The key of a label's probability is its JSON text, without quotes."""
    assert label_key(label) == key
