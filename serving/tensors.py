"""Open Inference Protocol V2: the tensors of a request to events.

After github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md. A tensor
holds a feature, or the only tensor holds all of them in the signature's order, a column each.
Numbers are taken as they are written: a datatype bounds them and rounds none. Pure.
"""

from collections.abc import Sequence
from math import prod
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from model.errors import BadRequest
from model.signature import Kind, Signature
from serving.encoding import encode_columns, known_paths, read_json

Whole = Literal["UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"]
Datatype = Literal["BOOL", Whole, "FP16", "FP32", "FP64", "BYTES"]
Parameters = dict[str, str | int | float | bool | None]

_WHOLE: Final = {
    **{f"INT{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64)},
}
_LARGEST: Final = {"FP16": 65_504.0, "FP32": 3.4028234663852886e38, "FP64": 1.7976931348623157e308}
_NUMBERS: Final = frozenset(_WHOLE) | frozenset(_LARGEST)
_TAKEN: Final[dict[Kind, frozenset[str]]] = {
    Kind.NUMBER: _NUMBERS,
    Kind.INTEGER: _NUMBERS,
    Kind.BOOLEAN: frozenset({"BOOL"}),
    Kind.STRING: frozenset({"BYTES"}),
}
# What other servers offer beyond the protocol, and what a request does not mean without it.
_NOT_OFFERED: Final = {
    "binary_data": "binary tensor data",
    "binary_data_size": "binary tensor data",
    "binary_data_output": "binary tensor data",
    "shared_memory_region": "shared memory",
    "classification": "the classification extension",
}
_CONTENT_TYPES: Final = frozenset({"np", "pd", "str"})  # MLServer's names for what JSON shows


class RequestInput(msgspec.Struct, frozen=True):
    """A tensor of a request; `data` is row-major, nested as the shape says or flat."""

    name: str
    shape: list[Annotated[int, Meta(ge=0)]]
    datatype: Datatype
    data: list[Any] | UnsetType = UNSET
    parameters: Parameters | None = None


class RequestOutput(msgspec.Struct, frozen=True):
    """An output that is asked for."""

    name: str
    parameters: Parameters | None = None


class InferenceRequest(msgspec.Struct, frozen=True):
    """A request as it is on the wire."""

    inputs: list[RequestInput]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[RequestOutput] | None = None


def read_request(body: bytes) -> InferenceRequest:
    """A body as a request that can be answered as it is meant.

    Raises:
        BadRequest: it is none, or asks for an extension of the protocol.

    """
    request: InferenceRequest = read_json(body, InferenceRequest, "an inference request")
    _require_no_extension(request.parameters, "the request")
    for each in request.inputs:
        _require_no_extension(each.parameters, f"the input {each.name!r}")
        if each.data is UNSET:
            raise BadRequest(f"the input {each.name!r} has no data")
    for wanted in request.outputs or ():
        _require_no_extension(wanted.parameters, f"the output {wanted.name!r}")
    return request


def tensor_events(
    request: InferenceRequest, signature: Signature, event_id_field: str
) -> list[bytes]:
    """An event for each row of the tensors.

    Raises:
        BadRequest: they are not the model's inputs, or an element is not of its tensor's datatype.

    """
    inputs = request.inputs
    names = list(signature.names)
    if not inputs:
        raise BadRequest("the request has no inputs", hint=_inputs_of(names))
    columns: dict[str, Sequence[object]] = {}
    if len(inputs) == 1 and len(inputs[0].shape) == 2 and inputs[0].shape[1] == len(names):  # noqa: PLR2004 - rows and columns
        only = inputs[0]
        for feature in signature.features:
            _require_datatype(only, feature.name, feature.kind)
        flat = _elements(only)
        columns = {name: flat[at :: len(names)] for at, name in enumerate(names)}
        return encode_columns(signature, columns, only.shape[0], event_id_field)
    kinds: dict[str, Kind] = dict.fromkeys(known_paths(signature, event_id_field), Kind.STRING)
    kinds |= {feature.name: feature.kind for feature in signature.features}
    for each in inputs:
        if each.name not in kinds:
            raise BadRequest(f"the model has no input {each.name!r}", hint=_inputs_of(names))
        if each.name in columns:
            raise BadRequest(f"the input {each.name!r} is given twice")
        _require_datatype(each, each.name, kinds[each.name])
        _require_column(each, inputs[0])
        columns[each.name] = _elements(each)
    for name in names:
        if name not in columns:
            raise BadRequest(f"the input {name!r} is missing", hint=_inputs_of(names))
    return encode_columns(signature, columns, inputs[0].shape[0], event_id_field)


def datatype(kind: Kind) -> Datatype:
    """The datatype that the metadata names for a feature; `tensor_events` takes more."""
    names: dict[Kind, Datatype] = {
        Kind.NUMBER: "FP64",
        Kind.INTEGER: "INT64",
        Kind.BOOLEAN: "BOOL",
        Kind.STRING: "BYTES",
    }
    return names[kind]


def _inputs_of(names: Sequence[str]) -> str:
    return f"a tensor for each feature, of shape [rows] or [rows, 1]: {', '.join(names)}"


def _require_no_extension(parameters: Parameters | None, whose: str) -> None:
    for name, value in (parameters or {}).items():
        if name in _NOT_OFFERED and value is not False:
            msg = f"{whose} has the parameter {name!r}: {_NOT_OFFERED[name]} is not offered"
            raise BadRequest(msg, hint="send and take tensors as JSON")
        if name == "content_type" and value is not None and value not in _CONTENT_TYPES:
            msg = f"{whose} has a content_type that is not read here"
            raise BadRequest(msg, hint=f"there are: {', '.join(sorted(_CONTENT_TYPES))}")


def _require_datatype(given: RequestInput, feature: str, kind: Kind) -> None:
    if given.datatype not in _TAKEN[kind]:
        msg = f"the input {given.name!r} is {given.datatype}, and {feature!r} is {kind.value}"
        raise BadRequest(msg, hint=f"send it as {' or '.join(sorted(_TAKEN[kind]))}")


def _require_column(given: RequestInput, first: RequestInput) -> None:
    if len(given.shape) not in {1, 2} or given.shape[1:] not in ([], [1]):
        msg = f"the input {given.name!r} has the shape {given.shape}"
        raise BadRequest(msg, hint="a feature's tensor has the shape [rows] or [rows, 1]")
    if given.shape[0] != first.shape[0]:
        msg = f"the input {given.name!r} has {given.shape[0]} rows, {first.name!r} has"
        raise BadRequest(f"{msg} {first.shape[0]}", hint="all tensors have the same rows")


def _elements(given: RequestInput) -> list[Any]:
    """A tensor's elements in row-major order, each of its datatype or null."""
    data: list[Any] = given.data or []
    if len(given.shape) > 1 and data and isinstance(data[0], list):
        width = given.shape[1]
        if len(data) != given.shape[0] or not all(
            isinstance(row, list) and len(row) == width for row in data
        ):
            raise BadRequest(f"the data of the input {given.name!r} is not nested as {given.shape}")
        data = [element for row in data for element in row]
    elif len(data) != prod(given.shape):
        msg = f"the input {given.name!r} has {len(data)} elements and the shape {given.shape}"
        raise BadRequest(msg, hint="data is row-major, nested as the shape says or flat")
    for at, element in enumerate(data):
        if element is not None and not _is_of(given.datatype, element):
            row = at // prod(given.shape[1:])
            raise BadRequest(f"row {row} of the input {given.name!r} is no {given.datatype}")
    return data


def _is_of(name: str, element: object) -> bool:
    if name == "BOOL":
        return isinstance(element, bool)
    if name == "BYTES":
        return isinstance(element, str)
    if isinstance(element, bool) or not isinstance(element, int | float):
        return False
    if name in _LARGEST:
        return -_LARGEST[name] <= element <= _LARGEST[name]
    least, largest = _WHOLE[name]
    return element == int(element) and least <= element <= largest
