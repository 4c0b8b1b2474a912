"""Classify images by type, from their pixels alone."""

from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

ImageType = Literal["fluorescence", "tissue", "brightfield"]
IMAGE_TYPES: tuple[ImageType, ...] = get_args(ImageType)

COLOURED_ABOVE = 0.025  # mean chroma / mean brightest channel; at least 0.037 in H&E
CHROMA_ABOVE = 2.0  # mean chroma in grey levels; less is noise
EMPTY_CHANNEL_BELOW = 0.14  # median darkest / median brightest channel; above 0.25 in H&E
DARK_GROUND_BELOW = 100  # median grey level
_LEAST_RANGE = 8.0  # grey levels; a smaller range is not informative
_MOST_PIXELS = 65536


def image_type(image: NDArray[np.uint8]) -> ImageType:
    """Classify an image as fluorescence, tissue or brightfield.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.

    Returns
    -------
    ImageType

    Notes
    -----
    A **coloured** image is stained tissue unless it looks like fluorescent dyes on black: one of
    the three channels is almost empty, or nearly all pixels are close to the darkest, or a single
    colour map explains the image and chroma increases with brightness. Stains absorb light, so
    none of these holds for tissue, however dark it is.

    A **grey** image is classified by its background, the median pixel: fluorescence if it is dark,
    unless it lies near the brightest pixels; brightfield if it is bright, unless it lies near the
    darkest.

    Examples
    --------
    >>> image_type(np.full((8, 8, 3), 12, np.uint8))
    'fluorescence'
    >>> image_type(np.full((8, 8, 3), (230, 180, 220), np.uint8))
    'tissue'
    """
    pixels = _sample_pixels(image)
    asymmetry = _asymmetry(pixels.mean(axis=1))
    if not _is_coloured(pixels):
        if np.median(pixels.mean(axis=1)) < DARK_GROUND_BELOW:
            return "brightfield" if asymmetry < -0.5 else "fluorescence"
        return "fluorescence" if asymmetry > 0.2 else "brightfield"
    glows = asymmetry > 0.7 or _has_empty_channel(pixels) or _is_of_one_dye(pixels)
    return "fluorescence" if glows else "tissue"


def _sample_pixels(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a subsample of the pixels, (N, 3), smoothed because noise has colour too."""
    step = max(1, int(np.sqrt(image.shape[0] * image.shape[1] / _MOST_PIXELS)))
    return cv2.blur(image, (5, 5))[::step, ::step].reshape(-1, 3).astype(np.float32)


def _asymmetry(grey: NDArray[np.float32]) -> float:
    """Return the position of the median: 1 at the darkest pixels, -1 at the brightest."""
    low, middle, high = np.percentile(grey, [1, 50, 99])
    return float((low + high - 2 * middle) / max(high - low, _LEAST_RANGE))


def _is_coloured(pixels: NDArray[np.float32]) -> bool:
    brightest = pixels.max(axis=1)
    chroma = float((brightest - pixels.min(axis=1)).mean())
    return chroma > CHROMA_ABOVE and chroma > COLOURED_ABOVE * float(brightest.mean())


def _has_empty_channel(pixels: NDArray[np.float32]) -> bool:
    darkest, brightest = np.median(pixels.min(axis=1)), np.median(pixels.max(axis=1))
    return bool(darkest < EMPTY_CHANNEL_BELOW * brightest)


def _is_of_one_dye(pixels: NDArray[np.float32]) -> bool:
    """Return whether all colours lie on a line in RGB space, with chroma rising with brightness."""
    chroma = pixels.max(axis=1) - pixels.min(axis=1)
    grey = pixels.mean(axis=1)
    if chroma.std() == 0 or grey.std() == 0:
        return False
    variances = np.linalg.eigvalsh(np.cov(pixels.T))
    grows = np.corrcoef(chroma, grey)[0, 1] > 0.98
    return bool(grows and variances[-1] > 0.99 * variances.sum())
