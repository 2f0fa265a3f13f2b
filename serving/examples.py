"""A model's golden rows as requests of every protocol: what "try it out" sends.

Pure; the rows are those of the bundle.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

from model.signature import Signature
from serving.encoding import known_paths
from serving.tensors import datatype

ROWS: Final = 2

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Examples:
    """The first golden rows of a model of this signature, as events with ids."""

    signature: Signature
    event_id_field: str
    events: Sequence[Event]

    @classmethod
    def of(cls, signature: Signature, event_id_field: str, golden: Sequence[Event]) -> "Examples":
        """Examples of golden events, which have no ids of their own."""
        free = event_id_field not in signature.names and event_id_field in known_paths(
            signature, event_id_field
        )
        events = [
            ({event_id_field: f"example-{number}"} if free else {}) | dict(event)
            for number, event in enumerate(golden[:ROWS], start=1)
        ]
        return cls(signature, event_id_field, events)

    def predict(self) -> dict[str, Any]:
        """Bodies of `/predict`."""
        return {
            "event": _example("one event", self.events[0]),
            "events": _example("several events", list(self.events)),
        }

    def infer(self) -> dict[str, Any]:
        """Bodies of the Open Inference Protocol."""
        inputs = [
            {
                "name": feature.name,
                "shape": [len(self.events), 1],
                "datatype": datatype(feature.kind),
                "data": [row[number] for row in self._rows()],
            }
            for number, feature in enumerate(self.signature.features)
        ]
        given = {"tensors": _example("a tensor a feature", {"id": "42", "inputs": inputs})}
        if {each["datatype"] for each in inputs} <= {"FP64", "INT64"}:
            matrix = {
                "name": "input-0",
                "shape": [len(self.events), len(inputs)],
                "datatype": "FP64",
                "data": self._rows(),
            }
            given["matrix"] = _example("one tensor of all features", {"inputs": [matrix]})
        return given

    def invocations(self) -> dict[str, Any]:
        """JSON bodies of `/invocations`, in MLflow's four shapes."""
        names, rows = list(self.signature.names), self._rows()
        records = [dict(zip(names, row, strict=True)) for row in rows]
        columns = {name: [row[at] for row in rows] for at, name in enumerate(names)}
        bodies = {
            "dataframe_split": {"columns": names, "data": rows},
            "dataframe_records": records,
            "instances": records,
            "inputs": columns,
        }
        return {name: _example(name, {name: body}) for name, body in bodies.items()}

    def csv(self) -> dict[str, Any]:
        """A body of `/invocations` as CSV."""
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        writer.writerow(self.signature.names)
        for row in self._rows():
            writer.writerow(["" if value is None else value for value in row])
        return {"csv": _example("CSV with a line of names", written.getvalue())}

    def _rows(self) -> list[list[Any]]:
        paths = [feature.path for feature in self.signature.features]
        return [[_at(event, path) for path in paths] for event in self.events]


def _at(event: Event, path: Sequence[str]) -> Any:  # noqa: ANN401 - a JSON value
    return reduce(lambda inner, step: inner[step], path, event)


def _example(summary: str, value: object) -> dict[str, Any]:
    return {"summary": summary, "value": value}
