"""What the network learns to see: the body of nuclei, and the border where two of them touch."""

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.competition.labels import relabel

CHANNELS = ("body", "border")
MAX_BORDER_PX = 4


def border_width(area_px: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give the half width of the touching border, in pixels, for nuclei of given areas.

    A tenth of the diameter of the disc of that area, between 1 and 4 pixels: a border as wide for
    a nucleus of 8 pixels as for one of 80 would leave nothing of the small one.
    """
    diameter = np.sqrt(4 * area_px / np.pi)
    return np.clip(np.rint(diameter / 10), 1, MAX_BORDER_PX).astype(np.int64)


def make_targets(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Make the network's targets from a label image.

    Parameters
    ----------
    labels : (H, W) int32
        Gaps are accepted.

    Returns
    -------
    targets : (2, H, W) float32
        0 or 1. Channel 0 is the body, every pixel of a nucleus. Channel 1 is the touching border:
        the pixels that have two nuclei within the width that belongs to the size of the smaller.
    """
    dense = relabel(labels)
    body = dense > 0
    targets = np.zeros((len(CHANNELS), *dense.shape), np.float32)
    targets[0] = body
    if dense.max() > 1:
        targets[1] = _touching_border(dense, body)
    return targets


def _touching_border(labels: NDArray[np.int32], body: NDArray[np.bool_]) -> NDArray[np.bool_]:
    area = np.bincount(labels.ravel()).astype(np.float64)
    width_of = border_width(area)
    border = np.zeros(labels.shape, bool)
    # OpenCV's morphology knows 16-bit integers but not 32-bit ones.
    highest = labels.astype(np.uint16)
    lowest = np.where(body, labels, np.iinfo(np.uint16).max).astype(np.uint16)
    for width in range(1, MAX_BORDER_PX + 1):
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
        high, low = cv2.dilate(highest, disc), cv2.erode(lowest, disc)
        touching = (high != low) & (high > 0)
        if not touching.any():
            continue
        smaller = np.minimum(width_of[high], width_of[np.where(touching, low, 0)])
        border |= touching & (smaller >= width)
    return border
