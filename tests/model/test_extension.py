"""The extension by itself: what it writes, what it sums, and what it refuses to be given."""

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model._native import Decoder, Masks, Walker, codes, render

text = st.text(st.characters(codec="utf-8"))


@settings(max_examples=200)
@given(st.lists(text, max_size=6))
def test_any_text_is_written_as_json(texts: list[str]) -> None:
    """Text of any characters is written as orjson writes it, and reads back as it was."""
    written = render(len(texts), (texts,), ())

    assert written == [orjson.dumps(one) for one in texts]
    assert [json.loads(one) for one in written] == texts


def test_every_character_is_written_as_json() -> None:
    """Each character by itself, control characters and the last one included, is orjson's."""
    texts = [chr(code) for code in [*range(0x300), 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF]]

    assert render(len(texts), (texts,), ()) == [orjson.dumps(one) for one in texts]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=6))
def test_any_integer_of_64_bits_is_written(numbers: list[int]) -> None:
    """Whole numbers are written in full, the least and the largest one included."""
    numbers = [*numbers, 0, -1, 2**63 - 1, -(2**63)]

    assert render(len(numbers), (numbers,), ()) == [str(number).encode() for number in numbers]


def test_segments_are_joined_row_by_row() -> None:
    """Constants, a list's items and the next number of a stream stand where the segments say."""
    rows = render(
        2, (b"<", ["a", "é"], 1, [b"|", b"||"], 0, 1, [3, -4]), (b"[1.5,2]", b"[5,6,7,8]")
    )

    assert [row.decode() for row in rows] == ['<"a"5|1.563', '<"é"7||28-4']
    assert render(0, (b"x", [], 0), (b"[]",)) == []
    assert render(2, (), ()) == [b"", b""]


@pytest.mark.parametrize(
    ("rows", "segments", "streams", "error"),
    [
        (2, (["a"],), (), ValueError),
        (2, (["a", "b", "c"],), (), ValueError),
        (1, ([None],), (), TypeError),
        (1, ([1.5],), (), TypeError),
        (1, ([2**63],), (), OverflowError),
        (1, ([-(2**63) - 1],), (), OverflowError),
        (1, (["\ud800"],), (), UnicodeEncodeError),
        (2, (0,), (b"[1]",), ValueError),
        (1, (0,), (b"[]",), ValueError),
        (1, (0,), (b"[1,2]",), ValueError),
        (0, (0,), (b"[1]",), ValueError),
        (1, (1,), (b"[1]",), ValueError),
        (1, (-1,), (b"[1]",), ValueError),
        (1, (2**70,), (b"[1]",), OverflowError),
        (1, (0,), (b"1",), ValueError),
        (1, (0,), (b"[",), ValueError),
        (1, ("a",), (), TypeError),
        (-1, (), (), ValueError),
        (1, [], (), TypeError),
    ],
)
def test_what_cannot_be_written_is_an_error(
    rows: int, segments: Any, streams: Any, error: type[Exception]
) -> None:
    """Lists and streams of another length than the rows, and values of other kinds, are refused."""
    with pytest.raises(error):
        render(rows, segments, streams)


def test_texts_become_their_numbers() -> None:
    """Known text has its number, other text and what is no text have theirs."""
    column = np.array(["a", "b", None, "zz", np.nan, "a", 5], dtype=object)
    out = np.zeros((7, 3))

    codes(column, {"a": 1.0, "b": 2.0}, -1.0, -2.0, out, 3, 1)

    assert out[:, 1].tolist() == [1.0, 2.0, -1.0, -2.0, -1.0, 1.0, -1.0]
    assert not out[:, [0, 2]].any()


