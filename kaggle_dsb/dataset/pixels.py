"""Bytes of an image file, in any form users have, to the one form the toolkit works with."""

import io
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from kaggle_dsb.competition.tiff import SIGNATURES as TIFF
from kaggle_dsb.dataset.planes import (
    choose_picture,
    cmyk_to_rgb,
    decode_tiff,
    orient,
    require_size,
)
from kaggle_dsb.dataset.png import PALETTE, decode_png, read_orientation
from kaggle_dsb.dataset.png import SIGNATURE as PNG
from kaggle_dsb.dataset.read_options import DEFAULT_OPTIONS, ReadOptions
from kaggle_dsb.dataset.stretch import compresses_highlights, to_8_bit, wastes_levels
from kaggle_dsb.files import InputError

JPEG = b"\xff\xd8\xff"
IMAGE_SUFFIXES = (
    *(".png", ".tif", ".tiff", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".webp"),
    *(".jp2", ".j2k", ".jpx", ".lsm", ".stk", ".btf", ".tf8", ".pbm", ".pgm", ".ppm", ".pnm"),
)
FORMATS = "PNG, TIFF, JPEG, BMP, GIF, WebP or JPEG 2000"

_SHORTEST_BYTES = 26  # a PNG says until there what it holds
_LAST_MARKS = {PNG: b"IEND", JPEG: b"\xff\xd9"}
_PILLOW = threading.Lock()


def decode_rgb(data: bytes, options: ReadOptions = DEFAULT_OPTIONS) -> NDArray[np.uint8]:
    """Decode an image file to RGB of 8 bits.

    Parameters
    ----------
    data : bytes
        An image of one of the `FORMATS`: grey, RGB, either with alpha, CMYK, or a palette; of any
        depth.
    options : ReadOptions
        Which picture to take of a file that holds several.

    Returns
    -------
    (H, W, 3) uint8, RGB; grey is repeated, and wholly transparent pixels take the median colour of
    the others. Turned as the file's orientation asks for.

    Raises
    ------
    InputError
        The bytes are no image, were cut short, or hold several pictures of which none was chosen.
        The message says what is wrong, and leaves it to the caller to name the file.

    Examples
    --------
    >>> import cv2
    >>> _, encoded = cv2.imencode(".png", np.full((2, 3), 7, np.uint8))
    >>> decode_rgb(encoded.tobytes()).shape
    (2, 3, 3)
    """
    return np.ascontiguousarray(to_8_bit(_drop_alpha(decode_picture(data, options))))


def decode_mask(data: bytes) -> NDArray[Any]:
    """Decode the mask of one nucleus, to which any pixel belongs that is not black.

    Returns
    -------
    (H, W) bool, or the values of whole numbers that tell several nuclei apart
        Values are taken for numbers of nuclei where they stay below the largest of their type,
        which is white. JPEG's blurred edges are cut at half. The alpha channel counts where a file
        tells the nucleus by nothing else.

    Raises
    ------
    InputError
        As `decode_rgb`.
    """
    decoded = decode_picture(data)
    if decoded.ndim == 3:
        decoded = take_values(decoded)
    if decoded.ndim == 3:
        decoded = decoded.max(axis=2)
    if data.startswith(JPEG):
        return np.asarray(decoded > 127)
    is_whole = np.issubdtype(decoded.dtype, np.integer)
    if is_whole and 0 < decoded.max(initial=0) < np.iinfo(decoded.dtype).max:
        return decoded
    return np.asarray(decoded > 0)


def take_values(decoded: NDArray[Any]) -> NDArray[Any]:
    """Return what tells nuclei apart: the colours (H, W, 3), the grey values or alpha (H, W)."""
    colour = decoded[..., : 3 if decoded.shape[2] >= 3 else 1]
    if decoded.shape[2] in (2, 4):
        alpha = decoded[..., -1]
        if alpha.min() < alpha.max() and (colour == colour[0, 0]).all():
            return alpha
    is_grey = colour.shape[2] == 1 or (colour == colour[..., :1]).all()
    return colour[..., 0] if is_grey else colour


