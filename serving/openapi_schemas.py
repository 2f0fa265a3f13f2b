"""The schemas of the OpenAPI document: what each protocol's bodies and answers are.

Pure. JSON Schema 2020-12, as OpenAPI 3.1 has it.
"""

from typing import Any, Final, get_args

from model.schema import event_schema, prediction_schema
from model.signature import Signature
from serving.tensor_answers import outputs
from serving.tensors import Whole

Schema = dict[str, Any]

DATATYPES: Final = ["BOOL", *get_args(Whole), "FP16", "FP32", "FP64", "BYTES"]
_TEXT: Final[Schema] = {"type": "string"}
_BOOLEAN: Final[Schema] = {"type": "boolean"}
_PARAMETERS: Final[Schema] = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean"]},
}
_SHAPE: Final[Schema] = {"type": "array", "items": {"type": "integer", "minimum": 0}}


def ref(name: str) -> Schema:
    """A schema of this document, by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def schemas(signature: Signature, event_id_field: str) -> dict[str, Schema]:
    """Every schema by its name."""
    event = _without_dialect(event_schema(signature, event_id_field))
    return {
        "Event": event,
        "Prediction": _without_dialect(prediction_schema(signature)),
        "Problem": _problem(),
        **_tensor_schemas(signature),
        **_mlflow_schemas(signature),
        **_model_schemas(),
    }


def _without_dialect(schema: Schema) -> Schema:
    return {name: value for name, value in schema.items() if name != "$schema"}


def closed(properties: Schema, optional: tuple[str, ...] = ()) -> Schema:
    """An object of these properties, all required but the optional ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def array(items: Schema) -> Schema:
    """An array of them."""
    return {"type": "array", "items": items}


def _problem() -> Schema:
    properties = {
        "type": {**_TEXT, "format": "uri-reference"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": {**_TEXT, "description": "what is wrong, where, and how to mend it"},
        "error": {**_TEXT, "description": "the same, as the Open Inference Protocol names it"},
    }
    return {**closed(properties), "description": "RFC 9457"}


def _tensor_schemas(signature: Signature) -> dict[str, Schema]:
    data = {"type": "array", "description": "row-major, nested as the shape says or flat"}
    tensor = {"name": _TEXT, "shape": _SHAPE, "datatype": {"enum": DATATYPES}}
    given = {**tensor, "parameters": _PARAMETERS, "data": data}
    inputs = {**array(ref("RequestInput")), "minItems": 1}
    names = {"enum": [each.name for each in outputs(signature)]}
    wanted = closed({"name": names, "parameters": _PARAMETERS}, ("parameters",))
    request = {"id": _TEXT, "parameters": _PARAMETERS, "inputs": inputs, "outputs": array(wanted)}
    described = closed({"name": _TEXT, "datatype": {"enum": DATATYPES}, "shape": _MINUS_ONE})
    answer = {"model_name": _TEXT, "model_version": _TEXT, "id": _TEXT}
    answer["outputs"] = array(ref("ResponseOutput"))
    told = {"name": _TEXT, "versions": array(_TEXT), "platform": _TEXT}
    told |= dict.fromkeys(("inputs", "outputs"), array(ref("MetadataTensor")))
    return {
        "RequestInput": closed(given, ("parameters",)),
        "InferenceRequest": closed(request, ("id", "parameters", "outputs")),
        "ResponseOutput": closed({**tensor, "name": names, "data": data}),
        "InferenceResponse": closed(answer, ("id",)),
        "MetadataTensor": described,
        "ModelMetadata": closed(told),
        "ServerMetadata": closed({"name": _TEXT, "version": _TEXT, "extensions": array(_TEXT)}),
        "ServerLive": closed({"live": _BOOLEAN}),
        "ServerReady": closed({"live": _BOOLEAN, "ready": _BOOLEAN}),
        "ModelReady": closed({"name": _TEXT, "ready": _BOOLEAN}),
        "Condition": closed({"ok": _BOOLEAN, "reason": _TEXT}, ("reason",)),
    }


_MINUS_ONE: Final[Schema] = {"type": "array", "items": {"type": "integer", "minimum": -1}}


def _mlflow_schemas(signature: Signature) -> dict[str, Schema]:
    names = {
        feature.name: {"type": [feature.kind.value, *(["null"] * feature.nullable)]}
        for feature in signature.features
    }
    record = closed(names)
    row = {"type": "array", "minItems": len(names), "maxItems": len(names)}
    columns = closed({name: array(schema) for name, schema in names.items()})
    split = closed({"columns": array(_TEXT), "data": array({"type": "array"})}, ("columns",))
    split["properties"]["index"] = {"type": "array"}
    prediction = prediction_schema(signature)["properties"]["prediction"]
    shapes = {
        "dataframe_split": {**split, "additionalProperties": False},
        "dataframe_records": array(record),
        "instances": {"anyOf": [array(record), array(row)]},
        "inputs": {"anyOf": [columns, array(record), array(row)]},
    }
    return {
        "Invocation": {"oneOf": [closed({name: schema}) for name, schema in shapes.items()]},
        "Predictions": closed({"predictions": array(prediction)}),
    }


def _model_schemas() -> dict[str, Schema]:
    anything = {"type": "object"}
    named = {"name": _TEXT, "version": _TEXT, "task": _TEXT, "engine": _TEXT}
    whole = {**named, "card": anything, "signature": anything}
    whole |= {"event_schema": anything, "prediction_schema": anything}
    return {
        "Model": closed(named),
        "ModelDetails": closed(whole),
        "Document": anything,
        "Models": closed({"models": array(ref("Model"))}),
    }
