"""Decode image files of any common format to 8-bit RGB."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from kaggle_dsb.competition.label_files import unlimited_pixels
from kaggle_dsb.competition.tiff import SIGNATURES as TIFF
from kaggle_dsb.dataset.planes import (
    Content,
    choose_picture,
    cmyk_to_rgb,
    decode_tiff,
    is_white_first,
    orient,
    require_size,
)
from kaggle_dsb.dataset.png import PALETTE, decode_png, read_orientation
from kaggle_dsb.dataset.png import SIGNATURE as PNG
from kaggle_dsb.dataset.read_options import DEFAULT_OPTIONS, ReadOptions
from kaggle_dsb.dataset.stretch import stretch, wastes_levels
from kaggle_dsb.files import InputError

JPEG = b"\xff\xd8\xff"
IMAGE_SUFFIXES = (
    *(".png", ".tif", ".tiff", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".webp"),
    *(".jp2", ".j2k", ".jpx", ".lsm", ".stk", ".btf", ".tf8", ".pbm", ".pgm", ".ppm", ".pnm"),
)
FORMATS = "PNG, TIFF, JPEG, BMP, GIF, WebP or JPEG 2000"

_COLOUR_TYPE = 25  # offset in a PNG
_LAST_MARKS = {PNG: b"IEND", JPEG: b"\xff\xd9"}


def decode_rgb(data: bytes, options: ReadOptions = DEFAULT_OPTIONS) -> NDArray[np.uint8]:
    """Decode an image file to 8-bit RGB.

    Parameters
    ----------
    data : bytes
        An image in one of the `FORMATS`: greyscale or RGB, with or without alpha, CMYK or palette;
        of any bit depth.
    options : ReadOptions
        Which channel and plane of a stack to read.

    Returns
    -------
    (H, W, 3) uint8
        RGB; greyscale is repeated, and fully transparent pixels get the median colour of the
        others. The orientation stored in the file is applied.

    Raises
    ------
    InputError
        When the bytes are not an image, are truncated, or hold a stack from which no channel or
        plane was chosen. The message does not name the file; the caller adds that.

    Examples
    --------
    >>> import cv2
    >>> _, encoded = cv2.imencode(".png", np.full((2, 3), 7, np.uint8))
    >>> decode_rgb(encoded.tobytes()).shape
    (2, 3, 3)
    """
    return to_rgb(decode_picture(data, options))


def to_rgb(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert what `decode_picture` returned to 8-bit RGB; see `decode_rgb`."""
    return to_rgb_with_warning(picture)[0]


def decode_values(data: bytes, options: ReadOptions = DEFAULT_OPTIONS) -> NDArray[Any]:
    """Decode an image file to RGB, (H, W, 3), with the file's bit depth; see `decode_rgb`."""
    return _repeat_grey(_drop_alpha(decode_picture(data, options)))


def take_values(decoded: NDArray[Any]) -> NDArray[Any]:
    """Return the channels that distinguish nuclei: colour (H, W, 3), or grey or alpha (H, W)."""
    colour = decoded[..., : 3 if decoded.shape[2] >= 3 else 1]
    if decoded.shape[2] in (2, 4):
        alpha = decoded[..., -1]
        if alpha.min() < alpha.max() and (colour == colour[0, 0]).all():
            return alpha
    is_grey = colour.shape[2] == 1 or (colour == colour[..., :1]).all()
    return colour[..., 0] if is_grey else colour


def to_rgb_with_warning(picture: NDArray[Any]) -> tuple[NDArray[np.uint8], str | None]:
    """Convert as `to_rgb`, and return a warning if very bright parts dominate the range.

    They are then compressed, or leave few grey levels for the rest; only images of more than 8 bits
    are stretched.
    """
    colour = _drop_alpha(picture)
    levels, is_compressed = stretch(colour)
    rgb = np.ascontiguousarray(_repeat_grey(levels))
    if picture.dtype in (bool, np.uint8):
        return rgb, None
    if is_compressed:
        return rgb, (
            "most objects are less than a tenth as bright as the brightest parts, such as dead "
            "cells or debris; the bright range is compressed to keep them visible"
        )
    if wastes_levels(colour, levels):
        return rgb, (
            "99.9 % of the pixels share 8 of 256 grey levels because a few are far brighter: "
            "mask or crop out those, such as debris, if the rest contains nuclei"
        )
    return rgb, None


