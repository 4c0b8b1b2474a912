"""Change images as other microscopes, stains and magnifications would."""

from collections.abc import Callable

import cv2
import numpy as np

from kaggle_dsb.aliases import Image, Labels
from kaggle_dsb.competition.labels import relabel

Disturbance = Callable[[Image, Labels], tuple[Image, Labels]]


def rescale(image: Image, labels: Labels, factor: float) -> tuple[Image, Labels]:
    """Rescale an image, and its labels by nearest neighbour; nuclei that vanish are dropped.

    Parameters
    ----------
    image : (H, W, 3) uint8
    labels : (H, W) int32
    factor : float
        2 doubles height and width.
    """
    height, width = (max(1, round(side * factor)) for side in labels.shape)
    size = (width, height)
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    nearest = cv2.resize(labels.astype(np.uint16), size, interpolation=cv2.INTER_NEAREST_EXACT)
    scaled = cv2.resize(image, size, interpolation=method)
    return scaled.astype(np.uint8, copy=False), relabel(nearest.astype(np.int32))


def invert(image: Image) -> Image:
    """Invert the grey levels."""
    return 255 - image


def darken(image: Image) -> Image:
    """Reduce the brightness to a third, rounded down to whole grey levels."""
    return (image // 3).astype(np.uint8)


def blur(image: Image) -> Image:
    """Blur with a Gaussian of sigma 1.5 px."""
    return cv2.GaussianBlur(image, (0, 0), 1.5).astype(np.uint8, copy=False)


def add_noise(image: Image) -> Image:
    """Add Gaussian noise of 5 % of the image's range, with a fixed seed."""
    low, high = np.percentile(image, (0.5, 99.8))
    noise = np.random.default_rng(0).normal(0, 0.05 * max(high - low, 1), image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def shift_stain(image: Image) -> Image:
    """Shift the hue by 30 degrees and reduce the saturation to two thirds; grey stays grey."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + 15) % 180  # OpenCV stores hue in steps of two degrees
    hsv[..., 1] *= 2 / 3
    turned = cv2.cvtColor(np.rint(hsv).astype(np.uint8), cv2.COLOR_HSV2RGB)
    return turned.astype(np.uint8, copy=False)


def _of_image(change: Callable[[Image], Image]) -> Disturbance:
    return lambda image, labels: (change(image), labels)


def _scaled(factor: float) -> Disturbance:
    return lambda image, labels: rescale(image, labels, factor)


DISTURBANCES: dict[str, Disturbance] = {
    "as it is": lambda image, labels: (image, labels),
    "scale 0.5": _scaled(0.5),
    "scale 0.7": _scaled(0.7),
    "scale 1.4": _scaled(1.4),
    "scale 2.0": _scaled(2.0),
    "inverted": _of_image(invert),
    "darkened": _of_image(darken),
    "blurred": _of_image(blur),
    "noisy": _of_image(add_noise),
    "stain-shifted": _of_image(shift_stain),
}
"""By name; each takes an image (H, W, 3) and its labels (H, W), and returns both, changed."""
