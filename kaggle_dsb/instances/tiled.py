"""Find the nuclei of an image that is too large to process as a whole."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.instances.finder import NucleusFinder
from kaggle_dsb.instances.outline_rule import OutlineRule, is_glowing
from kaggle_dsb.instances.probability import mean_over_scales

LARGE_PX = 2**23
"""Images of more pixels are processed in tiles: memory holds a few arrays of this size, not
dozens."""

TILE_PX = 1024
MARGIN_PX = 192  # about as wide as the largest nucleus

Slices = tuple[slice, slice]


def find_nuclei(
    finder: NucleusFinder, probability: NDArray[np.floating], image: NDArray[np.uint8]
) -> Labels:
    """Find the nuclei of an image of any size; large images are processed tile by tile.

    Parameters
    ----------
    finder : NucleusFinder
    probability : (n_scales, 3, H, W) float32 or float16, in [0, 1]
        Body, touching border, depth, as predicted at each scale.
    image : (H, W, 3) uint8

    Returns
    -------
    labels : (H, W) int32
    """
    if image.shape[0] * image.shape[1] <= LARGE_PX:
        return finder.find(probability, image)
    return find_in_tiles(finder, probability, image)


def find_in_tiles(
    finder: NucleusFinder, probability: NDArray[np.floating], image: NDArray[np.uint8]
) -> Labels:
    """Find the nuclei of an image in overlapping tiles; see `find_nuclei`.

    Notes
    -----
    A nucleus is taken from the tile whose core, the tile without its margin, holds its centroid; it
    is whole there, since the margin is wider than a nucleus. If two tiles segment a nucleus a
    little differently and both hold its centroid, the second version is kept only if most of its
    pixels are new.
    """
    glows = is_glowing(mean_over_scales(probability[:, 0]), image)
    threshold = finder.outline.threshold(image, is_glowing=glows)
    # The same in all tiles.
    finder = replace(finder, outline=OutlineRule(threshold, threshold), is_glowing=glows)
    labels = np.zeros(image.shape[:2], np.int32)
    n_nuclei = 0
    for core, window in _tiles(image.shape[0], image.shape[1]):
        part = np.ascontiguousarray(probability[:, :, window[0], window[1]], dtype=np.float32)
        found = finder.find(part, np.ascontiguousarray(image[window]))
        kept = _centred_in(found, core, window) & _mostly_new(found, labels[window])
        number = np.zeros(kept.size, np.int32)
        number[kept] = n_nuclei + 1 + np.arange(np.count_nonzero(kept))
        n_nuclei += int(np.count_nonzero(kept))
        place = labels[window]
        np.copyto(place, number[found], where=(place == 0) & kept[found])
    return labels


def _tiles(height: int, width: int) -> Iterator[tuple[Slices, Slices]]:
    """Yield the core of each tile, and its window: the core with the margin."""
    for top in range(0, height, TILE_PX):
        for left in range(0, width, TILE_PX):
            core = np.s_[top : min(top + TILE_PX, height), left : min(left + TILE_PX, width)]
            window = tuple(
                slice(max(part.start - MARGIN_PX, 0), min(part.stop + MARGIN_PX, side))
                for part, side in zip(core, (height, width), strict=True)
            )
            yield core, (window[0], window[1])


def _centred_in(labels: Labels, core: Slices, window: Slices) -> NDArray[np.bool_]:
    """Return whether the centroid of each label lies in the core, (n + 1,); False for label 0."""
    area = np.maximum(np.bincount(labels.ravel()), 1)
    inside = np.ones(area.size, bool)
    inside[0] = False
    for axis, (of_core, of_window) in enumerate(zip(core, window, strict=True)):
        at: NDArray[np.int64] = np.indices(labels.shape, sparse=True)[axis]
        centre = np.bincount(labels.ravel(), np.broadcast_to(at, labels.shape).ravel()) / area
        centre += of_window.start
        inside &= (centre >= of_core.start - 0.5) & (centre < of_core.stop - 0.5)
    return inside


def _mostly_new(labels: Labels, taken: Labels) -> NDArray[np.bool_]:
    """Return whether most pixels of each label are not taken yet, (n + 1,)."""
    area = np.bincount(labels.ravel())
    shared = np.bincount(labels[taken > 0], minlength=area.size)
    return 2 * shared < area
