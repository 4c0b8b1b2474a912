"""Cut a patch around each candidate nucleus: the pixels that a scorer's network sees."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Plane
from kaggle_dsb.instances.candidates import CandidateTree
from kaggle_dsb.instances.colours import Colours
from kaggle_dsb.instances.hills import Integers
from kaggle_dsb.instances.regions import Region

PATCH_PX = 32
SIDE_FACTOR, EXTRA_PX = 1.6, 4
"""The side of a patch is the longer side of the candidate's bounding box times the first, plus the
second in pixels; so all candidates appear about equally large."""

COARSE_PX = 256
"""Patches of twice this side or more, of unions of many nuclei, are cut from every second, third …
row and column, so that the work for a patch is bounded."""

PATCH_CHANNELS = ("grey", "membership", "body", "border", "depth", "redness", "greenness", "mask")
"""The channels of a patch. The grey level of dark nuclei is inverted; the mask is the candidate."""
GREY_CHANNEL, MASK_CHANNEL = PATCH_CHANNELS.index("grey"), PATCH_CHANNELS.index("mask")
COLOUR_CHANNELS = slice(PATCH_CHANNELS.index("redness"), PATCH_CHANNELS.index("greenness") + 1)
HALF = len(PATCH_CHANNELS) // 2  # OpenCV resizes four channels at once

Patches = NDArray[np.uint8]


def cut_patches(
    tree: CandidateTree,
    probability: NDArray[np.float32],
    colours: Colours,
    candidates: Integers,
    *,
    is_glowing: bool,
) -> Patches:
    """Cut a patch around each of some candidates.

    Parameters
    ----------
    tree : CandidateTree
    probability : (3, H, W) float32
        The one that the tree was built from.
    colours : Colours
        Those of the image.
    candidates : (n,) int64
        Their indices in the tree.
    is_glowing : bool
        Whether the nuclei of the image are brighter than the background.

    Returns
    -------
    (n, 32, 32, 8) uint8
        In the order of `PATCH_CHANNELS`; 0 beyond the image, and all 0 for a candidate without
        pixels.
    """
    planes = _planes(tree, probability, colours, is_glowing=is_glowing)
    patches = np.zeros((candidates.size, PATCH_PX, PATCH_PX, len(PATCH_CHANNELS)), np.uint8)
    starts, stops = np.split(_bounding_boxes(tree)[candidates], 2, axis=1)
    lengths = (stops - starts).max(axis=1)
    for number in np.flatnonzero(lengths > 0).tolist():
        side = int(SIDE_FACTOR * lengths[number]) + EXTRA_PX
        top, left = ((starts[number] + stops[number] - side) // 2).tolist()
        first, second, labels = (
            _cut_square(plane, top, left, side) for plane in (*planes, tree.labels)
        )
        candidate = candidates[number]
        is_own = (labels >= tree.first[candidate]) & (labels <= tree.last[candidate])
        second[..., MASK_CHANNEL - HALF] = is_own * np.uint8(255)
        method = cv2.INTER_AREA if side > PATCH_PX else cv2.INTER_LINEAR
        patches[number, ..., :HALF] = cv2.resize(first, (PATCH_PX, PATCH_PX), interpolation=method)
        patches[number, ..., HALF:] = cv2.resize(second, (PATCH_PX, PATCH_PX), interpolation=method)
    return patches


def _cut_square(plane: NDArray[Any], top: int, left: int, side: int) -> NDArray[Any]:
    """Cut a square from a plane (H, W, ...); beyond the plane, it is 0."""
    step = max(side // COARSE_PX, 1)
    square = np.zeros((-(-side // step), -(-side // step), *plane.shape[2:]), plane.dtype)
    window = plane[max(top, 0) : top + side : step, max(left, 0) : left + side : step]
    inside = square[max(-top, 0) // step :, max(-left, 0) // step :]
    inside[: window.shape[0], : window.shape[1]] = window
    return square


def _planes(
    tree: CandidateTree,
    probability: NDArray[np.float32],
    colours: Colours,
    *,
    is_glowing: bool,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the channels in two halves, (H, W, 4) each; the mask stays 0."""
    grey = colours.grey if is_glowing else 1 - colours.grey
    body, border, depth = probability
    first = [0.8 * grey + 0.1, 0.6 * tree.membership + 0.2, body, border]
    second = [depth, colours.redness / 2 + 0.5, colours.greenness / 2 + 0.5, 0 * depth]
    return _bytes(first), _bytes(second)


def _bytes(planes: list[Plane]) -> NDArray[np.uint8]:
    """Stack planes of values in [0, 1] as channels of 8 bits, (H, W, n)."""
    return np.dstack([np.clip(plane * 255, 0, 255).astype(np.uint8) for plane in planes])


def _bounding_boxes(tree: CandidateTree) -> Integers:
    """Return the bounding box of each candidate: top, left, bottom, right, (n_candidates, 4).

    The last two are excluded; without pixels, the box is empty or negative.
    """
    region = Region(tree, tree.labels)
    height, width = tree.labels.shape
    place = np.indices(tree.labels.shape, np.float32)
    rows, columns = place[0], place[1]
    ends = [
        height - region.greatest(height - rows),
        width - region.greatest(width - columns),
        region.greatest(rows + 1),
        region.greatest(columns + 1),
    ]
    return np.stack(ends, axis=1).astype(np.int64)
