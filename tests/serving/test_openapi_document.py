"""The OpenAPI document, without HTTP: whole, and its examples are golden rows in every protocol."""

import json
from typing import Any

import jsonschema_rs
import pytest

from model.codec import EventDecoder
from model.signature import Feature, Kind, Signature, Task
from serving.examples import Examples
from serving.frames import csv_events, json_events
from serving.openapi import document
from serving.openapi_paths import Served
from serving.tensors import read_request, tensor_events

NUMBERS = (
    Feature("speed", Kind.NUMBER, nullable=True, dtype="float64", path=("speed",)),
    Feature("hour", Kind.INTEGER, nullable=False, dtype="int64", path=("at", "hour")),
)
TEXTS = (
    Feature("late", Kind.BOOLEAN, nullable=True, dtype="object", path=("late",)),
    Feature("origin", Kind.STRING, nullable=False, dtype="str", path=("at", "origin")),
)
GOLDEN: list[dict[str, Any]] = [
    {"speed": 1.5, "at": {"hour": 3, "origin": 'J,F"K'}, "late": None},
    {"speed": None, "at": {"hour": 4, "origin": "NA"}, "late": True},
    {"speed": 2.5, "at": {"hour": 5, "origin": "x"}, "late": False},
]
SIGNATURES = {
    "numbers": Signature(NUMBERS, Task.REGRESSION),
    "all kinds": Signature(NUMBERS + TEXTS, Task.REGRESSION),
    "classes": Signature(TEXTS, Task.CLASSIFICATION, labels=("a", "b"), probabilities=True),
    "outliers": Signature(NUMBERS[::-1], Task.OUTLIER, score=True),
}


@pytest.fixture(params=SIGNATURES)
def examples(request: pytest.FixtureRequest) -> Examples:
    return Examples.of(SIGNATURES[request.param], "id", GOLDEN)


def whole(examples: Examples, *, keys: bool = True) -> dict[str, Any]:
    made = document(Served("delay", "3", examples), software="1.0", keys=keys)
    found: dict[str, Any] = json.loads(json.dumps(made))
    return found


def operations(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method} {path}": item[method]
        for path, item in made["paths"].items()
        for method in ("get", "post")
        if method in item
    }


def test_every_reference_leads_somewhere(examples: Examples) -> None:
    """Given the document: what it refers to is there, and whatever is there is referred to."""
    made = whole(examples)
    text = json.dumps(made)
    named = set(made["components"]["schemas"])
    referred = {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert referred == named


def test_every_operation_is_told_of(examples: Examples) -> None:
    """Given the document: each operation has a name, a summary, a tag and its answers."""
    made = whole(examples)
    found = operations(made)
    assert len({each["operationId"] for each in found.values()}) == len(found)
    tags = {tag["name"] for tag in made["tags"]}
    for each in found.values():
        assert each["summary"]
        assert set(each["tags"]) <= tags
        assert all(answer["description"] for answer in each["responses"].values())


def test_keys_are_asked_for_where_there_are_some(examples: Examples) -> None:
    """Given a server with API keys: the document says so; without, it does not."""
    assert whole(examples)["security"] == [{"key": []}]
    assert "security" not in whole(examples, keys=False)


def test_examples_are_what_their_schema_says(examples: Examples) -> None:
    """Given every example of a JSON body: it is valid by the document's own schema."""
    made = whole(examples)
    seen = 0
    for operation in operations(made).values():
        content = operation.get("requestBody", {}).get("content", {})
        for example in content.get("application/json", {}).get("examples", {}).values():
            schema = {**content["application/json"]["schema"], "components": made["components"]}
            jsonschema_rs.Draft202012Validator(schema).validate(example["value"])
            seen += 1
    assert seen >= 8


def test_examples_are_the_same_rows_in_every_protocol(examples: Examples) -> None:
    """Given the golden rows in any protocol: the model sees the first two of them, to the bit."""
    signature = examples.signature
    decoder = EventDecoder(signature)

    def rows(events: list[bytes]) -> list[list[Any]]:
        decoded = decoder.decode(events)
        assert not decoded.rejections
        return [[repr(value) for value in column.tolist()] for column in decoded.table.columns]

    expected = rows([json.dumps(event).encode() for event in GOLDEN[:2]])
    one, several = (each["value"] for each in examples.predict().values())
    assert rows([json.dumps(event).encode() for event in several]) == expected
    assert one == several[0]
    assert decoder.decode([json.dumps(one).encode()]).ids == ["example-1"]
    for example in examples.infer().values():
        request = read_request(json.dumps(example["value"]).encode())
        assert rows(tensor_events(request, signature, "id")) == expected
    for example in examples.invocations().values():
        body = json.dumps(example["value"]).encode()
        assert rows(json_events(body, signature, "id")) == expected
    table = examples.csv()["csv"]["value"].encode()
    assert rows(csv_events(table, signature, "id")) == expected


def test_a_matrix_is_shown_where_there_is_one() -> None:
    """Given a model of numbers alone: one tensor of all features is among the examples."""
    shown = {
        name: set(Examples.of(signature, "id", GOLDEN).infer())
        for name, signature in SIGNATURES.items()
    }
    assert shown["numbers"] == {"tensors", "matrix"}
    assert shown["all kinds"] == {"tensors"}


def test_an_id_that_is_a_feature_is_left_as_it_is() -> None:
    """Given a model that takes the id itself: the golden row has it, and no other is made up."""
    name = Feature("id", Kind.STRING, nullable=False, dtype="str", path=("id",))
    signature = Signature((name,), Task.REGRESSION)
    assert Examples.of(signature, "id", [{"id": "tail"}]).events == [{"id": "tail"}]
