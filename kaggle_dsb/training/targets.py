"""Training targets: body, touching border, and normalised distance to the edge."""

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.competition.labels import relabel
from kaggle_dsb.instances.probability import CHANNELS

N_BINARY = 2  # the first channels are binary, the depth is not
MAX_BORDER_PX = 4


def border_width(area_px: NDArray[np.float64], *, share: float) -> NDArray[np.int64]:
    """Return the half width of the touching border, in pixels, for nuclei of given areas.

    It is a share of the diameter of a disc of equal area, clipped to 1 to 4 pixels: a fixed width
    that suits nuclei of 80 pixels would cover those of 8 pixels.
    """
    diameter = np.sqrt(4 * area_px / np.pi)
    return np.clip(np.rint(diameter * share), 1, MAX_BORDER_PX).astype(np.int64)


def make_targets(labels: Labels, *, border_share: float) -> NDArray[np.float32]:
    """Make the network's targets from a label image.

    Parameters
    ----------
    labels : (H, W) int32
        May have gaps.
    border_share : float
        The half width of the touching border, as a share of the smaller nucleus's diameter.

    Returns
    -------
    targets : (3, H, W) float32
        In [0, 1]. Channel 0 is the body: every pixel of a nucleus. Channel 1 is the touching
        border: the pixels with two nuclei within the `border_width` of the smaller one; where
        three or more nuclei are near, only those with the lowest and the highest label count.
        Channel 2 is the depth: the distance to the edge of the nucleus, divided by its maximum in
        it.

    Notes
    -----
    The depth peaks in the centre of a nucleus, however crowded, and so separates nuclei whose
    border is thin or invisible. Nuclei are assumed to continue beyond the edge of the image.
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
    # OpenCV's morphology supports uint16 but not int32.
    narrow, cross = labels.astype(np.uint16), np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
    inner = body & (cv2.erode(narrow, cross) == cv2.dilate(narrow, cross))
    if inner.all():  # no background pixel to measure the distance to
        return np.ones(labels.shape, np.float32)
    distance = cv2.distanceTransform(inner.astype(np.uint8), cv2.DIST_L2, 5) + 1
    deepest = np.zeros(labels.max() + 1, np.float32)
    np.maximum.at(deepest, labels.ravel(), distance.ravel())
    return np.where(body, distance / deepest[labels], 0).astype(np.float32)


def _touching_border(labels: Labels, body: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    area = np.bincount(labels.ravel()).astype(np.float64)
    width_of = border_width(area, share=share)
    border = np.zeros(labels.shape, bool)
    # OpenCV's morphology supports uint16 but not int32.
    highest = labels.astype(np.uint16)
    lowest = np.where(body, labels, np.iinfo(np.uint16).max).astype(np.uint16)
    for width in range(int(width_of[1:].max()), 0, -1):
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
        high, low = cv2.dilate(highest, disc), cv2.erode(lowest, disc)
        touching = (high != low) & (high > 0)
        if not touching.any():  # nor at any smaller width
            break
        smaller = np.minimum(width_of[high[touching]], width_of[low[touching]])
        border[touching] |= smaller >= width
    return border
