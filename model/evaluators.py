"""Trees in the form that the extension evaluates: masks where they are small, else a walk."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from model._native import Masks, Walker
from model.engines import NotKnown
from model.ensembles import Ensemble, Tree

_LEAVES = 32  # a mask has a bit for each
_LANES = 16  # trees stand side by side in groups of this many
_MOST_TABLE_BYTES = 16 * 1024**2  # beyond, a walk is kinder to the processor's caches


class Evaluator(Protocol):
    """Sums the trees' answers."""

    def add(self, rows: npt.NDArray[np.float64], out: npt.NDArray[np.float64], /) -> None:
        """Add each tree's answer to `rows` (n, columns) to `out` (n, outputs), in their order."""


def evaluator(ensemble: Ensemble) -> Evaluator:
    """The quickest evaluator that takes these trees.

    Raises:
        NotKnown: they are too large for masks, and a walk knows no categories.
        ValueError: they are no trees.

    """
    leaves = max(int((tree.left < 0).sum()) for tree in ensemble.trees)
    if leaves <= _LEAVES and ensemble.trees[0].value.shape[1] == 1:
        masks = _masks(ensemble)
        if masks is not None:
            return masks
    if ensemble.known:
        raise NotKnown
    return _walker(ensemble)


def _walker(ensemble: Ensemble) -> Walker:
    trees = ensemble.trees
    width = trees[0].value.shape[1]
    return Walker(
        np.array([len(tree.left) for tree in trees], dtype=np.int64),
        np.concatenate([tree.left for tree in trees]),
        np.concatenate([tree.right for tree in trees]),
        np.concatenate([tree.feature for tree in trees]),
        np.concatenate([tree.threshold for tree in trees]),
        np.concatenate([tree.missing_left for tree in trees]),
        np.concatenate([tree.value for tree in trees]),
        width,
        len(ensemble.start),
        ensemble.columns,
    )


def _masks(ensemble: Ensemble) -> Masks | None:
    trees = ensemble.trees
    edges = {
        column: _edges(trees, column) for column in _columns(trees) if column not in ensemble.known
    }
    features = tuple((c, edges[c] if c in edges else ensemble.known[c]) for c in _columns(trees))
    firsts, bins = {}, 0
    for column, given in features:
        firsts[column] = bins
        bins += given + 1 if isinstance(given, int) else given.size + 2
    stride = -(-len(trees) // _LANES) * _LANES
    if 4 * bins * stride > _MOST_TABLE_BYTES:
        return None
    table = np.full((bins, stride), 0xFFFFFFFF, dtype=np.uint32)
    values = np.zeros((len(trees), _LEAVES))
    for number, tree in enumerate(trees):
        below = _leaves_below(tree, values[number])
        for node in np.flatnonzero(tree.left >= 0).tolist():
            column = int(tree.feature[node])
            left = _bins_to_the_left(tree, node, edges.get(column))
            rows = table[firsts[column] : firsts[column] + left.size, number]
            rows &= np.where(left, ~below[tree.right[node]], ~below[tree.left[node]])
    return Masks(features, table, values, ensemble.columns, len(trees), len(ensemble.start))


def _columns(trees: list[Tree]) -> list[int]:
    return sorted({int(column) for tree in trees for column in tree.feature[tree.left >= 0]})


def _edges(trees: list[Tree], column: int) -> npt.NDArray[np.float64]:
    """The thresholds of a column: they part its values into bins."""
    edges = np.unique(
        np.concatenate([t.threshold[(t.left >= 0) & (t.feature == column)] for t in trees])
    )
    if np.isnan(edges).any():
        msg = "a tree's threshold is no number"
        raise ValueError(msg)
    return edges


def _leaves_below(tree: Tree, values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint32]:
    """By node, the bits of the leaves below it; fills in the leaves' values."""
    below = np.zeros(tree.left.size, dtype=np.uint32)
    leaves = 0
    for node in _children_first(tree):
        if tree.left[node] < 0:
            below[node] = 1 << leaves
            values[leaves] = tree.value[node, 0]
            leaves += 1
        else:
            below[node] = below[tree.left[node]] | below[tree.right[node]]
    return below


def _children_first(tree: Tree) -> Iterator[int]:
    order: dict[int, None] = {}
    pending = [0]
    while pending:
        node = pending.pop()
        if node in order or not 0 <= node < tree.left.size:
            msg = "a tree's nodes lead astray"
            raise ValueError(msg)
        order[node] = None
        if tree.left[node] >= 0:
            pending += (int(tree.left[node]), int(tree.right[node]))
    return reversed(order)


def _bins_to_the_left(
    tree: Tree, node: int, edges: npt.NDArray[np.float64] | None
) -> npt.NDArray[np.bool_]:
    """For each bin of the node's feature, the one of missing values last."""
    missing = bool(tree.missing_left[node])
    if edges is None:
        return np.append(tree.codes[node], missing)
    place = int(np.searchsorted(edges, tree.threshold[node]))
    left = np.zeros(edges.size + 2, dtype=bool)
    left[: place + 1] = True  # the bin below an edge has it as its largest value
    left[-1] = missing
    return left
