"""Training targets: body, touching border, and normalised distance to the edge."""

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.competition.labels import relabel
from kaggle_dsb.instances.probability import CHANNELS

N_BINARY = 2  # the first channels are 0 or 1, the depth lies between
MAX_BORDER_PX = 4


def border_width(area_px: NDArray[np.float64], *, share: float) -> NDArray[np.int64]:
    """Return the half width of the touching border, in pixels, for nuclei of given areas.

    A share of the diameter of the disc of that area, between 1 and 4 pixels: a border as wide for
    a nucleus of 8 pixels as for one of 80 would leave nothing of the small one.
    """
    diameter = np.sqrt(4 * area_px / np.pi)
    return np.clip(np.rint(diameter * share), 1, MAX_BORDER_PX).astype(np.int64)


def make_targets(labels: Labels, *, border_share: float) -> NDArray[np.float32]:
    """Make the network's targets from a label image.

    Parameters
    ----------
    labels : (H, W) int32
        Gaps are accepted.
    border_share : float
        The half width of the touching border, as a share of the smaller nucleus's diameter.

    Returns
    -------
    targets : (3, H, W) float32
        In [0, 1]. Channel 0 is the body, every pixel of a nucleus. Channel 1 is the touching
        border: the pixels that have two nuclei within the width that belongs to the size of the
        smaller.
        Channel 2 is the depth: the distance to the nucleus's edge, divided by the largest in it.

    Notes
    -----
    The depth has its peak in the middle of a nucleus, however closely it is hemmed in, and so
    tells nuclei apart where their border is thin or cannot be seen. Where the image ends a nucleus
    is taken to go on.
    """
    dense = relabel(labels)
    body = dense > 0
    targets = np.zeros((len(CHANNELS), *dense.shape), np.float32)
    targets[0] = body
    if dense.max() > 1:
        targets[1] = _touching_border(dense, body, border_share)
    if body.any():
        targets[2] = _relative_depth(dense, body)
    return targets


def _relative_depth(labels: Labels, body: NDArray[np.bool_]) -> NDArray[np.float32]:
    # OpenCV's morphology knows 16-bit integers but not 32-bit ones.
    narrow, cross = labels.astype(np.uint16), np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
    inner = body & (cv2.erode(narrow, cross) == cv2.dilate(narrow, cross))
    if inner.all():  # OpenCV measures the distance to a pixel outside, and there is none
        return np.ones(labels.shape, np.float32)
    distance = cv2.distanceTransform(inner.astype(np.uint8), cv2.DIST_L2, 5) + 1
    deepest = np.zeros(labels.max() + 1, np.float32)
    np.maximum.at(deepest, labels.ravel(), distance.ravel())
    return np.where(body, distance / deepest[labels], 0).astype(np.float32)


def _touching_border(labels: Labels, body: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    area = np.bincount(labels.ravel()).astype(np.float64)
    width_of = border_width(area, share=share)
    border = np.zeros(labels.shape, bool)
    # OpenCV's morphology knows 16-bit integers but not 32-bit ones.
    highest = labels.astype(np.uint16)
    lowest = np.where(body, labels, np.iinfo(np.uint16).max).astype(np.uint16)
    for width in range(int(width_of[1:].max()), 0, -1):
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
        high, low = cv2.dilate(highest, disc), cv2.erode(lowest, disc)
        touching = (high != low) & (high > 0)
        if not touching.any():  # nor will it within less
            break
        smaller = np.minimum(width_of[high[touching]], width_of[low[touching]])
        border[touching] |= smaller >= width
    return border