def decode_picture(
    data: bytes, options: ReadOptions = DEFAULT_OPTIONS, *, content: Content = "image"
) -> NDArray[Any]:
    """Decode an image file with its own channels and bit depth.

    Parameters
    ----------
    data : bytes
        In any format that `decode_rgb` reads.
    options, content
        As for `kaggle_dsb.dataset.planes.decode_tiff`, as is the result.

    Raises
    ------
    InputError
        As for `decode_rgb`.
    """
    if not data:
        raise InputError(f"is empty (0 bytes); expected a {FORMATS} image")
    if any(data.startswith(first) and last not in data for first, last in _LAST_MARKS.items()):
        raise InputError("is truncated; get the file again")
    if data.startswith(TIFF):
        return decode_tiff(data, options, content=content)
    if data.startswith(PNG):
        if len(data) <= _COLOUR_TYPE:
            raise InputError("is a damaged PNG; get the file again")
        require_size(*struct.unpack(">II", data[16:24])[::-1])
        if data[_COLOUR_TYPE] != PALETTE:
            return orient(decode_png(data), read_orientation(data))
    return _decode_with_pillow(data, options, content)


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Open an image with Pillow."""
    with unlimited_pixels():
        try:
            with Image.open(io.BytesIO(data)) as image:
                yield image
        except InputError:
            raise
        except Exception:  # Pillow raises all kinds of errors on damaged files.
            raise InputError(
                f"cannot be read as an image; expected a complete {FORMATS} file"
            ) from None


def _decode_with_pillow(data: bytes, options: ReadOptions, content: Content) -> NDArray[Any]:
    with _opened(data) as image:
        require_size(image.height, image.width)
        # The other frames of an MPO are previews or gain maps, as of a phone's photograph.
        n_frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        if n_frames == 1:
            return _to_array(image, content)
        require_size(image.height * n_frames, image.width)
        frames = []
        for number in range(n_frames):
            image.seek(number)
            frames.append(_to_array(image.convert("RGB"), "image"))
    stack = np.stack(frames)
    samples = [choose_picture(stack[..., s], "Z", options) for s in range(stack.shape[-1])]
    return np.stack(samples, axis=-1)


def _to_array(image: Image.Image, content: Content) -> NDArray[Any]:
    turned = ImageOps.exif_transpose(image)
    if turned.mode == "P" and (content != "labels" or _is_white_first(turned)):
        turned = turned.convert("RGBA" if "transparency" in turned.info else "RGB")
    array = np.array(turned)
    if turned.mode == "CMYK":
        return cmyk_to_rgb(255 - array)
    return array.astype(np.uint8) * 255 if turned.mode == "1" else array


def _is_white_first(image: Image.Image) -> bool:
    palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    return is_white_first(np.array(image), palette)


def _repeat_grey(values: NDArray[Any]) -> NDArray[Any]:
    return values if values.shape[2] == 3 else np.repeat(values, 3, axis=2)


def _drop_alpha(decoded: NDArray[Any]) -> NDArray[Any]:
    """Return grey, (H, W, 1), or RGB, (H, W, 3), from what `decode_picture` returned."""
    if decoded.dtype == bool:
        decoded = decoded.astype(np.uint8) * 255
    if decoded.ndim == 2:
        return decoded[..., np.newaxis]
    n_colours = 3 if decoded.shape[2] >= 3 else 1
    colour = decoded[..., :n_colours]
    if decoded.shape[2] > n_colours:
        hidden = decoded[..., n_colours] == 0
        if hidden.any() and not hidden.all():
            colour = colour.copy()
            colour[hidden] = np.median(colour[~hidden], axis=0)
    return colour
