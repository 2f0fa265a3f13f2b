"""`/models`, the OpenAPI document and its page: what is served, and requests that work as shown."""

from typing import TYPE_CHECKING

import jsonschema_rs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.serving.conftest import Online

    Serve = Callable[[str], Online]


def test_models(online: "Serve") -> None:
    """Given a model: the list names it, its version, its task and what evaluates it."""
    client = online("delay:2").client
    (only,) = client.get("/models").json()["models"]
    assert only.items() >= {"name": "delay", "version": "2", "task": "regression"}.items()
    assert client.get("/models/other").status_code == 404


def test_a_model(online: "Serve") -> None:
    """Given a model: its card, its signature, and schemas that its events and predictions keep."""
    served = online("delay:1")
    told = served.client.get("/models/delay").json()
    assert told["version"] == "1"
    assert told["engine"] == served.desk.model.scorer.engine
    assert told["card"] == served.desk.model.card
    assert told["signature"]["features"][0]["name"] == "distance"
    event = {
        "id": "1",
        "distance": 1.5,
        "hour": 7,
        "origin": "JFK",
        "late": True,
        "weather": {"temp": None},
    }
    schema = jsonschema_rs.Draft202012Validator(told["event_schema"])
    assert schema.is_valid(event)
    assert not schema.is_valid({**event, "weather": {}})
    assert told["prediction_schema"]["properties"]["prediction"] == {"type": "number"}


def test_the_document_is_of_the_version_that_is_served(online: "Serve") -> None:
    """Given a newer version that comes into use: the document follows."""
    served = online("delay:1")
    first = served.client.get("/openapi.json").json()
    served.desk.model = online("delay:2").desk.model
    second = served.client.get("/openapi.json").json()
    assert first["info"]["description"] == "Predictions of delay:1."
    assert second["info"]["description"] == "Predictions of delay:2."


def test_every_route_is_documented(online: "Serve") -> None:
    """Given the routes that there are: the document tells of each, but of the way to the page."""
    served = online("line")
    told = served.client.get("/openapi.json").json()["paths"]
    documented = {f"{method.upper()} {path}" for path, item in told.items() for method in item}
    assert served.routes - {"GET /"} <= documented
