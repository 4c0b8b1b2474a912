"""Masks of single nuclei: decode them, and tell soft edges and lossy compression from labels."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.competition.labels import relabel
from kaggle_dsb.dataset.pixels import JPEG, decode_picture, take_values
from kaggle_dsb.files import InputError

AROUND = np.ones((3, 3), np.uint8)
MOST_GREY_PX = 8  # among grey ones only, in a black-and-white mask
FEWEST_GREYS = 3  # of a soft edge

_WEBP = b"WEBP"
_LOSSY_CHUNK = b"VP8 "  # of a WebP; lossless ones have b"VP8L"
_JPEG_2000 = (b"\x00\x00\x00\x0cjP", b"\xff\x4f\xff\x51")
_CODING_STYLE, _TO_TRANSFORM = b"\xff\x52\x00\x0c", 13  # marker, and bytes to the wavelet's number
_IRREVERSIBLE = 0


def decode_mask(data: bytes) -> NDArray[Any]:
    """Decode the mask of one nucleus, to which all pixels belong that are not black.

    Returns
    -------
    (H, W) bool, or integer labels of several nuclei
        Integer values are taken for labels if all are below the maximum of their type, which is
        white, and they are not the greys of soft edges. A lossy image is thresholded. The alpha
        channel is used if only it varies.

    Raises
    ------
    InputError
        As for `decode_rgb`, for negative values, and for a lossy image that is not black and white.
    """
    decoded = decode_picture(data, content="mask")
    if decoded.ndim == 3:
        decoded = take_values(decoded)
    if is_lossy(data):
        return threshold_lossy(decoded)
    if decoded.ndim == 3:
        decoded = decoded.max(axis=2)
    if decoded.size and decoded.min() < 0:
        raise InputError(f"contains {decoded.min()}; the background is 0, and nuclei are above it")
    is_whole = np.issubdtype(decoded.dtype, np.integer)
    if is_whole and 0 < decoded.max(initial=0) < np.iinfo(decoded.dtype).max:
        return decoded > 0 if has_soft_edges(decoded, least_bright=0.1) else decoded
    return np.asarray(decoded > 0)


def is_lossy(data: bytes) -> bool:
    """Return whether an image file is a JPEG, or a WebP or JPEG 2000 of the lossy kind."""
    if data[8:12] == _WEBP:
        return _LOSSY_CHUNK in data[:64]
    if data.startswith(_JPEG_2000):
        style = data.find(_CODING_STYLE)
        return style >= 0 and data[style + _TO_TRANSFORM : style + _TO_TRANSFORM + 1] == b"\0"
    return data.startswith(JPEG)


def threshold_lossy(values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which pixels of a lossy mask, (H, W) or (H, W, 3), are white.

    Raises
    ------
    InputError
        When it is not black and white: lossy compression changes other values.

    Notes
    -----
    The pixels among grey ones only, so not those of soft edges, must not outnumber the black or
    the white ones.
    """
    channels = values.reshape(*values.shape[:2], -1)
    darkest, brightest = channels.min(axis=2), channels.max(axis=2)
    is_black, is_white = brightest < 64, darkest >= 192
    is_grey = (~(is_black | is_white)).astype(np.uint8)
    n_black, n_white, n_grey = (
        int(np.count_nonzero(pixels)) for pixels in (is_black, is_white, cv2.erode(is_grey, AROUND))
    )
    if n_grey > max(min(n_black, n_white), MOST_GREY_PX) or 0 < brightest.max(initial=0) < 128:
        raise InputError(
            "is a lossy image of several grey values or colours, which its compression changes; "
            "save labels as PNG or TIFF"
        )
    return np.asarray(brightest > 127)


def has_soft_edges(values: NDArray[Any], *, least_bright: float = 0.4) -> bool:
    """Return whether values are a mask with grey edges, not as many labels.

    The brightest value then has at least a share ``least_bright`` of the pixels that are not black,
    and the greys form a line around it, if it is white, or most of them are in several parts.
    """
    if values.dtype not in (np.uint8, np.uint16):
        return False
    brightest = values.max(initial=0)
    n_bright, n_nonzero = np.count_nonzero(values == brightest), np.count_nonzero(values)
    if not least_bright * n_nonzero < n_bright < n_nonzero:
        return False
    is_grey = (values > 0) & (values < brightest)
    is_line = not cv2.erode(is_grey.astype(np.uint8), AROUND).any()
    if is_line and brightest == np.iinfo(values.dtype).max:
        return True
    labels = relabel(values)
    return int(labels.max()) > FEWEST_GREYS and is_fragmented(labels)


def is_fragmented(labels: Labels) -> bool:
    """Return whether most labels have several parts or at most 2 pixels, as in a picture.

    Labels of several parts are those whose Euler number (parts minus holes) is above 1. On 310
    published label images at most 13 % of the labels count, after subsampling 23 %; as photographs,
    overlays or interpolated at least 62 %.

    References
    ----------
    S. B. Gray, Local properties of binary images in two dimensions, IEEE Transactions on Computers
    C-20, 1971.
    """
    n_labels = int(labels.max())
    right, below = labels[:, 1:] == labels[:, :-1], labels[1:] == labels[:-1]
    squares = right[1:] & right[:-1] & below[:, 1:]
    pixels, to_right, to_below, in_squares = (
        np.bincount(values, minlength=n_labels + 1)[1:]
        for values in (
            labels.ravel(),
            labels[:, 1:][right],
            labels[1:][below],
            labels[1:, 1:][squares],
        )
    )
    euler_number = pixels - to_right - to_below + in_squares
    return bool(np.mean((euler_number > 1) | (pixels <= 2)) > 0.5)
