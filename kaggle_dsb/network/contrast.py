"""Bring images of every brightness to one range before the network sees them."""

import cv2
import numpy as np
from numpy.typing import NDArray

QUANTILES_PERCENT = (0.5, 99.8)
LEAST_RANGE = 24.0  # grey levels; an image with less in it holds noise, which must stay dim


def stretch_contrast(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Stretch an image's grey levels over 0 to 255, all channels alike so that colours stay.

    Parameters
    ----------
    image : (H, W, 3) uint8

    Returns
    -------
    (H, W, 3) uint8
        The 0.5 % quantile at 0, the 99.8 % quantile at 255.

    Notes
    -----
    Half of the training images use fewer than 70 of the 256 levels.
    """
    low, high = (grey_quantile(image, percent) for percent in QUANTILES_PERCENT)
    levels = (np.arange(256) - low) * (255 / max(high - low, LEAST_RANGE))
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    stretched: NDArray[np.uint8] = cv2.LUT(image, table).reshape(image.shape)  # type: ignore[assignment]
    return stretched


def grey_quantile(image: NDArray[np.uint8], percent: float) -> float:
    """Return what `numpy.percentile` does of all channels together, from their histogram.

    Examples
    --------
    >>> image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    >>> grey_quantile(image, 50)
    5.5
    """
    # The channels side by side as one, whose histogram OpenCV counts without a copy.
    flat = np.ascontiguousarray(image).reshape(image.shape[0], -1)
    count = cv2.calcHist([flat], [0], None, [256], [0, 256]).ravel()
    total = np.cumsum(count, dtype=np.float64)
    at = percent / 100 * (flat.size - 1)
    below, above = np.searchsorted(total, [np.floor(at), np.ceil(at)], side="right")
    return float(below + (above - below) * (at - np.floor(at)))
