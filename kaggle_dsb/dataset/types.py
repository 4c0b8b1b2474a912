"""Tell what kind of picture an image is, from its pixels alone."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

ImageType = Literal["fluorescence", "tissue", "brightfield"]
IMAGE_TYPES: tuple[ImageType, ...] = get_args(ImageType)

DARK_GROUND_BELOW = 100  # median grey level; the 664 training images leave 44 to 157 empty
COLOURED_ABOVE = 6.0  # mean chroma in grey levels; the training images leave 0.1 to 11.9 empty


def image_type(image: NDArray[np.uint8]) -> ImageType:
    """Name an image's type: fluorescence, tissue or brightfield.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.

    Returns
    -------
    ImageType
        ``fluorescence`` where the ground is dark (whatever its colour), else ``tissue`` where the
        picture is coloured, else ``brightfield``.

    Notes
    -----
    The ground is the median pixel, since nuclei cover less than half of nearly every image.
    Chroma is the largest channel less the smallest, averaged over the image. Both limits stand in
    the middle of a wide gap of the training images, so neither is delicate.

    Examples
    --------
    >>> image_type(np.full((8, 8, 3), 12, np.uint8))
    'fluorescence'
    >>> image_type(np.full((8, 8, 3), (230, 180, 220), np.uint8))
    'tissue'
    """
    if np.median(image.mean(axis=2)) < DARK_GROUND_BELOW:
        return "fluorescence"
    chroma = image.max(axis=2).astype(np.float32) - image.min(axis=2)
    return "tissue" if chroma.mean() > COLOURED_ABOVE else "brightfield"
