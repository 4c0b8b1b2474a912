"""Seeded watershed: divide a map into hills around its local maxima, and merge these by saddle.

Steepest ascent leads from each pixel to a local maximum; the pixels that reach the same maximum are
its hill. Merging hills by falling saddle is a watershed by flooding without a pixel queue: Python
loops over hills only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Hills:
    """The hills of a map, numbered from 0.

    Attributes
    ----------
    levels : tuple of float
        Falling.
    labels : (H, W) int32
        The hill of each pixel; -1 outside the mask.
    area : (n_hills,) int64
        In pixels.
    area_above : (n_levels, n_hills) int64
        The number of pixels above each level.
    first, second : (n_pairs,) int64
        The hills that touch, each pair once.
    saddle : (n_pairs,) float64
        The height of the highest path between them.
    """

    levels: tuple[float, ...]
    labels: Labels
    area: Integers
    area_above: Integers
    first: Integers
    second: Integers
    saddle: Floats

    def paint(self, values: Integers) -> Labels:
        """Return a map with one value per hill, (H, W) int32; 0 outside the mask."""
        # The appended entry is that of label -1, the pixels outside the mask.
        return np.append(values, 0).astype(np.int32).take(self.labels)


@dataclass(frozen=True)
class Joined:
    """Hills merged into basins, and basins into unions.

    Attributes
    ----------
    n_basins : int
    basin_of_hill : (n_hills,) int64
        From 1; 0 where a hill is connected to no seed.
    unions : (n_unions, 2) int64
        The two parts of each: a basin from 0, or n_basins + k for union k.
    saddle : (n_unions,) float64
        The saddle between the two parts, falling.
    """

    n_basins: int
    basin_of_hill: Integers
    unions: Integers
    saddle: Floats


def find_hills(
    height: NDArray[np.float32], mask: NDArray[np.bool_], levels: tuple[float, ...]
) -> Hills:
    """Find the hills of a map.

    Parameters
    ----------
    height : (H, W) float32
        Non-negative.
    mask : (H, W) bool
        The foreground.
    levels : tuple of float
        The levels at which regions can become seeds, falling.

    Notes
    -----
    The ascent steps to the highest of the four neighbours; ties go to the pixel that comes later in
    the image, so that every ascent ends.
    """
    padded = np.pad(np.where(mask, height, np.float32(-1)), 1, constant_values=-1)
    width, flat = padded.shape[1], padded.ravel()
    pixels = np.flatnonzero(flat >= 0)
    top = _climb(flat, pixels, width)
    is_top = top == np.arange(pixels.size)
    hill = (np.cumsum(is_top) - 1)[top]
    labels = np.full(flat.size, -1, np.int32)
    labels[pixels] = hill
    own = flat.take(pixels)
    n_hills = int(np.count_nonzero(is_top))
    first, second, saddle = _contacts(flat, labels, pixels, width)
    return Hills(
        levels,
        labels.reshape(padded.shape)[1:-1, 1:-1],
        np.bincount(hill, minlength=n_hills),
        np.stack([np.bincount(hill[own > level], minlength=n_hills) for level in levels]),
        *_merge_pairs(first, second, saddle, n_hills),
    )


def _climb(flat: NDArray[np.float32], pixels: Integers, width: int) -> Integers:
    """Return the index in ``pixels`` of the local maximum that each pixel ascends to."""
    best, way = flat.take(pixels), pixels
    for step in (-width, -1, 1, width):
        there = flat.take(pixels + step)
        is_higher = there > best if step < 0 else there >= best
        best, way = np.where(is_higher, there, best), np.where(is_higher, pixels + step, way)
    position = np.zeros(flat.size, np.int64)
    position[pixels] = np.arange(pixels.size)
    top = position.take(way)
    while True:
        further = top.take(top)
        if (further == top).all():
            return top
        top = further


def _contacts(
    flat: NDArray[np.float32], labels: Labels, pixels: Integers, width: int
) -> tuple[Labels, Labels, NDArray[np.float32]]:
    """List the neighbouring pixels of different hills: both hills, and the lower of the heights."""
    contacts = []
    own = labels.take(pixels)
    for step in (1, width):
        other = labels.take(pixels + step)
        touch = np.flatnonzero((own != other) & (other >= 0))
        here = pixels[touch]
        level = np.minimum(flat.take(here), flat.take(here + step))
        a, b = own[touch], other[touch]
        contacts.append((np.minimum(a, b), np.maximum(a, b), level))
    first, second, saddle = (np.concatenate(part) for part in zip(*contacts, strict=True))
    return first, second, saddle


def _merge_pairs(
    first: Labels, second: Labels, saddle: NDArray[np.float32], n_hills: int
) -> tuple[Integers, Integers, Floats]:
    """Keep each pair once, with its highest saddle."""
    keys, index = np.unique(first.astype(np.int64) * n_hills + second, return_inverse=True)
    highest = np.zeros(keys.size)
    np.maximum.at(highest, index, saddle)
    return keys // max(n_hills, 1), keys % max(n_hills, 1), highest


def join_hills(hills: Hills, *, min_seed_px: int) -> Joined:
    """Merge hills by falling saddle into basins, one for each seed, and the basins into unions.

    Notes
    -----
    At each level, from the highest down, every region connected above it that has at least
    ``min_seed_px`` pixels above it and holds no seed yet becomes a seed. A hill without a seed
    joins the basin that it first merges with.
    """
    regions = _Regions(hills, max(min_seed_px, 1))
    order = np.argsort(-hills.saddle, kind="stable")
    columns = (hills.first, hills.second, hills.saddle)
    level = 0
    for first, second, saddle in zip(*(c[order].tolist() for c in columns), strict=True):
        while level < len(hills.levels) and saddle <= hills.levels[level]:
            regions.plant_seeds(level)
            level += 1
        regions.join(first, second, saddle)
    for rest in range(level, len(hills.levels)):
        regions.plant_seeds(rest)
    n_basins = regions.n_seeds
    pairs = np.array([union[:2] for union in regions.unions], np.int64).reshape(-1, 2)
    return Joined(
        n_basins,
        np.array(regions.basin_of, np.int64),
        np.where(pairs >= 0, pairs, n_basins + ~pairs),
        np.array([union[2] for union in regions.unions], np.float64),
    )


class _Regions:
    """Regions of hills that are connected above a falling level.

    Attributes
    ----------
    basin_of : list of int
        The basin of each hill; 0 as long as its region holds no seed.
    unions : list of (int, int, float)
        The two candidates that were merged, and their saddle: a basin from 0, or ~n for union n.
    """

    def __init__(self, hills: Hills, min_seed_px: int) -> None:
        n_hills = hills.area_above.shape[1]
        self.basin_of = [0] * n_hills
        self.unions: list[tuple[int, int, float]] = []
        self.n_seeds = 0
        self._min_seed_px = min_seed_px
        self._root = list(range(n_hills))
        # Indexed by the root of a region: its largest candidate, or its hills while it has none.
        self._candidate: list[int | None] = [None] * n_hills
        self._hills = [[hill] for hill in range(n_hills)]
        self._area_above = hills.area_above.copy()
        self._has_no_seed = np.ones(n_hills, bool)

    def _find(self, hill: int) -> int:
        root = self._root
        while root[hill] != hill:
            root[hill] = root[root[hill]]
            hill = root[hill]
        return hill

    def plant_seeds(self, level: int) -> None:
        """Turn regions that hold no seed and are large enough above a level into seeds."""
        is_seed = self._has_no_seed & (self._area_above[level] >= self._min_seed_px)
        for region in np.flatnonzero(is_seed).tolist():
            self._candidate[region] = self.n_seeds
            self.n_seeds += 1
            self._assign(region, self.n_seeds)
        self._has_no_seed[is_seed] = False

    def _assign(self, region: int, basin: int) -> None:
        for hill in self._hills[region]:
            self.basin_of[hill] = basin
        self._hills[region] = []

    def join(self, first: int, second: int, saddle: float) -> None:
        """Merge the regions of two touching hills."""
        a, b = self._find(first), self._find(second)
        if a == b:
            return
        of_a, of_b = self._candidate[a], self._candidate[b]
        if of_a is None and of_b is None:
            smaller, larger = sorted((self._hills[a], self._hills[b]), key=len)
            larger += smaller
            self._hills[a], self._hills[b] = larger, []
            self._area_above[:, a] += self._area_above[:, b]
        elif of_a is None:
            self._assign(a, self.basin_of[second])
            self._candidate[a] = of_b
            self._has_no_seed[a] = False
        elif of_b is None:
            self._assign(b, self.basin_of[first])
        else:
            self._candidate[a] = ~len(self.unions)
            self.unions.append((of_a, of_b, saddle))
        self._root[b] = a
        self._has_no_seed[b] = False
