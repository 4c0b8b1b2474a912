"""Build a tree of candidate nuclei from a probability map.

The foreground is over-segmented into watershed basins, one for each seed. Neighbouring basins are
then merged, the pair with the highest saddle first, until each connected part of the mask is one
region. Each basin and each union on the way is a candidate nucleus;
`kaggle_dsb.instances.selection` chooses among them. Basins are numbered so that each candidate is a
range of consecutive basins: sums over thousands of candidates then cost little more than sums over
the basins.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.instances.hills import Floats, Integers, Joined, find_hills, join_hills
from kaggle_dsb.instances.outline import find_membership
from kaggle_dsb.instances.watershed import seed_height

LEAST_BODY = 0.1
"""The mask that is divided into basins is where the body probability is above this."""

SEED_LEVELS = tuple(np.linspace(0.95, 0.2, 16).round(3).tolist())
"""Falling levels. At each, a connected region above it that is large enough and holds no seed yet
becomes a seed."""


@dataclass(frozen=True)
class CandidateTree:
    """Candidate nuclei of an image, each a union of basins.

    Attributes
    ----------
    basins : (H, W) int32
        1..n_basins in the mask; 0 outside, and in parts of it without a seed.
    membership : (H, W) float32
        How far each pixel belongs to the nucleus of its basin.
    labels : (H, W) int32
        The basins where the membership is above the outline threshold, else 0.
    first, last : (n_candidates,) int64
        Each candidate is the union of the basins from ``first`` to ``last``.
    children : (n_candidates, 2) int64
        The two candidates that each is the union of, the one with the lower basins first; -1 for
        the first n_basins candidates, which are the basins themselves. Children precede their
        parents.
    saddle : (n_candidates,) float64
        The height of the saddle between the two children; 1 for a basin.
    """

    basins: Labels
    membership: NDArray[np.float32]
    labels: Labels
    first: Integers
    last: Integers
    children: Integers
    saddle: Floats

    @cached_property
    def n_basins(self) -> int:
        """The number of basins."""
        return int(np.count_nonzero(self.children[:, 0] < 0))

    @property
    def n_candidates(self) -> int:
        """The number of candidates."""
        return int(self.saddle.size)

    def parent(self) -> Integers:
        """Return the parent of each candidate, (n_candidates,); -1 for a root."""
        parent = np.full(self.n_candidates, -1)
        parent[self.children[self.n_basins :]] = np.arange(self.n_basins, self.n_candidates)[
            :, None
        ]
        return parent

    def end_at(self, outline_threshold: float) -> "CandidateTree":
        """Return the tree with its labels at another outline threshold."""
        labels = np.where(self.membership > outline_threshold, self.basins, 0)
        return replace(self, labels=labels)

    def add_up(self, of_basins: NDArray[Any]) -> Floats:
        """Sum a quantity over the basins of each candidate, (n_candidates,).

        Parameters
        ----------
        of_basins : (1 + n_basins,)
            A value for each basin, preceded by one for the background, which is ignored.
        """
        cumulated = np.cumsum(of_basins, dtype=np.float64)
        total: Floats = cumulated[self.last] - cumulated[self.first - 1]
        return total


def find_candidates(
    probability: NDArray[np.float32],
    grey: NDArray[np.float32],
    *,
    min_seed_px: int,
    outline_threshold: float,
) -> CandidateTree:
    """Build the tree of candidates.

    Parameters
    ----------
    probability : (3, H, W) float32, in [0, 1]
        Body, touching border, depth.
    grey : (H, W) float32
        The image's grey levels, as `kaggle_dsb.instances.outline.relative_grey` returns them.
    min_seed_px : int
        The minimum area of a seed.
    outline_threshold : float
        The membership at which the outline of a candidate is drawn.
    """
    body, height = probability[0], seed_height(probability)
    hills = find_hills(height, body > LEAST_BODY, SEED_LEVELS)
    joined = join_hills(hills, min_seed_px=min_seed_px)
    number = _number_by_branch(joined)
    basins = hills.paint(np.append(0, number)[joined.basin_of_hill])
    renumbered = np.append(number - 1, joined.n_basins + np.arange(len(joined.unions)))
    children = np.concatenate([np.full((joined.n_basins, 2), -1), renumbered[joined.unions]])
    saddle = np.concatenate([np.ones(joined.n_basins), joined.saddle])
    first, last = _ranges(joined.n_basins, children)
    membership = find_membership(body, basins, grey)
    tree = CandidateTree(basins, membership, basins, first, last, children, saddle)
    return tree.end_at(outline_threshold)


def _number_by_branch(joined: Joined) -> Integers:
    """Number the basins from 1 so that each candidate is a range of them, (n_basins,)."""
    n_basins, unions = joined.n_basins, joined.unions.tolist()
    size = [1] * n_basins
    for a, b in unions:
        size.append(size[a] + size[b])
    start, free = [0] * len(size), 1
    for candidate in reversed(range(len(size))):
        if not start[candidate]:  # a root
            start[candidate], free = free, free + size[candidate]
        if candidate >= n_basins:
            a, b = unions[candidate - n_basins]
            start[a], start[b] = start[candidate], start[candidate] + size[a]
    return np.array(start[:n_basins], np.int64)


def _ranges(n_basins: int, children: Integers) -> tuple[Integers, Integers]:
    """Return the first and the last basin of each candidate."""
    first = list(range(1, n_basins + 1))
    last = list(first)
    for a, b in children[n_basins:].tolist():
        first.append(first[a])
        last.append(last[b])
    return np.array(first, np.int64), np.array(last, np.int64)