OBJECTS = np.array(["a"], dtype=object)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((np.array([1]), {}, 0.0, 0.0, np.zeros((1, 1)), 1, 0), ValueError),
        ((OBJECTS, {}, 0.0, 0.0, np.zeros((2, 1)), 1, 0), ValueError),
        ((OBJECTS, {}, 0.0, 0.0, np.zeros((1, 1), dtype=np.int64), 1, 0), ValueError),
        ((OBJECTS, {}, 0.0, 0.0, np.zeros((1, 1)), 1, 1), ValueError),
        ((OBJECTS, {}, 0.0, 0.0, np.zeros((1, 1)), 1, -1), ValueError),
        ((OBJECTS, {}, 0.0, 0.0, np.zeros((1, 1)), 0, 0), ValueError),
        ((OBJECTS, {}, 0.0, 0.0, np.zeros((1, 1)), 2**62, 0), ValueError),
        ((OBJECTS, {"a": "x"}, 0.0, 0.0, np.zeros((1, 1)), 1, 0), TypeError),
        ((OBJECTS, [], 0.0, 0.0, np.zeros((1, 1)), 1, 0), TypeError),
        ((["a"], {}, 0.0, 0.0, np.zeros((1, 1)), 1, 0), TypeError),
    ],
)
def test_columns_that_do_not_fit_are_an_error(
    arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    """An array of another dtype or shape is refused before it is read or written."""
    with pytest.raises(error):
        codes(*arguments)


class Trees:
    """Random trees, plainly walked: what the extension is held against."""

    def __init__(self, rng: np.random.Generator, trees: int, most: int, width: int) -> None:
        self.columns = 3
        self.outputs = width if width > 1 else int(rng.integers(1, 4))
        self.trees = [self._grow(rng, int(rng.integers(1, most + 1)), width) for _ in range(trees)]

    def _grow(self, rng: np.random.Generator, leaves: int, width: int) -> dict[str, Any]:
        left, right = [-1], [-1]
        for _ in range(leaves - 1):
            leaf = int(rng.choice([node for node, child in enumerate(left) if child < 0]))
            left[leaf], right[leaf] = len(left), len(left) + 1
            left += (-1, -1)
            right += (-1, -1)
        return {
            "left": np.array(left),
            "right": np.array(right),
            "feature": rng.integers(0, self.columns, len(left)),
            "threshold": rng.integers(-3, 3, len(left)).astype(float),
            "missing_left": rng.integers(0, 2, len(left)).astype(np.uint8),
            "value": rng.normal(size=(len(left), width)),
        }

    def leaf(self, tree: dict[str, Any], row: npt.NDArray[np.float64]) -> int:
        node = 0
        while tree["left"][node] >= 0:
            value = row[tree["feature"][node]]
            left = (
                bool(tree["missing_left"][node])
                if np.isnan(value)
                else value <= tree["threshold"][node]
            )
            node = int(tree["left" if left else "right"][node])
        return node

    def add(self, rows: npt.NDArray[np.float64], out: npt.NDArray[np.float64]) -> None:
        for at, row in enumerate(rows):
            for number, tree in enumerate(self.trees):
                value = tree["value"][self.leaf(tree, row)]
                if len(value) == 1:
                    out[at, number % self.outputs] += value[0]
                else:
                    out[at] += value

    def walker(self, **changes: Any) -> Walker:
        names = ("left", "right", "feature", "threshold", "missing_left", "value")
        arrays = {name: np.concatenate([tree[name] for tree in self.trees]) for name in names}
        given: dict[str, Any] = {
            "sizes": np.array([len(tree["left"]) for tree in self.trees]),
            **arrays,
        }
        given |= {"width": arrays["value"].shape[1], "outputs": self.outputs}
        return Walker(*(given | {"columns": self.columns} | changes).values())

    def masks(self, **changes: Any) -> Masks:
        edges = np.arange(-3.0, 3.0)
        bins = len(edges) + 2
        table = np.full(
            (self.columns * bins, -(-len(self.trees) // 16) * 16), 2**32 - 1, dtype=np.uint32
        )
        values = np.zeros((len(self.trees), 32))
        for number, tree in enumerate(self.trees):
            bit = {node: at for at, node in enumerate(np.flatnonzero(tree["left"] < 0).tolist())}
            values[number, : len(bit)] = tree["value"][list(bit), 0]
            for node in np.flatnonzero(tree["left"] >= 0).tolist():
                for place, probe in enumerate([*edges, 9.0, np.nan]):
                    left = (
                        tree["missing_left"][node]
                        if np.isnan(probe)
                        else probe <= tree["threshold"][node]
                    )
                    ruled_out = self._below(tree, tree["right" if left else "left"][node])
                    row = tree["feature"][node] * bins + place
                    for leaf in ruled_out:
                        table[row, number] &= np.uint32(2**32 - 1 - (1 << bit[leaf]))
        given: dict[str, Any] = {
            "features": tuple((column, edges) for column in range(self.columns)),
            "table": table,
        }
        given |= {"values": values, "columns": self.columns, "trees": len(self.trees)}
        return Masks(*(given | {"outputs": self.outputs} | changes).values())

    def _below(self, tree: dict[str, Any], node: int) -> Iterator[int]:
        if tree["left"][node] < 0:
            yield int(node)
        else:
            yield from self._below(tree, tree["left"][node])
            yield from self._below(tree, tree["right"][node])


def matrix(rng: np.random.Generator, rows: int) -> npt.NDArray[np.float64]:
    values = [-4, -3, -2.5, -1, -0.0, 0.0, 0.5, 2, 3, 1e300, -1e300, np.inf, -np.inf, np.nan]
    return rng.choice(np.array(values), size=(rows, 3))


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(0, 150), st.integers(1, 20), st.sampled_from([1, 1, 3]))
def test_a_walk_ends_at_the_same_leaves(seed: int, rows: int, trees: int, width: int) -> None:
    """Whatever the trees and the number of rows, sums are those of a plain walk, to the bit."""
    rng = np.random.default_rng(seed)
    plain = Trees(rng, trees, 40, width)
    given_rows = matrix(rng, rows)
    sums = np.zeros((rows, plain.outputs))
    expected = sums.copy()

    plain.walker().add(given_rows, sums)

    plain.add(given_rows, expected)
    assert sums.tobytes() == expected.tobytes()


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, 30), st.integers(1, 40))
def test_masks_come_to_the_same_leaves(seed: int, rows: int, trees: int) -> None:
    """Trees of up to 32 leaves give the sums of a plain walk without one, to the bit."""
    rng = np.random.default_rng(seed)
    plain = Trees(rng, trees, 32, 1)
    given_rows = matrix(rng, rows)
    sums = rng.normal(size=(rows, plain.outputs))
    expected = sums.copy()

    plain.masks().add(given_rows, sums)

    plain.add(given_rows, expected)
    assert sums.tobytes() == expected.tobytes()