def warn_of_highlights(data: bytes, options: ReadOptions = DEFAULT_OPTIONS) -> str | None:
    """Say what the brightest parts of an image of more than 8 bits do to the others.

    Either `decode_rgb` compresses them, or it leaves few levels to the rest.
    """
    if _has_8_bits(data):
        return None
    picture = _drop_alpha(decode_picture(data, options))
    if compresses_highlights(picture):
        return (
            "most objects are less than a tenth as bright as the brightest parts, such as dead "
            "cells or debris; the bright range is compressed to keep them visible"
        )
    if wastes_levels(picture):
        return (
            "99.9 % of the pixels share 8 of 256 grey levels because a few are far brighter: "
            "mask or crop out those, such as debris, if the rest contains nuclei"
        )
    return None


def _has_8_bits(data: bytes) -> bool:
    if data.startswith(PNG):
        return data[24] <= 8
    return not data.startswith(TIFF)


def decode_picture(
    data: bytes, options: ReadOptions = DEFAULT_OPTIONS, *, keeps_indices: bool = False
) -> NDArray[Any]:
    """Decode an image file as it is stored.

    Parameters
    ----------
    data : bytes
        Of any format that `decode_rgb` reads.
    options, keeps_indices
        As `kaggle_dsb.dataset.planes.decode_tiff` takes them, whose result this is like.

    Raises
    ------
    InputError
        As `decode_rgb`.
    """
    if not data:
        raise InputError(f"is empty (0 bytes); expected a {FORMATS} image")
    if _is_cut_short(data):
        raise InputError("is truncated; get the file again")
    if data.startswith(TIFF):
        return decode_tiff(data, options, keeps_indices=keeps_indices)
    if data.startswith(PNG):
        require_size(*struct.unpack(">II", data[16:24])[::-1])
        if data[25] != PALETTE:
            return orient(decode_png(data), read_orientation(data))
    return _decode_with_pillow(data, options, keeps_indices=keeps_indices)


def _is_cut_short(data: bytes) -> bool:
    # Some versions of OpenCV decode_picture what is left of a cut file and fill the rest with grey.
    for first, last in _LAST_MARKS.items():
        if data.startswith(first):
            return last not in data[_SHORTEST_BYTES:][-4096:]
    return False


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Open an image with Pillow, whose own limit of pixels, a global, is lifted meanwhile.

    What it warns of, as of damaged EXIF, does not keep the pixels from being read.
    """
    with _PILLOW, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with Image.open(io.BytesIO(data)) as image:
                yield image
        except InputError:
            raise
        except Exception:  # Pillow's readers raise errors of every kind on damaged files.
            raise InputError(
                f"cannot be read as an image; expected a complete {FORMATS} file"
            ) from None
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _decode_with_pillow(data: bytes, options: ReadOptions, *, keeps_indices: bool) -> NDArray[Any]:
    with _opened(data) as image:
        require_size(image.height, image.width)
        n_frames = getattr(image, "n_frames", 1)
        if n_frames == 1:
            return _to_array(image, keeps_indices=keeps_indices)
        require_size(image.height * n_frames, image.width)
        frames = []
        for number in range(n_frames):
            image.seek(number)
            frames.append(_to_array(image.convert("RGB"), keeps_indices=False))
    stack = np.stack(frames)
    samples = [choose_picture(stack[..., s], "Z", options) for s in range(stack.shape[-1])]
    return np.stack(samples, axis=-1)


def _to_array(image: Image.Image, *, keeps_indices: bool) -> NDArray[Any]:
    turned = ImageOps.exif_transpose(image)
    if turned.mode == "P" and not keeps_indices:
        turned = turned.convert("RGBA" if "transparency" in turned.info else "RGB")
    array = np.array(turned)
    if turned.mode == "CMYK":
        return cmyk_to_rgb(255 - array)
    return array.astype(np.uint8) * 255 if turned.mode == "1" else array


def _drop_alpha(decoded: NDArray[Any]) -> NDArray[Any]:
    if decoded.dtype == bool:
        decoded = decoded.astype(np.uint8) * 255
    if decoded.ndim == 2:
        return np.repeat(decoded[..., None], 3, axis=2)
    n_colours = 3 if decoded.shape[2] >= 3 else 1
    colour = decoded[..., :n_colours]
    if decoded.shape[2] > n_colours:
        hidden = decoded[..., n_colours] == 0
        if hidden.any() and not hidden.all():
            colour = colour.copy()
            colour[hidden] = np.median(colour[~hidden], axis=0)
    return colour if n_colours == 3 else np.repeat(colour, 3, axis=2)
