"""The OpenAPI document of the service: every route, typed by the model that it serves.

Pure. It is written by hand rather than read from the handlers, for they take bytes: what an event
is, the model's signature says. A test holds it against the routes that there are.
"""

from serving.openapi_paths import TAGS, Served, paths
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
        scheme = {"type": "http", "scheme": "bearer", "description": "an API key"}
        whole["components"]["securitySchemes"] = {"key": scheme}
        whole["security"] = [{"key": []}]
    return whole
