"""Sums over the pixels, and over the borders, of each candidate of a tree."""

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels, Plane
from kaggle_dsb.instances.candidates import CandidateTree
from kaggle_dsb.instances.hills import Floats, Integers


class Region:
    """Pixels of the candidates, for sums over each candidate.

    Parameters
    ----------
    tree : CandidateTree
    labels : (H, W) int32
        The basin that each pixel belongs to, 0 for none.

    Attributes
    ----------
    pixels : (n,) int64
        The flat indices of the pixels of any basin.
    count : (n_candidates,) float64
        The number of pixels of each candidate.
    """

    def __init__(self, tree: CandidateTree, labels: Labels) -> None:
        self._tree = tree
        self.pixels: Integers = np.flatnonzero(labels > 0)
        self._basin = labels.take(self.pixels).astype(np.int64)
        self.count = self.sum(None)

    def at(self, plane: Plane) -> NDArray[np.float64]:
        """Return the values of a plane at the pixels."""
        return plane.take(self.pixels).astype(np.float64)

    def sum(self, values: NDArray[np.float64] | NDArray[np.bool_] | None) -> Floats:
        """Sum values over the pixels of each candidate; count the pixels if there are none."""
        n = self._tree.n_basins + 1
        return self._tree.add_up(np.bincount(self._basin, weights=values, minlength=n))

    def mean(self, values: NDArray[np.float64]) -> Floats:
        """Return the mean of values over the pixels of each candidate; 0 if it has no pixels."""
        mean: Floats = self.sum(values) / np.maximum(self.count, 1)
        return mean

    def mean_and_deviation(self, plane: Plane) -> tuple[Floats, Floats]:
        """Return the mean and the standard deviation of a plane over each candidate."""
        values = self.at(plane)
        mean, mean_square = self.mean(values), self.mean(values * values)
        return mean, np.sqrt(np.maximum(mean_square - mean**2, 0))

    def greatest(self, plane: Plane) -> Floats:
        """Return the maximum of a non-negative plane over each candidate."""
        of_basin = np.zeros(self._tree.n_basins + 1)
        np.maximum.at(of_basin, self._basin, self.at(plane))
        greatest = of_basin[1:].tolist()
        for a, b in self._tree.children[self._tree.n_basins :].tolist():
            greatest.append(max(greatest[a], greatest[b]))
        return np.array(greatest)


def count_perimeter(tree: CandidateTree) -> Floats:
    """Count the pixel edges around each candidate, (n_candidates,), without the image border."""
    n, labels = tree.n_basins + 1, tree.labels
    sides = []
    for a, b in ((labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])):
        differ = np.flatnonzero(a != b)
        sides.append((a.ravel()[differ], b.ravel()[differ]))
    here, there = (np.concatenate(side).astype(np.int64) for side in zip(*sides, strict=True))
    around = tree.add_up(np.bincount(here, minlength=n) + np.bincount(there, minlength=n))
    # Edges between two basins of one candidate are interior and were counted from both sides.
    inner = (here > 0) & (there > 0)
    low, high = np.minimum(here, there)[inner], np.maximum(here, there)[inner]
    return around - 2 * _within(tree, low, high)


def _within(tree: CandidateTree, low: Integers, high: Integers) -> Floats:
    """Count the pairs of basins that lie in the same candidate, for each candidate.

    Notes
    -----
    The smallest union that contains two basins is the latest one among those that split the range
    between them. A pair is counted at the split of that union, and a candidate contains the pairs
    counted within its range.
    """
    joins = np.arange(tree.n_basins, tree.n_candidates)
    join_at = np.full(tree.n_basins + 1, tree.n_candidates)  # between a basin and the one before
    split = tree.first[tree.children[joins, 1]]
    join_at[split] = joins
    union = _greatest_between(join_at, low + 1, high)
    met = np.bincount(union, minlength=tree.n_candidates)
    count = np.zeros(tree.n_basins + 1)
    count[split] = met[joins]
    cumulated = np.cumsum(count)
    within: Floats = cumulated[tree.last] - cumulated[tree.first]
    return within


def _greatest_between(values: Integers, start: Integers, last: Integers) -> Integers:
    """Return the maximum of ``values[start : last + 1]`` for arrays of starts and lasts.

    Notes
    -----
    A sparse table: row k holds the maximum of each 2**k consecutive values, and two overlapping
    windows of one row cover any range.
    """
    table = [values]
    while len(table[-1]) > 2 ** (len(table) - 1):
        step = 2 ** (len(table) - 1)
        table.append(np.maximum(table[-1][:-step], table[-1][step:]))
    row = np.floor(np.log2(last - start + 1)).astype(np.int64)
    greatest = np.empty(start.size, np.int64)
    for k in np.unique(row):
        of_row = row == k
        a, b = start[of_row], last[of_row] - 2**k + 1
        greatest[of_row] = np.maximum(table[k][a], table[k][b])
    return greatest
