"""Cut a patch around each candidate nucleus: the pixels that a scorer's network sees."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Plane
from kaggle_dsb.instances.candidates import CandidateTree
from kaggle_dsb.instances.features import opponent_colours
from kaggle_dsb.instances.hills import Integers
from kaggle_dsb.instances.outline import relative_grey
from kaggle_dsb.instances.outline_rule import is_glowing
from kaggle_dsb.instances.regions import Region

PATCH_PX = 32
MARGIN, EXTRA_PX = 1.6, 4
"""The side of a patch is the longer side of the candidate's bounding box times the first, plus the
second in pixels; so all candidates appear about equally large."""

PATCH_CHANNELS = ("grey", "membership", "body", "border", "depth", "redness", "greenness", "mask")
"""The channels of a patch. The grey level of dark nuclei is inverted; the mask is the candidate."""

Patches = NDArray[np.uint8]


def cut_patches(
    tree: CandidateTree, probability: NDArray[np.float32], image: NDArray[np.uint8]
) -> Patches:
    """Cut a patch around each candidate.

    Parameters
    ----------
    tree : CandidateTree
    probability : (3, H, W) float32
        The one that the tree was built from.
    image : (H, W, 3) uint8

    Returns
    -------
    (n_candidates, 32, 32, 8) uint8
        In the order of `PATCH_CHANNELS`; 0 beyond the image, and all 0 for a candidate without
        pixels.
    """
    planes = _planes(tree, probability, image)
    patches = np.zeros((tree.n_candidates, PATCH_PX, PATCH_PX, len(PATCH_CHANNELS)), np.uint8)
    boxes = _bounding_boxes(tree)
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    for candidate in np.flatnonzero(sides > 0).tolist():
        side = int(MARGIN * sides[candidate]) + EXTRA_PX
        top, left = ((boxes[candidate, :2] + boxes[candidate, 2:] - side) // 2).tolist()
        first, second, labels = (
            _cut_square(plane, top, left, side) for plane in (*planes, tree.labels)
        )
        is_own = (labels >= tree.first[candidate]) & (labels <= tree.last[candidate])
        second[..., 3] = is_own * np.uint8(255)
        method = cv2.INTER_AREA if side > PATCH_PX else cv2.INTER_LINEAR
        patches[candidate, ..., :4] = cv2.resize(first, (PATCH_PX, PATCH_PX), interpolation=method)
        patches[candidate, ..., 4:] = cv2.resize(second, (PATCH_PX, PATCH_PX), interpolation=method)
    return patches


def _cut_square(plane: NDArray[Any], top: int, left: int, side: int) -> NDArray[Any]:
    """Cut a square from a plane (H, W, ...); beyond the plane, it is 0."""
    square = np.zeros((side, side, *plane.shape[2:]), plane.dtype)
    window = plane[max(top, 0) : top + side, max(left, 0) : left + side]
    inside = square[max(-top, 0) :, max(-left, 0) :]
    inside[: window.shape[0], : window.shape[1]] = window
    return square


def _planes(
    tree: CandidateTree, probability: NDArray[np.float32], image: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the channels as two images (H, W, 4), of which OpenCV resizes all channels at once.

    The last channel, the mask, stays 0.
    """
    grey = relative_grey(image)
    if not is_glowing(probability[0], image):
        grey = 1 - grey
    colours = opponent_colours(image)
    body, border, depth = probability
    first = [0.8 * grey + 0.1, 0.6 * tree.membership + 0.2, body, border]
    second = [depth, colours["redness"] / 2 + 0.5, colours["greenness"] / 2 + 0.5, 0 * depth]
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
