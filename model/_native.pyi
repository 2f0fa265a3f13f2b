"""What native/ offers: the parts of the hot path for which Python is too slow."""
# ruff: noqa: PYI021 - C has no better place for promises

from typing import Any, TypeAlias, final

import numpy as np
import numpy.typing as npt

# kind ("n", "i", "b", "s"), the column's dtype as numpy's character, whether null is taken, whether
# it is the event's id, whether it has a column, least and largest of an integer, and what stands
# for null in a column of objects.
Leaf: TypeAlias = tuple[str, str, bool, bool, bool, int, int, object]
# name, the leaf's number or the fields within, whether every event has it
Fields: TypeAlias = tuple[tuple[bytes, int | Fields, bool], ...]

@final
class Decoder:
    """Decodes plain events; model/careful.py says what an event may be."""

    def __new__(cls, leaves: tuple[Leaf, ...], fields: Fields, /) -> Decoder: ...
    def decode(
        self,
        values: list[bytes | None],
        columns: tuple[npt.NDArray[Any], ...],
        ids: list[str | None],
        /,
    ) -> list[int]:
        """Fill the columns and ids, a row a value; gives the rows that must be looked at again.

        `columns` are those of the leaves that have one, in their order, each of `len(values)`;
        `ids` holds None for each. What stands in a row to look at again is undefined.
        """

@final
class Walker:
    """Trees of any size."""

    def __new__(  # the trees' nodes stand one behind the other, children are numbered by tree
        cls,
        sizes: npt.NDArray[np.int64],
        left: npt.NDArray[np.int64],
        right: npt.NDArray[np.int64],
        feature: npt.NDArray[np.int64],
        threshold: npt.NDArray[np.float64],
        missing_left: npt.NDArray[np.uint8],
        values: npt.NDArray[np.float64],
        width: int,
        outputs: int,
        features: int,
        /,
    ) -> Walker: ...
    def add(self, rows: npt.NDArray[np.float64], out: npt.NDArray[np.float64], /) -> None:
        """Add each tree's answer to `rows` (n, features) to `out` (n, outputs), in their order.

        Trees of one value take turns with the outputs; others have a value for each output.
        """

@final
class Masks:
    """Trees of at most 32 leaves, of one value each."""

    def __new__(
        cls,
        features: tuple[tuple[int, npt.NDArray[np.float64] | int], ...],
        table: npt.NDArray[np.uint32],
        values: npt.NDArray[np.float64],
        columns: int,
        trees: int,
        outputs: int,
        /,
    ) -> Masks: ...
    def add(self, rows: npt.NDArray[np.float64], out: npt.NDArray[np.float64], /) -> None:
        """Add each tree's answer to `rows` (n, columns) to `out` (n, outputs), in their order."""

def codes(
    column: npt.NDArray[np.object_],
    table: dict[str, float],
    missing: float,
    unknown: float,
    out: npt.NDArray[np.float64],
    width: int,
    at: int,
    /,
) -> None:
    """Write each text's number into column `at` of `out` (n, width).

    `missing` stands for what is no text, `unknown` for a text that is not in the table.
    """

def render(
    rows: int,
    segments: tuple[bytes | list[str] | list[bytes] | list[int] | int, ...],
    streams: tuple[bytes, ...],
    /,
) -> list[bytes]:
    """Join the segments, for each row.

    Bytes stand in every row as they are; a list has an item a row (a str becomes a JSON string);
    a number stands for the next number of that stream, which is the text of a JSON array.
    """
