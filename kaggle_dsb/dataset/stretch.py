"""Convert images of any bit depth to 8 bits by stretching their contrast."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.files import InputError

_CLIPPED_PERCENT = 0.01
_SMALLEST_OBJECT_PX = 16
_FEWEST_LEVELS = 24
_SHARE_BELOW_KNEE = 2 / 3
_KNEE = 2.5
_LARGEST_BRIGHT_SHARE = 0.02
_SMALLEST_CROWD_SHARE = 0.2
_CLEAR_CONTRAST = 6  # standard deviations of the background
_FEW_LEVELS = 8
_NEARLY_ALL = 0.999


class _Range(NamedTuple):
    low: float
    knee: float
    high: float


def to_8_bit(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert an image of any bit depth to 8 bits; 8-bit images are returned unchanged.

    Parameters
    ----------
    image : (H, W, C) uint8, or any other numeric type

    Returns
    -------
    (H, W, C) uint8

    Raises
    ------
    InputError
        When a value is not finite as a float32, or complex.

    Notes
    -----
    Cameras of 10 to 14 bits store 16-bit values, so dividing by 256 would leave their images
    almost black. Each image is therefore stretched linearly by itself, with the same factor for
    all channels to preserve colours. The darkest and brightest 0.01 % of the values are clipped:
    100 pixels of a megapixel, more than a camera's hot pixels and fewer than one nucleus.

    Debris and dead cells can be a hundred times as bright as the nuclei. If most objects would
    differ from the background by fewer than 24 levels, values above 2.5 times the contrast of the
    typical object are compressed logarithmically into the upper third of the levels. An object is
    a connected component of at least 16 pixels that exceed the median by six standard deviations,
    as estimated from the quantiles below the median. If nuclei cover more than a fifth of the
    image, so that the median pixel may lie in one, Otsu's threshold divides the pixels below 24
    levels instead. In colour images the brightest channel counts, and all keep their proportions.

    Examples
    --------
    >>> to_8_bit(np.array([[[500], [600], [700]]], np.uint16)).ravel().tolist()
    [0, 128, 255]
    """
    return stretch(image).levels


class Stretched(NamedTuple):
    """An image (H, W, C) uint8, and whether values far above most objects were compressed."""

    levels: NDArray[np.uint8]
    is_compressed: bool


def stretch(image: NDArray[Any]) -> Stretched:
    """Convert an image as `to_8_bit` does, and tell how."""
    if image.dtype == np.uint8:
        return Stretched(image, is_compressed=False)
    if np.iscomplexobj(image):
        raise InputError("contains complex numbers; save their magnitude")
    with np.errstate(over="ignore"):
        values = image.astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError("contains NaN, infinite or too large values; the maximum is 3.4e38")
    if image.dtype.itemsize > 2 and image.dtype != np.float32 and image.size:
        # Small differences of large values exceed the precision of float32.
        values = (image.astype(np.float64) - float(image.min())).astype(np.float32)
    range_ = _find_range(values)
    levels = np.clip(np.rint(_stretch(values, range_)), 0, 255).astype(np.uint8)
    return Stretched(levels, is_compressed=range_.knee < range_.high)


def wastes_levels(image: NDArray[Any], stretched: NDArray[np.uint8]) -> bool:
    """Return whether `to_8_bit` mapped nearly all pixels of an image to only a few levels.

    False for an image that has only a few distinct values to begin with.
    """
    counts = np.sort(np.bincount(stretched.ravel(), minlength=256))[::-1]
    is_narrow = bool(counts[:_FEW_LEVELS].sum() >= _NEARLY_ALL * stretched.size)
    return is_narrow and np.unique(image).size > 4 * _FEW_LEVELS


def _stretch(values: NDArray[np.float32], range_: _Range) -> NDArray[np.float32]:
    low, knee, high = range_
    if not high > low:
        return np.zeros_like(values)
    if knee == high:
        return np.asarray((values - low) * (255 / (high - low)), np.float32)
    light = _find_light(values)[..., None]
    at_knee = 255 * _SHARE_BELOW_KNEE
    linear = (light - low) * (at_knee / (knee - low))
    excess = np.log(np.maximum(light - low, knee - low) / (knee - low))
    above_knee = excess * ((255 - at_knee) / np.log((high - low) / (knee - low)))
    stretched = np.minimum(linear, at_knee) + above_knee
    share = np.divide(values - low, light - low, out=np.ones_like(values), where=light > low)
    return np.asarray(stretched * share, np.float32)


def _find_light(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the brightest channel, (H, W)."""
    return values if values.ndim == 2 else np.asarray(values.max(axis=2))


def _find_range(values: NDArray[np.float32]) -> _Range:
    low, high = (
        float(v) for v in np.percentile(values, [_CLIPPED_PERCENT, 100 - _CLIPPED_PERCENT])
    )
    few_levels = (high - low) * _FEWEST_LEVELS / 255
    light = _find_light(values)
    for measure in (_measure_objects, _measure_dim_part):
        ground, typical = measure(light, low + few_levels)
        if 0 < typical < few_levels and ground < low + few_levels:
            return _Range(low, ground + _KNEE * typical, high)
    return _Range(low, high, high)


def _measure_objects(light: NDArray[np.float32], _: float) -> tuple[float, float]:
    """Return the median level and the typical object's contrast to it; 0 without objects."""
    import cv2

    dark, middle = (float(value) for value in np.percentile(light, [15.87, 50]))
    outstanding = light > middle + _CLEAR_CONTRAST * (middle - dark)
    n_objects, objects = cv2.connectedComponents(outstanding.astype(np.uint8))
    sizes = np.bincount(objects.ravel(), minlength=n_objects)[1:]
    sums = np.bincount(objects.ravel(), weights=light.ravel(), minlength=n_objects)[1:]
    is_large = sizes >= _SMALLEST_OBJECT_PX
    if not is_large.any():
        return middle, 0.0
    return middle, float(np.median(sums[is_large] / sizes[is_large])) - middle


def _measure_dim_part(light: NDArray[np.float32], brightest: float) -> tuple[float, float]:
    """Return the background level and the contrast of densely packed objects; 0 without any.

    Only pixels below ``brightest`` count, and only if hardly any are above.
    """
    import cv2

    dim = light[light < brightest]
    if dim.size < (1 - _LARGEST_BRIGHT_SHARE) * light.size or dim.min() == dim.max():
        return 0.0, 0.0
    levels = np.rint((dim - dim.min()) * (255 / (dim.max() - dim.min()))).astype(np.uint8)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)
    ground, objects = dim[levels <= threshold], dim[levels > threshold]
    contrast = float(objects.mean() - ground.mean())
    is_clear = contrast > _CLEAR_CONTRAST * float(ground.std())
    is_crowd = objects.size > _SMALLEST_CROWD_SHARE * dim.size
    return float(ground.mean()), contrast if is_clear and is_crowd else 0.0
