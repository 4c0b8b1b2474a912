"""Images of more than 8 bits to 8 bits, by one stretch of the full depth."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.files import InputError

_CLIPPED_PERCENT = 0.01
_SMALLEST_OBJECT_PX = 16
_FEWEST_LEVELS = 24
_SHARE_BELOW_KNEE = 2 / 3
_KNEE = 2.5


class _Range(NamedTuple):
    low: float
    knee: float
    high: float


def to_8_bit(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring an image of any depth to 8 bits; one of 8 bits passes unchanged.

    Parameters
    ----------
    image : (H, W, C) uint8, or any other numeric type

    Returns
    -------
    (H, W, C) uint8

    Raises
    ------
    InputError
        A value is not finite, or complex.

    Notes
    -----
    Cameras of 10 to 14 bits store into 16, so dividing by 256 would leave their images all but
    black. Each image is stretched linearly on its own instead, all channels by the same factor so
    that colours stay. The darkest and the brightest 0.01 % of the values are clipped: 100 pixels of
    a megapixel, more than a camera has hot pixels, and fewer than one nucleus covers there.

    Debris and dead cells can be a hundred times as bright as the nuclei. Where most objects of a
    grey image would stand out of the ground by fewer than 24 levels, what is brighter than 2.5
    times the typical object is compressed by the logarithm into the upper third of the levels. An
    object is a connected part of at least 16 pixels that are brighter than the median pixel by six
    standard deviations, as estimated by the quantiles below the median.

    Examples
    --------
    >>> to_8_bit(np.array([[[500], [600], [700]]], np.uint16)).ravel().tolist()
    [0, 128, 255]
    """
    if image.dtype == np.uint8:
        return image
    if np.iscomplexobj(image):
        raise InputError("holds complex numbers; save their magnitude")
    if not np.isfinite(image).all():
        raise InputError("holds values that are not finite; an image holds numbers only")
    values = image.astype(np.float32)
    stretched = _stretch(values, _find_range(values))
    return np.clip(np.rint(stretched), 0, 255).astype(np.uint8)


def compresses_highlights(image: NDArray[Any]) -> bool:
    """Return whether `to_8_bit` would compress what is far brighter than most objects."""
    if image.dtype == np.uint8:
        return False
    range_ = _find_range(image.astype(np.float32))
    return range_.knee < range_.high


def _stretch(values: NDArray[np.float32], range_: _Range) -> NDArray[np.float32]:
    low, knee, high = range_
    if not high > low:
        return np.zeros_like(values)
    if knee == high:
        return np.asarray((values - low) * (255 / (high - low)), np.float32)
    at_knee = 255 * _SHARE_BELOW_KNEE
    linear = (values - low) * (at_knee / (knee - low))
    excess = np.log(np.maximum(values - low, knee - low) / (knee - low))
    above_knee = excess * ((255 - at_knee) / np.log((high - low) / (knee - low)))
    return np.asarray(np.minimum(linear, at_knee) + above_knee, np.float32)


def _find_range(values: NDArray[np.float32]) -> _Range:
    low, high = (
        float(v) for v in np.percentile(values, [_CLIPPED_PERCENT, 100 - _CLIPPED_PERCENT])
    )
    is_grey = values.ndim == 2 or (values == values[..., :1]).all()
    grey = values if values.ndim == 2 else values[..., 0]
    middle, typical = _measure_objects(grey) if is_grey else (low, 0.0)
    if not typical or typical >= (high - low) * _FEWEST_LEVELS / 255:
        return _Range(low, high, high)
    return _Range(low, middle + _KNEE * typical, high)


def _measure_objects(grey: NDArray[np.float32]) -> tuple[float, float]:
    """Return the median level, and how far the typical object stands out of it; 0 without any."""
    import cv2

    dark, middle = (float(value) for value in np.percentile(grey, [15.87, 50]))
    outstanding = grey > middle + 6 * (middle - dark)
    n_objects, objects = cv2.connectedComponents(outstanding.astype(np.uint8))
    sizes = np.bincount(objects.ravel(), minlength=n_objects)[1:]
    sums = np.bincount(objects.ravel(), weights=grey.ravel(), minlength=n_objects)[1:]
    is_large = sizes >= _SMALLEST_OBJECT_PX
    if not is_large.any():
        return middle, 0.0
    return middle, float(np.median(sums[is_large] / sizes[is_large])) - middle
