"""Events' bytes to a table, with one rejection for each event that does not fit.

Plain events are decoded by the extension (native/decode.c); what is unusual about an event, its
rejection included, is decided by model/careful.py alone. Knows nothing of Kafka or HTTP.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from model._native import Decoder
from model.careful import CarefulDecoder, Decoded
from model.errors import UnsupportedModel
from model.signature import Feature, Kind, Signature
from model.table import Table, column_dtype, integer_limits, missing_value

if TYPE_CHECKING:
    from model._native import Fields, Leaf

__all__ = ["Decoded", "EventDecoder"]

_INT64 = np.iinfo("int64")
_NO_LIMITS = (0, 0)
_ID = ("s", "O", True, True, False, *_NO_LIMITS, None)


class EventDecoder:
    """Decodes events of one signature; `event_id_field` is a field of the event itself.

    Raises:
        UnsupportedModel: a feature's dtype does not hold its kind.
        SettingsError: no event can have its id there.

    """

    def __init__(self, signature: Signature, event_id_field: str = "id") -> None:
        self._careful = CarefulDecoder(signature, event_id_field)
        id_path = (event_id_field,)
        leaves = {f.path: _leaf(f, is_id=f.path == id_path) for f in signature.features}
        self._dtypes = [column_dtype(feature) for feature in signature.features]
        optional = None if id_path in leaves else id_path
        leaves.setdefault(id_path, _ID)
        self._decoder = Decoder(tuple(leaves.values()), _fields(list(leaves), (), optional))

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode a batch: every value ends in the table or among the rejections."""
        rows = len(values)
        columns = tuple(np.empty(rows, dtype=dtype) for dtype in self._dtypes)
        ids: list[str | None] = [None] * rows
        values = values if isinstance(values, list) else list(values)
        doubtful = self._decoder.decode(values, columns, ids)
        if not doubtful:
            return Decoded(Table(columns, rows), ids, range(rows), {})
        again = self._careful.decode([values[row] for row in doubtful])
        _fill_in(columns, ids, [doubtful[position] for position in again.positions], again)
        rejections = {doubtful[position]: why for position, why in again.rejections.items()}
        kept = [row for row in range(rows) if row not in rejections]
        table = Table(columns, rows).take(kept) if rejections else Table(columns, rows)
        return Decoded(table, [ids[row] for row in kept], kept, rejections)


def _fill_in(
    columns: Sequence[npt.NDArray[Any]],
    ids: list[str | None],
    rows: Sequence[int],
    decoded: Decoded,
) -> None:
    for column, values in zip(columns, decoded.table.columns, strict=True):
        column[rows] = values
    for row, event_id in zip(rows, decoded.ids, strict=True):
        ids[row] = event_id


def _leaf(feature: Feature, *, is_id: bool) -> "Leaf":
    kind, nullable = feature.kind, feature.nullable
    code = _CODES[kind].get(feature.dtype)
    if code is None or (nullable and code not in _WITH_NULL):
        msg = f"the feature {feature.name!r} is {kind.value}, nullable: {nullable}"
        msg += f", and its column ({feature.dtype}) does not hold that"
        raise UnsupportedModel(msg, hint="bundle the model again with this version")
    limits = _NO_LIMITS
    if kind is Kind.INTEGER:
        least, largest = integer_limits(feature)
        limits = (least, min(largest, int(_INT64.max)))
    return (kind.value[0], code, nullable, is_id, True, *limits, missing_value(feature))


_WITH_NULL = "dfO"
_FLOATS = {"float64": "d", "float32": "f"}
_INTEGERS = {
    **dict(zip(("int8", "int16", "int32", "int64"), "bhiq", strict=True)),
    **dict(zip(("uint8", "uint16", "uint32", "uint64"), "BHIQ", strict=True)),
}
_CODES = {  # what a kind's column may be, as the extension names it
    Kind.NUMBER: _FLOATS,
    Kind.INTEGER: _FLOATS | _INTEGERS,
    Kind.BOOLEAN: {"bool": "?", "object": "O"},
    Kind.STRING: dict.fromkeys(("str", "category", "object"), "O"),
}


def _fields(
    paths: list[tuple[str, ...]], prefix: tuple[str, ...], optional: tuple[str, ...] | None
) -> "Fields":
    """The fields below a prefix: a leaf's number, or its own fields, by name."""
    depth = len(prefix)
    steps = dict.fromkeys(path[depth] for path in paths if path[:depth] == prefix)
    return tuple(
        (
            step.encode(),
            paths.index((*prefix, step))
            if (*prefix, step) in paths
            else _fields(paths, (*prefix, step), optional),
            (*prefix, step) != optional,
        )
        for step in steps
    )
