"""Combine body probability and image intensity into the membership that outlines are drawn at.

The predicted body fades over several pixels, whereas annotators outline what they see in the image.
So the membership is a weighted mean of the body probability and of the grey level, scaled from the
background around a nucleus to its inside.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels, Plane

BODY_SHARE = 0.3
SURELY_INSIDE, INSIDE, OUTSIDE = 0.85, 0.7, 0.15
"""Body probabilities: above the first, no holes are left; the grey level of nuclei is measured
above the second, that of the background below the third."""
GROUND_SIGMA_PX = 8
SHRINK = 4
LEAST_CONTRAST = 0.02


def relative_grey(image: NDArray[np.uint8]) -> Plane:
    """Return the grey levels of an image (H, W, 3) uint8, nearly all of them in [0, 1]."""
    total = cv2.transform(image.astype(np.float32), np.ones((1, 3), np.float32))
    counts = cv2.calcHist([total], [0], None, [3 * 255 + 1], [0, 3 * 255 + 1]).ravel()
    dark, bright = (percentile_of_counts(counts, percent) / 3 for percent in (0.5, 99.8))
    relative: Plane = (total / np.float32(3) - np.float32(dark)) / np.float32(max(bright - dark, 1))
    return relative


def percentile_of_counts(counts: NDArray[Any], percent: float) -> float:
    """Return the `numpy.percentile` of the integers from 0 whose counts are given.

    Examples
    --------
    >>> percentile_of_counts(np.array([2, 1, 1]), 50)  # of 0, 0, 1, 2
    0.5
    """
    cumulated = np.cumsum(counts, dtype=np.float64)
    place = percent / 100 * (cumulated[-1] - 1)
    low, high = np.searchsorted(cumulated, [np.floor(place), np.ceil(place)], side="right")
    return float(low + (high - low) * (place % 1))


def find_membership(body: Plane, basins: Labels, grey: Plane) -> Plane:
    """Return how far each pixel belongs to the nucleus of its basin.

    Parameters
    ----------
    body : (H, W) float32, in [0, 1]
    basins : (H, W) int32
        1..n, one for each nucleus or part of one; 0 outside.
    grey : (H, W) float32
        As `relative_grey` returns it; nuclei may be brighter or darker than the background.

    Returns
    -------
    membership : (H, W) float32
        About 0 in the background, 1 inside, 0.5 halfway. The body probability alone where a basin
        has no confident inside or too little contrast.
    """
    membership = body.copy()
    pixels = np.flatnonzero(basins > 0)
    basin, own_body, own_grey = basins.take(pixels), body.take(pixels), grey.take(pixels)
    inside, has_inside = _light_inside(own_body, basin, own_grey)
    background = _light_of_background(body, grey).ravel()[pixels]
    step = inside[basin] - background
    is_clear = has_inside[basin] & (np.abs(step) >= LEAST_CONTRAST)
    light = np.clip((own_grey - background) / np.where(is_clear, step, 1), -0.5, 1.5)
    light = np.where(own_body > SURELY_INSIDE, np.maximum(light, 1), light)
    both = BODY_SHARE * own_body + (1 - BODY_SHARE) * light
    membership.ravel()[pixels] = np.where(is_clear, both, own_body)
    return membership


def _light_inside(body: Plane, basin: Labels, grey: Plane) -> tuple[Plane, NDArray[np.bool_]]:
    """Return the mean grey level inside each basin, and which basins have a confident inside.

    The arguments hold the values of the same pixels, (n,).
    """
    n = int(basin.max(initial=0)) + 1
    is_core = body > INSIDE
    count = np.bincount(basin[is_core], minlength=n)
    total = np.bincount(basin[is_core], weights=grey[is_core], minlength=n)
    return (total / np.maximum(count, 1)).astype(np.float32), count > 0


def _light_of_background(body: Plane, grey: Plane) -> Plane:
    """Return the local grey level of the background; its median where no background is near.

    The blur is so wide that a quarter of the resolution is enough.
    """
    is_background = (body < OUTSIDE).astype(np.float32)
    if not is_background.any():
        return np.zeros_like(grey)
    height, width = grey.shape
    small = max(width // SHRINK, 1), max(height // SHRINK, 1)
    near, share = (
        cv2.GaussianBlur(
            cv2.resize(plane, small, interpolation=cv2.INTER_AREA), (0, 0), GROUND_SIGMA_PX / SHRINK
        )
        for plane in (grey * is_background, is_background)
    )
    background = near / np.maximum(share, 1e-3)
    if share.min() <= 1e-3:
        background = np.where(share > 1e-3, background, np.median(grey[is_background > 0]))
    full = cv2.resize(background.astype(np.float32), (width, height))
    return full.astype(np.float32, copy=False)
