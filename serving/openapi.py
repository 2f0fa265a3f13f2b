"""The OpenAPI document of the service: every route, typed by the model that it serves.

Pure. It is written by hand rather than read from the handlers, for they take bytes: what an event
is, the model's signature says. A test holds it against the routes that there are.
"""

from serving.openapi_paths import OPEN_PATHS, TAGS, Served, paths, problem
from serving.openapi_schemas import Schema, schemas


def document(served: Served, *, software: str, keys: bool) -> Schema:
    """The document as JSON-ready values; `keys`: whether requests need an API key."""
    examples = served.examples
    whole: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": f"Streamscore: {served.name}",
            "version": software,
            "description": f"Predictions of {served.name}:{served.version}.",
        },
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths(served),
        "components": {"schemas": schemas(examples.signature, examples.event_id_field)},
    }
    if keys:
        bearer = {"type": "http", "scheme": "bearer", "description": "an API key"}
        header = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
        whole["components"]["securitySchemes"] = {"key": bearer, "header": header}
        whole["security"] = [{"key": []}, {"header": []}]
        _tell_of_keys(whole["paths"])
    return whole


def _tell_of_keys(told: Schema) -> None:
    for path, item in told.items():
        for operation in (item[method] for method in ("get", "post") if method in item):
            if path in OPEN_PATHS:
                operation["security"] = []
            else:
                operation["responses"]["401"] = problem(401)
