"""Grey levels and colours of an image, which the candidates of all scales are described by."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Plane
from kaggle_dsb.instances.outline import relative_grey

DARK = 30.0  # of 3 * 255; below this sum of channels the hue is unreliable


class Colours(NamedTuple):
    """The planes of an image, (H, W) float32 each.

    Attributes
    ----------
    grey : Plane
        As `kaggle_dsb.instances.outline.relative_grey` returns it.
    redness, greenness : Plane
        Red against blue, and green against both, relative to the sum; from -1 to 1.
    """

    grey: Plane
    redness: Plane
    greenness: Plane


def find_colours(image: NDArray[np.uint8]) -> Colours:
    """Return the grey levels and opponent colours of an image (H, W, 3)."""
    red, green, blue = (channel.astype(np.float32) for channel in cv2.split(image))
    total = red + green + blue + np.float32(DARK)
    return Colours(relative_grey(image), (red - blue) / total, (green - (red + blue) / 2) / total)