def test_codes_choose_bins_by_themselves() -> None:
    """A code beyond those that are known, below 0 or missing is in the last bin."""
    table = np.full((4, 16), 0b1000, dtype=np.uint32)
    table[:3, 0] = (0b0001, 0b0010, 0b0100)
    masks = Masks(((0, 3),), table, np.arange(32.0)[None], 1, 1, 1)
    out = np.zeros((8, 1))

    masks.add(np.array([[0, 1, 2, 3, -1, np.nan, 1e300, np.inf]]).T, out)

    assert out.ravel().tolist() == [0, 1, 2, 3, 3, 3, 3, 3]


INT64 = np.int64
WRONG_TREES: list[dict[str, Any]] = [
    {"left": np.array([0, -1, -1])},  # in circles
    {"left": np.array([2, -1, -1]), "right": np.array([0, -1, -1])},
    {"left": np.array([3, -1, -1])},  # out of the tree
    {"left": np.array([2**62, -1, -1])},
    {"right": np.array([-1, -1, -1])},
    {"right": np.array([3, -1, -1])},
    {"feature": np.array([3, 0, 0])},
    {"feature": np.array([-1, 0, 0])},
    {"feature": np.array([2**40, 0, 0])},
    {"sizes": np.array([2])},
    {"sizes": np.array([4])},
    {"sizes": np.array([3, 0])},
    {"sizes": np.array([-3, 6])},
    {"sizes": np.array([2**62])},
    {"sizes": np.array([], dtype=INT64)},
    {"left": np.array([], dtype=INT64)},
    {"left": np.array([1, -1])},
    {"left": np.array([1, -1, -1], dtype=np.int32)},
    {"threshold": np.array([0, 0, 0])},
    {"value": np.zeros((2, 1))},
    {"width": 0},
    {"width": -1},
    {"width": 2},
    {"outputs": 0},
    {"outputs": 2**30},
    {"columns": 0},
    {"columns": 2**20},
]


def small() -> Trees:
    trees = Trees(np.random.default_rng(0), 1, 1, 1)
    trees.outputs = 1
    trees.trees = [
        {
            "left": np.array([1, -1, -1]),
            "right": np.array([2, -1, -1]),
            "feature": np.array([0, 0, 0]),
            "threshold": np.zeros(3),
            "missing_left": np.zeros(3, dtype=np.uint8),
            "value": np.array([[0.0], [1.0], [2.0]]),
        }
    ]
    return trees


@pytest.mark.parametrize("changes", WRONG_TREES)
def test_what_is_no_tree_is_an_error(changes: dict[str, Any]) -> None:
    """Children, features and sizes that lead astray are refused when the walker is made."""
    small().walker()
    with pytest.raises(ValueError, match=r"tree|array"):
        small().walker(**changes)


EDGES = np.array([0.0])
TABLE = np.full((4, 16), 1, dtype=np.uint32)
WRONG_MASKS: list[dict[str, Any]] = [
    {"table": TABLE[:3]},
    {"table": TABLE.astype(np.int64)},
    {"table": TABLE[:, :8]},
    {"values": np.zeros((1, 31))},
    {"values": np.zeros((1, 32), dtype=np.float32)},
    {"features": ()},
    {"features": ((0, EDGES), (3, EDGES))},
    {"features": ((-1, EDGES),)},
    {"features": ((0, 0),)},
    {"features": ((0, -5),)},
    {"features": ((0, 2**62),)},
    {"features": ((0, 2**31 - 2),) * 4},
    {"features": ((0, EDGES.astype(np.float32)),)},
    {"columns": 0},
    {"columns": 2**40},
    {"trees": 0},
    {"trees": 2},
    {"trees": 2**60},
    {"outputs": 0},
    {"outputs": 2**60},
]


