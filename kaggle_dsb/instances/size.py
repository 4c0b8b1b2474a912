"""How large the nuclei of an image are, and by how much to scale it to make them of one size."""

import numpy as np
from numpy.typing import NDArray

ZOOM_RANGE = (0.4, 2.5)


def median_diameter(labels: NDArray[np.int32]) -> float:
    """Return the median diameter of the nuclei, weighted by itself, in pixels; 0 without nuclei.

    The diameter of a nucleus is that of the disc of its area. Each counts as much as it is wide, so
    that a few nuclei outweigh the many specks that a noisy image is taken to hold.

    Parameters
    ----------
    labels : (H, W) int32
        Gaps are accepted.

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
    """Return the number of pixels of each label, (1 + n,), where that of the background is 0.

    Notes
    -----
    To count the background as well takes many times as long: each of its pixels adds to one counter
    and waits for the pixel before.

    Examples
    --------
    >>> areas_px(np.array([[0, 2, 2], [0, 0, 1]], np.int32))
    array([0, 1, 2])
    """
    flat = labels.ravel()
    return np.bincount(flat.take(np.flatnonzero(flat > 0)), minlength=1)


def choose_zoom(diameter_px: float, wanted_px: float) -> float:
    """Return the factor that brings nuclei of one diameter to another, within `ZOOM_RANGE`.

    An image without nuclei, of diameter 0, is left as it is.

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
