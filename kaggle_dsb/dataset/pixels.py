"""Bytes of an image file, in any form users have, to the one form the toolkit works with."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.files import InputError

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")

_CLIPPED_PERCENT = 0.01
_SILENT = 0
# OpenCV 4.13 moved it from one place to the other.
_set_log_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
_LAST_MARKS = {b"\x89PNG": b"IEND", b"\xff\xd8\xff": b"\xff\xd9"}


def decode_rgb(data: bytes) -> NDArray[np.uint8]:
    """Decode an image file to RGB of 8 bits.

    Parameters
    ----------
    data : bytes
        A PNG, TIFF (first page) or JPEG: grey, RGB, either with alpha, or a palette; any depth.

    Returns
    -------
    (H, W, 3) uint8, RGB; alpha is dropped, grey is repeated.

    Raises
    ------
    InputError
        The bytes are no image, or were cut short. The message says what is wrong, and leaves it to
        the caller to name the file.

    Examples
    --------
    >>> _, encoded = cv2.imencode(".png", np.full((2, 3), 7, np.uint8))
    >>> decode_rgb(encoded.tobytes()).shape
    (2, 3, 3)
    """
    colour = _without_alpha(_decode(data))
    return np.ascontiguousarray(to_8_bit(colour)[..., ::-1])


def decode_mask(data: bytes) -> NDArray[np.bool_]:
    """Decode a mask file: any pixel that is not black belongs to the nucleus.

    Returns
    -------
    (H, W) bool

    Raises
    ------
    InputError
        As `decode_rgb`.
    """
    decoded = _decode(data)
    if decoded.ndim == 3:
        decoded = _without_alpha(decoded).max(axis=2)
    mask: NDArray[np.bool_] = np.greater(decoded, 0)
    return mask


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
        A value is not finite.

    Notes
    -----
    Cameras of 10 to 14 bits store into 16, so dividing by 256 would leave their images all but
    black. Each image is stretched linearly on its own instead, all channels by the same factor so
    that colours stay. The darkest and the brightest 0.01 % of the values are clipped: 100 pixels of
    a megapixel, more than a camera has hot pixels, and fewer than one nucleus covers there.

    Examples
    --------
    >>> to_8_bit(np.array([[[500], [600], [700]]], np.uint16)).ravel().tolist()
    [0, 128, 255]
    """
    if image.dtype == np.uint8:
        return image
    if not np.isfinite(image).all():
        raise InputError("holds values that are not finite; an image holds numbers only")
    values = image.astype(np.float32)
    low, high = np.percentile(values, [_CLIPPED_PERCENT, 100 - _CLIPPED_PERCENT])
    scale = 255 / (high - low) if high > low else 0.0
    stretched: NDArray[np.uint8] = np.clip(np.rint((values - low) * scale), 0, 255).astype(np.uint8)
    return stretched


def _decode(data: bytes) -> NDArray[Any]:
    if not data:
        raise InputError("is empty (0 bytes); it should be a PNG, TIFF or JPEG image")
    if _is_cut_short(data):
        raise InputError("was cut short; get the file again")
    # OpenCV would print its own account of a broken file to the terminal.
    level = _set_log_level(_SILENT)
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        decoded = None
    finally:
        _set_log_level(level)
    if decoded is None:
        raise InputError("cannot be read as an image; it should be a whole PNG, TIFF or JPEG")
    return decoded


def _is_cut_short(data: bytes) -> bool:
    # Some versions of OpenCV decode what is left of a cut file and fill the rest with grey.
    for first, last in _LAST_MARKS.items():
        if data.startswith(first):
            return last not in data[-4096:]
    return False


def _without_alpha(decoded: NDArray[Any]) -> NDArray[Any]:
    if decoded.ndim == 2:
        return np.repeat(decoded[..., None], 3, axis=2)
    return decoded[..., :3] if decoded.shape[2] >= 3 else np.repeat(decoded[..., :1], 3, axis=2)
