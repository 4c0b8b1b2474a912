"""Every way to cut a probability map that is worth a thought: a tree of candidate nuclei.

The map is cut as finely as its seeds allow, into basins. Neighbouring basins are then joined, the
pair with the highest saddle between them first, until each piece of the mask is one. Each basin and
each union on the way is a candidate nucleus, in versions that end further out or further in. Which
of them to keep is decided elsewhere; here they are described by numbers that can be added over
basins, so that thousands of candidates cost little more than the basins.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from skimage.segmentation import watershed

from kaggle_dsb.instances.outline import find_membership
from kaggle_dsb.instances.watershed import seed_height

LEAST_BODY = 0.1
"""The mask that is cut into basins is where the body's probability is above this."""

LEVELS = (0.2, 0.42, 0.5)
"""Down to which membership a candidate may reach: one version each, the furthest out first."""

SEED_LEVELS = tuple(np.linspace(0.95, 0.2, 16).round(3).tolist())

Labels = NDArray[np.int32]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CandidateTree:
    """Candidate nuclei of an image, each a union of basins.

    Attributes
    ----------
    basins : (H, W) int32
        1..n_basins in the mask; 0 outside, and in parts of it without a seed.
    membership : (H, W) float32
        How far each pixel belongs to its basin's nucleus, for the versions.
    children : (n_candidates, 2) int64
        The two candidates that each is the union of; -1 for the first n_basins, which are the
        basins themselves. Children stand before their parents.
    saddle : (n_candidates,) float64
        The level at which the two children join; 1 for a basin.
    members : (n_candidates, n_basins) sparse bool
        Which basins each is the union of.
    """

    basins: Labels
    membership: NDArray[np.float32]
    children: NDArray[np.int64]
    saddle: Floats
    members: sparse.csr_array

    @property
    def n_basins(self) -> int:
        """How many basins there are."""
        return int(self.members.shape[1])

    @property
    def n_candidates(self) -> int:
        """How many candidates there are, their versions not counted."""
        return int(self.members.shape[0])

    def parent(self) -> NDArray[np.int64]:
        """Give the candidate that each is a child of, (n_candidates,); -1 for a root."""
        parent = np.full(self.n_candidates, -1)
        for candidate, pair in enumerate(self.children):
            parent[pair[pair >= 0]] = candidate
        return parent

    def version(self, level: float) -> Labels:
        """Give the basins as far as their pixels' membership is above a level."""
        return np.where(self.membership > level, self.basins, 0)


def find_candidates(
    probability: NDArray[np.float32], grey: NDArray[np.float32], *, min_seed_px: int
) -> CandidateTree:
    """Build the tree of candidates.

    Parameters
    ----------
    probability : (3, H, W) float32, in [0, 1]
        Body, touching border, depth.
    grey : (H, W) float32
        The image's grey levels, as `kaggle_dsb.instances.outline.relative_grey` gives them.
    min_seed_px : int
        A seed has at least so many pixels.
    """
    body, height = probability[0], seed_height(probability)
    mask = body > LEAST_BODY
    seeds = find_seeds(np.where(mask, height, 0), min_seed_px=min_seed_px)
    basins = watershed(-height, seeds, mask=mask)
    first, second, saddle = _neighbours(basins, height)
    n_basins = int(basins.max())
    children, levels = _join(n_basins, first, second, saddle)
    return CandidateTree(
        basins,
        find_membership(body, basins, grey),
        children,
        np.concatenate([np.ones(n_basins), levels]),
        _members(children),
    )


def find_seeds(height: NDArray[np.float32], *, min_seed_px: int) -> Labels:
    """Give a seed to every hill of a map that stands alone at some level.

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


def _neighbours(
    basins: Labels, height: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
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
    found = []
    for a, b in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        one, other = basins[a], basins[b]
        touch = (one != other) & (one > 0) & (other > 0)
        level = np.minimum(height[a][touch], height[b][touch])
        found.append(
            (np.minimum(one[touch], other[touch]), np.maximum(one[touch], other[touch]), level)
        )
    return found


def _join(
    n_basins: int, first: NDArray[np.int64], second: NDArray[np.int64], saddle: Floats
) -> tuple[NDArray[np.int64], list[float]]:
    """Join basins by falling saddle; give all candidates' children and the unions' saddles."""
    root = list(range(n_basins))  # of a candidate: the largest union it is in so far

    def find(candidate: int) -> int:
        while root[candidate] != candidate:
            root[candidate] = root[root[candidate]]
            candidate = root[candidate]
        return candidate

    children, levels = [(-1, -1)] * n_basins, []
    for pair in np.argsort(-saddle, kind="stable"):
        one, other = find(int(first[pair])), find(int(second[pair]))
        if one != other:
            root[one] = root[other] = len(root)
            root.append(len(root))
            children.append((one, other))
            levels.append(float(saddle[pair]))
    return np.array(children, np.int64).reshape(-1, 2), levels


def _members(children: NDArray[np.int64]) -> sparse.csr_array:
    n_basins = int(np.count_nonzero(children[:, 0] < 0))
    inside: list[list[int]] = []
    for candidate, (one, other) in enumerate(children.tolist()):
        inside.append([candidate] if one < 0 else inside[one] + inside[other])
    lengths = np.array([len(one) for one in inside], np.int64)
    indices = np.concatenate([*inside, []]).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return sparse.csr_array((np.ones(indices.size), indices, starts), shape=(len(inside), n_basins))
