"""Measure the size of an image's nuclei, and choose the zoom to a target size."""

import numpy as np
from numpy.typing import NDArray

ZOOM_RANGE = (0.4, 2.5)


def median_diameter(labels: NDArray[np.int32]) -> float:
    """Return the diameter-weighted median diameter of the nuclei, in pixels; 0 without nuclei.

    The diameter of a nucleus is that of a disc of equal area. Weighting by diameter lets a few
    nuclei outweigh the many specks that are segmented in a noisy image.

    Parameters
    ----------
    labels : (H, W) int32
        May have gaps.

    Examples
    --------
    >>> disc = np.hypot(*(np.indices((41, 41)) - 20)) <= 10
    >>> round(median_diameter(disc.astype(np.int32)))
    20
    """
    area = areas_px(labels)[1:]
    diameter = np.sort(np.sqrt(4 * area / np.pi))
    is_past_half = np.cumsum(diameter) >= diameter.sum() / 2
    return float(diameter[np.argmax(is_past_half)]) if diameter.any() else 0.0


def areas_px(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the area of each label in pixels, (1 + n,); 0 for the background.

    Notes
    -----
    Counting the background too takes many times as long: each of its pixels increments the same
    counter and waits for the previous one.

    Examples
    --------
    >>> areas_px(np.array([[0, 2, 2], [0, 0, 1]], np.int32))
    array([0, 1, 2])
    """
    flat = labels.ravel()
    return np.bincount(flat.take(np.flatnonzero(flat > 0)), minlength=1)


def choose_zoom(diameter_px: float, wanted_px: float) -> float:
    """Return the zoom that brings nuclei to the wanted diameter, clipped to `ZOOM_RANGE`.

    The zoom is 1 for an image without nuclei, of diameter 0.

    Examples
    --------
    >>> choose_zoom(14, 28)
    2.0
    >>> choose_zoom(0, 28)
    1.0
    """
    if diameter_px == 0:
        return 1.0
    return float(np.clip(wanted_px / diameter_px, *ZOOM_RANGE))
