"""The paths of the OpenAPI document: what each route takes and answers, with examples that work.

Pure.
"""

from dataclasses import dataclass
from typing import Final

from serving.examples import Examples
from serving.openapi_schemas import Schema, array, ref

# For probes and for the page that has a field for the key.
OPEN_PATHS: Final = frozenset(
    {"/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/ping", "/health", "/", "/docs"}
)
TAGS: Final = {
    "Predictions": "Events in, predictions out: what goes onto the topic, and what comes from it.",
    "Open Inference Protocol": "V2, as KServe, Triton and MLServer speak it.",
    "MLflow": "The requests of MLflow's scoring server.",
    "Models": "What is served.",
    "Operations": "Probes and figures.",
}
_PROBLEMS: Final = {
    400: "the request cannot be read: the message says where and why",
    401: "no API key, or none of ours",
    404: "no such model or version is served here",
    408: "the request came too slowly",
    413: "the body is too large, or has too many rows",
    415: "the body is of a content type that is not read here",
    422: "the model does not accept the event: the message names the field",
    503: "too much at once, or not ready: try again after as many seconds as Retry-After says",
    504: "not answered within the deadline",
}
_SCORING: Final = (400, 408, 413, 415, 422, 503, 504)
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Served:
    """The model version that is served, and its examples."""

    name: str
    version: str
    examples: Examples


def paths(served: Served) -> Schema:
    """Every path with its operations."""
    return {
        **_predict(served),
        **_tensors(served),
        **_invocations(served),
        **_models(served),
        **_operations(),
    }


def _operation(
    tag: str, name: str, summary: str, answer: Schema, problems: tuple[int, ...], **more: object
) -> Schema:
    responses = {"200": answer, **{str(status): problem(status) for status in problems}}
    return {"tags": [tag], "operationId": name, "summary": summary, "responses": responses, **more}


def problem(status: int) -> Schema:
    """The answer with a status that is not 200."""
    content = {"application/problem+json": {"schema": ref("Problem")}}
    return {"description": _PROBLEMS[status], "content": content}


def _json(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {_JSON: {"schema": schema}}}


def _text(description: str) -> Schema:
    return {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}


def _parameter(name: str, served: str) -> Schema:
    schema = {"type": "string", "enum": [served]}
    return {"name": name, "in": "path", "required": True, "schema": schema, "example": served}


def _predict(served: Served) -> Schema:
    either = {"anyOf": [ref("Event"), array(ref("Event"))]}
    body = {_JSON: {"schema": either, "examples": served.examples.predict()}}
    answers = array({"anyOf": [ref("Prediction"), ref("Problem")]})
    return {
        "/predict": {
            "post": _operation(
                *("Predictions", "predict", "Score an event, or a list of events"),
                _json(
                    "the prediction, or one for each event", {"anyOf": [ref("Prediction"), answers]}
                ),
                _SCORING,
                description="A list with bad events answers each in its place.",
                requestBody={"required": True, "content": body},
            )
        }
    }


def _tensors(served: Served) -> Schema:
    tag: Final = "Open Inference Protocol"
    body = {_JSON: {"schema": ref("InferenceRequest"), "examples": served.examples.infer()}}
    given: Schema = {
        "/v2": _get(tag, "v2", "Server metadata", "ServerMetadata"),
        "/v2/health/live": _get(tag, "v2_live", "Server live", "ServerLive"),
        "/v2/health/ready": _probe(
            tag, "v2_ready", "Server ready", _json("it is", ref("ServerReady"))
        ),
    }
    model = _parameter("model_name", served.name)
    version = _parameter("model_version", served.version)
    for root, name, parameters in (
        ("/v2/models/{model_name}", "v2_model", [model]),
        ("/v2/models/{model_name}/versions/{model_version}", "v2_version", [model, version]),
    ):
        given[root] = _get(tag, name, "Model metadata", "ModelMetadata", 404)
        ready = _json("it is", ref("ModelReady"))
        given[f"{root}/ready"] = _probe(tag, f"{name}_ready", "Model ready", ready, 404)
        infer = _operation(
            *(tag, f"{name}_infer", "Inference"),
            _json("a tensor for each output", ref("InferenceResponse")),
            (*_SCORING, 404),
            description="A request with a bad row is refused whole; the message names the row.",
            requestBody={"required": True, "content": body},
        )
        given[f"{root}/infer"] = {"post": infer}
        for path in (root, f"{root}/ready", f"{root}/infer"):
            given[path]["parameters"] = parameters
    return given


def _invocations(served: Served) -> Schema:
    tag: Final = "MLflow"
    body = {
        _JSON: {"schema": ref("Invocation"), "examples": served.examples.invocations()},
        "text/csv": {"schema": {"type": "string"}, "examples": served.examples.csv()},
    }
    score = _operation(
        *(tag, "invocations", "Score a table"),
        _json("what predict returned", ref("Predictions")),
        _SCORING,
        description="A request with a bad row is refused whole; the message names the row.",
        requestBody={"required": True, "content": body},
    )
    ready = _text("an empty line: it is ready")
    return {
        "/invocations": {"post": score},
        "/ping": _probe(tag, "ping", "Health", ready),
        "/health": _probe(tag, "health", "Health", ready),
        "/version": {"get": _operation(tag, "version", "Version", _text("of Streamscore"), ())},
    }


def _models(served: Served) -> Schema:
    details = _get("Models", "model", "A model: card, signature, schemas", "ModelDetails", 404)
    details["parameters"] = [_parameter("name", served.name)]
    page = {"description": "the page", "content": {"text/html": {"schema": {"type": "string"}}}}
    return {
        "/models": _get("Models", "models", "The models that are served", "Models"),
        "/models/{name}": details,
        "/docs": {"get": _operation("Models", "docs", "A page to try requests", page, ())},
        "/openapi.json": _get("Models", "openapi", "This document", "Document"),
    }


def _operations() -> Schema:
    tag: Final = "Operations"
    condition = _json("it is", ref("Condition"))
    figures = _operation(tag, "metrics", "Figures for Prometheus", _text("figures"), ())
    return {
        "/livez": _probe(tag, "livez", "Whether it is alive", condition),
        "/readyz": _probe(tag, "readyz", "Whether it is ready", condition),
        "/metrics": {"get": figures},
    }


def _probe(tag: str, name: str, summary: str, answer: Schema, *problems: int) -> Schema:
    """A probe: its answer has the same form when it does not hold."""
    operation = _operation(tag, name, summary, answer, problems)
    operation["responses"]["503"] = {**answer, "description": "not ready, or about to stop"}
    return {"get": operation}


def _get(tag: str, name: str, summary: str, schema: str, *problems: int) -> Schema:
    return {"get": _operation(tag, name, summary, _json(summary, ref(schema)), problems)}
