"""Every way to cut a probability map that is worth a thought: a tree of candidate nuclei.

The map is cut as finely as its seeds allow, into basins. Neighbouring basins are then joined, the
pair with the highest saddle between them first, until each piece of the mask is whole. Each basin
and each union on the way is a candidate nucleus. Which of them to keep is decided elsewhere; here
they are made so that what adds up over basins costs little more for thousands of candidates than
for the basins: each candidate is a range of consecutive basins.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import watershed

from kaggle_dsb.instances.outline import find_membership
from kaggle_dsb.instances.watershed import seed_height

LEAST_BODY = 0.1
"""The mask that is cut into basins is where the body's probability is above this."""

SEED_LEVELS = tuple(np.linspace(0.95, 0.2, 16).round(3).tolist())

Labels = NDArray[np.int32]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class CandidateTree:
    """Candidate nuclei of an image, each a union of basins.

    Attributes
    ----------
    basins : (H, W) int32
        1..n_basins in the mask; 0 outside, and in parts of it without a seed.
    membership : (H, W) float32
        How far each pixel belongs to its basin's nucleus.
    labels : (H, W) int32
        The basins as far as their membership is above the outline threshold: where a nucleus ends.
    first, last : (n_candidates,) int64
        Each candidate is the union of the basins from ``first`` to ``last``.
    children : (n_candidates, 2) int64
        The two candidates that each is the union of, the one with the lower basins first; -1 for
        the first n_basins candidates, which are the basins themselves. Children come before their
        parents.
    saddle : (n_candidates,) float64
        The level at which the two children join; 1 for a basin.
    """

    basins: Labels
    membership: NDArray[np.float32]
    labels: Labels
    first: Integers
    last: Integers
    children: Integers
    saddle: Floats

    @property
    def n_basins(self) -> int:
        """The number of basins."""
        return int(np.count_nonzero(self.children[:, 0] < 0))

    @property
    def n_candidates(self) -> int:
        """The number of candidates."""
        return int(self.saddle.size)

    def parent(self) -> Integers:
        """Return the candidate that each is a child of, (n_candidates,); -1 for a root."""
        parent = np.full(self.n_candidates, -1)
        parent[self.children[self.n_basins :]] = np.arange(self.n_basins, self.n_candidates)[
            :, None
        ]
        return parent

    def end_at(self, outline_threshold: float) -> "CandidateTree":
        """Return the tree with nuclei that end where the membership falls to a threshold."""
        labels = np.where(self.membership > outline_threshold, self.basins, 0)
        return replace(self, labels=labels)

    def add_up(self, of_basins: Floats) -> Floats:
        """Return the sum over the basins of each candidate, (n_candidates,).

        Parameters
        ----------
        of_basins : (1 + n_basins,)
            A number of each basin, preceded by one of the background, which counts nowhere.
        """
        before = np.cumsum(of_basins, dtype=np.float64)
        total: Floats = before[self.last] - before[self.first - 1]
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
        The least area of a seed.
    outline_threshold : float
        A nucleus ends where the membership falls to this.
    """
    body, height = probability[0], seed_height(probability)
    mask = body > LEAST_BODY
    seeds = find_seeds(np.where(mask, height, 0), min_seed_px=min_seed_px)
    basins = watershed(-height, seeds, mask=mask)
    n_basins = int(basins.max())
    children, saddle = _join(n_basins, *_neighbours(basins, height))
    number = _number_by_branch(n_basins, children)
    basins = np.concatenate([[0], number]).astype(np.int32)[basins]
    renumbered = np.concatenate([number - 1, np.arange(n_basins, saddle.size)])
    children[n_basins:] = renumbered[children[n_basins:]]
    membership = find_membership(body, basins, grey)
    first, last = _ranges(n_basins, children)
    tree = CandidateTree(basins, membership, basins, first, last, children, saddle)
    return tree.end_at(outline_threshold)


def find_seeds(height: NDArray[np.float32], *, min_seed_px: int) -> Labels:
    """Return a seed for every hill of a map that stands alone at some level.

    Parameters
    ----------
    height : (H, W) float32, in [0, 1]
    min_seed_px : int

    Returns
    -------
    labels : (H, W) int32
        From the highest of `SEED_LEVELS` down, each connected region that holds no seed yet and is
        large enough becomes one.
    """
    seeds = np.zeros(height.shape, np.int32)
    n_seeds = 0
    for level in SEED_LEVELS:
        n, regions, facts, _ = cv2.connectedComponentsWithStats(
            (height > level).astype(np.uint8), connectivity=4
        )
        is_new = facts[:, cv2.CC_STAT_AREA] >= min_seed_px
        is_new[np.unique(regions[seeds > 0])] = False
        is_new[0] = False
        number = np.zeros(n, np.int32)
        number[is_new] = n_seeds + 1 + np.arange(np.count_nonzero(is_new))
        n_seeds += int(np.count_nonzero(is_new))
        seeds = np.where(seeds > 0, seeds, number[regions])
    return seeds


def _neighbours(basins: Labels, height: NDArray[np.float32]) -> tuple[Integers, Integers, Floats]:
    """List the pairs of touching basins, from 0, with the highest saddle between them."""
    low, high, level = (
        np.concatenate(part) for part in zip(*_contacts(basins, height), strict=True)
    )
    n = int(basins.max()) + 1
    keys, index = np.unique(low.astype(np.int64) * n + high, return_inverse=True)
    saddle = np.zeros(keys.size)
    np.maximum.at(saddle, index, level)
    return keys // n - 1, keys % n - 1, saddle


def _contacts(
    basins: Labels, height: NDArray[np.float32]
) -> list[tuple[Labels, Labels, NDArray[np.float32]]]:
    """List the pairs of neighbouring pixels in different basins, along rows and along columns."""
    contacts = []
    for a, b in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        here, there = basins[a], basins[b]
        touch = (here != there) & (here > 0) & (there > 0)
        level = np.minimum(height[a][touch], height[b][touch])
        pair = here[touch], there[touch]
        contacts.append((np.minimum(*pair), np.maximum(*pair), level))
    return contacts


def _join(
    n_basins: int, first: Integers, second: Integers, saddle: Floats
) -> tuple[Integers, Floats]:
    """Join basins by falling saddle; return all candidates' children and saddles."""
    root = list(range(n_basins))  # of a candidate: the largest union it is in so far

    def find(candidate: int) -> int:
        while root[candidate] != candidate:
            root[candidate] = root[root[candidate]]
            candidate = root[candidate]
        return candidate

    children, levels = [(-1, -1)] * n_basins, [1.0] * n_basins
    for pair in np.argsort(-saddle, kind="stable"):
        a, b = find(int(first[pair])), find(int(second[pair]))
        if a != b:
            root[a] = root[b] = len(root)
            root.append(len(root))
            children.append((a, b))
            levels.append(float(saddle[pair]))
    return np.array(children, np.int64).reshape(-1, 2), np.array(levels)


def _number_by_branch(n_basins: int, children: Integers) -> Labels:
    """Return numbers from 1 for the basins by which each candidate is a range, (n_basins,)."""
    pairs = children.tolist()
    size, is_root = [1] * len(pairs), [True] * len(pairs)
    for candidate, (a, b) in enumerate(pairs[n_basins:], n_basins):
        size[candidate] = size[a] + size[b]
        is_root[a] = is_root[b] = False
    start, free = [0] * len(pairs), 1
    for candidate, (a, b) in reversed(list(enumerate(pairs))):
        if is_root[candidate]:
            start[candidate], free = free, free + size[candidate]
        if candidate >= n_basins:
            start[a], start[b] = start[candidate], start[candidate] + size[a]
    return np.array(start[:n_basins], np.int32)


def _ranges(n_basins: int, children: Integers) -> tuple[Integers, Integers]:
    """Return the first and the last basin of each candidate."""
    first = list(range(1, n_basins + 1))
    last = list(first)
    for a, b in children[n_basins:].tolist():
        first.append(first[a])
        last.append(last[b])
    return np.array(first, np.int64), np.array(last, np.int64)
