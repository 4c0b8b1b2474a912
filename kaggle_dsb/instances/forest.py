"""Gradient-boosted regression trees as arrays, evaluated with numpy alone.

`kaggle_dsb.instances.forest_training` trains them; the file does not depend on LightGBM.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROWS_AT_ONCE = 1024  # so that a row for each tree stays in the processor's cache


@dataclass(frozen=True)
class Forest:
    """An ensemble of regression trees whose outputs are summed.

    Attributes
    ----------
    feature : (n_nodes,) int16
        The feature that a node splits on; -1 for a leaf.
    threshold : (n_nodes,) float64
        Values up to and including it go left.
    left, right : (n_nodes,) int32
        The children of a node.
    value : (n_nodes,) float32
        The output of a leaf.
    start : (n_trees,) int32
        The root of each tree.
    base : (1,) float32
        The constant that the outputs are added to.
    """

    feature: NDArray[np.int16]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]
    start: NDArray[np.int32]
    base: NDArray[np.float32]

    def check(self, n_features: int) -> None:
        """Check that the arrays are a forest on so many features.

        Raises
        ------
        ValueError
            When they are not; prediction would then fail, or not end.
        """
        n = self.feature.size
        of_nodes = (self.feature, self.threshold, self.left, self.right, self.value)
        if any(array.shape != (n,) for array in of_nodes) or self.base.shape != (1,):
            raise ValueError("the arrays of its trees differ in length")
        inner = np.flatnonzero(self.feature >= 0)
        children = np.stack([self.left[inner], self.right[inner]])
        is_sound = (
            self.feature.max(initial=-1) < n_features
            and (children > inner).all()  # a node precedes its children
            and children.max(initial=0) < n
            and ((self.start >= 0) & (self.start < n)).all()
            and np.isfinite(self.value).all()
        )
        if not is_sound:
            raise ValueError("its trees are not trees")

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the sum over the trees for each row of features, (n,) float64."""
        parts = range(0, len(features), _ROWS_AT_ONCE)
        sums = [self._predict(features[first : first + _ROWS_AT_ONCE]) for first in parts]
        return np.concatenate([np.zeros(0), *sums])

    def _predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        n_rows = len(features)
        values = np.ascontiguousarray(features.T).ravel()
        column = self.feature * np.intp(n_rows)  # offset of the values of a node's feature
        is_leaf = self.feature < 0
        children = np.stack([self.right, self.left], axis=1).ravel().astype(np.intp)
        total = np.full(n_rows, float(self.base[0]))
        row = np.tile(np.arange(n_rows), self.start.size)
        node = np.repeat(self.start.astype(np.intp), n_rows)
        while node.size:
            # Rows that have reached a leaf are dropped: few branches are as deep as the deepest.
            ends = is_leaf.take(node)
            leaves = self.value.take(node[ends])
            total += np.bincount(row[ends], weights=leaves, minlength=n_rows)
            goes_on = np.flatnonzero(~ends)
            row, node = row.take(goes_on), node.take(goes_on)
            is_left = values.take(column.take(node) + row) <= self.threshold.take(node)
            node = children.take(2 * node + is_left)
        return total