@pytest.mark.parametrize("changes", WRONG_MASKS)
def test_what_are_no_masks_is_an_error(changes: dict[str, Any]) -> None:
    """Tables that do not fit the features and the trees are refused when they are given."""
    small().masks()
    with pytest.raises(ValueError, match=r"tree|array|feature|table|contiguous"):
        small().masks(**changes)


@pytest.mark.parametrize("make", [Trees.walker, Trees.masks])
@pytest.mark.parametrize(
    ("rows", "out", "error"),
    [
        (np.zeros((2, 2)), np.zeros((2, 1)), ValueError),
        (np.zeros((2, 3)), np.zeros((3, 1)), ValueError),
        (np.zeros((2, 3)), np.zeros((1, 1)), ValueError),
        (np.zeros((2, 3), dtype=np.float32), np.zeros((2, 1)), ValueError),
        (np.zeros((2, 3), dtype=np.int64), np.zeros((2, 1)), ValueError),
        (np.zeros((2, 3), dtype=">f8"), np.zeros((2, 1)), ValueError),
        (np.zeros((3, 4)).T[:, :2], np.zeros((4, 1)), ValueError),
        (np.zeros((2, 3)), np.frombuffer(bytes(16)), ValueError),
        (np.zeros((2, 3), dtype="V0"), np.zeros((2, 1)), ValueError),
        (None, np.zeros((2, 1)), TypeError),
    ],
)
def test_rows_that_do_not_fit_are_an_error(
    make: Callable[[Trees], Any], rows: Any, out: Any, error: type[Exception]
) -> None:
    """Arrays of another shape, dtype or order, or that may not be written, are refused."""
    with pytest.raises(error):
        make(small()).add(rows, out)


LEAF = ("n", "d", False, False, True, 0, 0, None)


@pytest.mark.parametrize(
    ("leaves", "fields", "error"),
    [
        ((("n", "b", *LEAF[2:]),), (), ValueError),
        ((("b", "?", True, *LEAF[3:]),), (), ValueError),
        ((("s", "d", *LEAF[2:]),), (), ValueError),
        ((("x", "O", *LEAF[2:]),), (), ValueError),
        ((("\0", "d", *LEAF[2:]),), (), ValueError),
        ((("n", "\0", *LEAF[2:]),), (), ValueError),
        ((("s", "O", False, False, False, 0, 0, None),), (), ValueError),
        ((("n", "d", False, True, True, 0, 0, None),), (), ValueError),
        ((("n", "d"),), (), TypeError),
        ((LEAF,), ((b"x", 1, True),), ValueError),
        ((LEAF,), ((b"x", -1, True),), ValueError),
        ((LEAF,), (("x", 0, True),), TypeError),
        ((LEAF,), ((b"x", ((b"y", 9, True),), True),), ValueError),
        ((LEAF,), ((b"x", "y", True),), TypeError),
        ([], (), TypeError),
    ],
)
def test_a_decoder_of_nothing_it_knows_is_an_error(
    leaves: Any, fields: Any, error: type[Exception]
) -> None:
    """Columns that would not hold what is read into them are refused when the decoder is made."""
    Decoder((LEAF,), ((b"x", 0, True),))
    with pytest.raises(error):
        Decoder(leaves, fields)


@pytest.mark.parametrize(
    ("columns", "ids", "error"),
    [
        ((np.zeros(2),), [None], ValueError),
        ((np.zeros(1),), [None, None], ValueError),
        ((np.zeros(2, dtype=np.float32),), [None, None], ValueError),
        ((np.zeros(2, dtype=object),), [None, None], ValueError),
        ((np.zeros(4)[::2],), [None, None], ValueError),
        ((), [None, None], IndexError),
        ([np.zeros(2)], [None, None], TypeError),
    ],
)
def test_columns_for_other_events_are_an_error(
    columns: Any, ids: Any, error: type[Exception]
) -> None:
    """Columns of another dtype or length than the events need are never written to."""
    decoder = Decoder((LEAF,), ((b"x", 0, True),))

    with pytest.raises(error):
        decoder.decode([b'{"x":1.5}'] * 2, columns, ids)


def test_nothing_is_kept_of_a_batch() -> None:
    """Texts live as long as their columns and the decoder's memory of the latest of them."""
    leaf = ("s", "O", False, False, True, 0, 0, None)
    decoder = Decoder((leaf,), ((b"x", 0, True),))
    column = np.empty(1000, dtype=object)
    numbers = count()

    for _ in range(3):
        values: list[bytes | None] = [b'{"x":"%d"}' % next(numbers) for _ in range(1000)]
        assert decoder.decode(values, (column,), [None] * 1000) == []

    assert column.tolist() == [str(number) for number in range(2000, 3000)]
