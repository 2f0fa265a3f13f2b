"""A signature as JSON Schema (draft 2020-12): what other teams code their events against.

Pure; knows nothing of how events travel.
"""

from typing import Any

from model.signature import Feature, Kind, Label, Signature, Task

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def event_schema(signature: Signature, event_id_field: str = "id") -> dict[str, Any]:
    """The JSON Schema of an event that the model accepts; other fields are ignored."""
    root: dict[str, Any] = {"$schema": DRAFT, **_object()}
    for feature in signature.features:
        node = root
        for step in feature.path[:-1]:
            if step not in node["properties"]:
                node["properties"][step] = _object()
                node["required"].append(step)
            node = node["properties"][step]
        node["properties"][feature.path[-1]] = _feature(feature)
        node["required"].append(feature.path[-1])
    identity = {"type": ["string", "null"], "minLength": 1, "description": "names the event"}
    root["properties"].setdefault(event_id_field, identity)
    return root


def prediction_schema(signature: Signature) -> dict[str, Any]:
    """The JSON Schema of the predictions that the model gives."""
    root = {"$schema": DRAFT, **_object()}
    on_topic = _all_of_them({"topic": "string", "partition": "integer", "offset": "integer"})
    in_request = _all_of_them({"request": "string", "index": "integer"})
    root["properties"] = {
        "id": {"type": "string"},
        "prediction": _answer(signature),
        "model": {"type": "string"},
        "version": {"type": "string"},
        "source": {"anyOf": [on_topic, in_request]},
        "scored_at": {"type": "string", "format": "date-time"},
    }
    root["required"] = list(root["properties"])
    if signature.probabilities:
        labels = [label_key(label) for label in signature.labels]
        probability = {"type": "number", "minimum": 0, "maximum": 1}
        root["properties"]["probabilities"] = {
            **_object(),
            "properties": dict.fromkeys(labels, probability),
            "required": labels,
        }
        root["required"].append("probabilities")
    if signature.score:
        root["properties"]["score"] = {"type": "number", "description": "below 0: an outlier"}
        root["required"].append("score")
    return root


def answers_differ(before: Signature, after: Signature) -> str | None:
    """How the answers of one signature differ from another's, for who reads them; None: they don't.

    Features may differ: they are looked up by name.
    """
    for what, old, new in (
        ("the task", before.task.value, after.task.value),
        ("the labels", _texts(before.labels), _texts(after.labels)),
        ("with probabilities", before.probabilities, after.probabilities),
        ("with a score", before.score, after.score),
    ):
        if old != new:
            return f"{what}: {new} instead of {old}"
    return None


def _texts(labels: tuple[Label, ...]) -> str:
    """Labels as text that tells 1 from true and from "1"."""
    return ", ".join(sorted(map(repr, labels)))


def label_key(label: Label) -> str:
    """A label as the key of its probability."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def _object() -> dict[str, Any]:
    return {"type": "object", "properties": {}, "required": []}


def _all_of_them(fields: dict[str, str]) -> dict[str, Any]:
    properties = {name: {"type": kind} for name, kind in fields.items()}
    return {"type": "object", "properties": properties, "required": list(fields)}


def _feature(feature: Feature) -> dict[str, Any]:
    name = feature.kind.value
    return {"type": [name, "null"] if feature.nullable else name}


def _answer(signature: Signature) -> dict[str, Any]:
    if signature.task is Task.CLASSIFICATION:
        return {"enum": list(signature.labels)}
    if signature.task is Task.REGRESSION:
        return {"type": Kind.NUMBER.value}
    return {"type": Kind.INTEGER.value}
