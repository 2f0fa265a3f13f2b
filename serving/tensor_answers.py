"""Open Inference Protocol V2: what a model's tensors are, and its predictions as tensors.

Outputs are named as MLServer names those of scikit-learn's models (`predict`, `predict_proba`);
an outlier detector's `score` has no name there. Pure; knows nothing of HTTP.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from model.errors import BadRequest
from model.schema import label_key
from model.signature import Label, Signature, Task
from serving.encoding import encode
from serving.tensors import Datatype, InferenceRequest, datatype

PLATFORM: Final = "scikit-learn_skops"  # "<project>_<format>", as the protocol has it
_INT64_MAX: Final = (1 << 63) - 1

Prediction = Mapping[str, Any]  # of the prediction contract


@dataclass(frozen=True, slots=True)
class Output:
    """An output tensor of shape [rows, width]; `read` takes a row's elements of a prediction."""

    name: str
    datatype: Datatype
    width: int
    read: Callable[[Prediction], Sequence[Label]]


def outputs(signature: Signature) -> tuple[Output, ...]:
    """The tensors that a model of this signature gives, in order."""
    kind = _answers_datatype(signature)
    given = [Output("predict", kind, 1, lambda row: (row["prediction"],))]
    if kind == "BYTES":
        given = [Output("predict", kind, 1, lambda row: (label_key(row["prediction"]),))]
    if signature.probabilities:
        keys = [label_key(label) for label in signature.labels]
        read = _reader_of_probabilities(keys)
        given.append(Output("predict_proba", "FP64", len(keys), read))
    if signature.score:
        given.append(Output("score", "FP64", 1, lambda row: (row["score"],)))
    return tuple(given)


def metadata(signature: Signature, name: str, version: str) -> dict[str, Any]:
    """What the protocol tells of a model: its tensors, a feature each, of -1 (any) rows."""
    inputs = [
        {"name": feature.name, "datatype": datatype(feature.kind), "shape": [-1, 1]}
        for feature in signature.features
    ]
    given = [
        {"name": each.name, "datatype": each.datatype, "shape": [-1, each.width]}
        for each in outputs(signature)
    ]
    return {
        "name": name,
        "versions": [version],
        "platform": PLATFORM,
        "inputs": inputs,
        "outputs": given,
    }


def wanted_outputs(request: InferenceRequest, signature: Signature) -> list[Output]:
    """The outputs that a request asks for: all where it names none.

    Raises:
        BadRequest: the model gives no such output, or it is asked for twice.

    """
    known = {each.name: each for each in outputs(signature)}
    if not request.outputs:
        return list(known.values())
    names = [wanted.name for wanted in request.outputs]
    for name in names:
        if name not in known:
            hint = f"there are: {', '.join(known)}"
            raise BadRequest(f"the model has no output {name!r}", hint=hint)
        if names.count(name) > 1:
            raise BadRequest(f"the output {name!r} is asked for twice")
    return [known[name] for name in names]


def inference_response(
    request: InferenceRequest,
    wanted: Sequence[Output],
    predictions: Sequence[Prediction],
    *,
    name: str,
    version: str,
) -> bytes:
    """The predictions of a request's rows, in order, as tensors; the data is flat, row-major."""
    answer: dict[str, Any] = {"model_name": name, "model_version": version}
    if request.id is not None:
        answer["id"] = request.id
    answer["outputs"] = [
        {
            "name": each.name,
            "shape": [len(predictions), each.width],
            "datatype": each.datatype,
            "data": [element for row in predictions for element in each.read(row)],
        }
        for each in wanted
    ]
    return encode(answer)


def _answers_datatype(signature: Signature) -> Datatype:
    if signature.task is Task.REGRESSION:
        return "FP64"
    if signature.task is not Task.CLASSIFICATION:
        return "INT64"
    kinds = set(map(type, signature.labels))
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        return "INT64" if max(signature.labels) <= _INT64_MAX else "UINT64"  # type: ignore[operator]
    return "FP64" if kinds == {float} else "BYTES"


def _reader_of_probabilities(keys: Sequence[str]) -> Callable[[Prediction], Sequence[Label]]:
    return lambda row: [row["probabilities"][key] for key in keys]
