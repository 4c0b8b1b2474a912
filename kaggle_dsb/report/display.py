"""Prepare images for display: contrast, enlargement, outlines, encoding."""

import base64
import io
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from kaggle_dsb.aliases import Image, Labels
from kaggle_dsb.files import InputError
from kaggle_dsb.report.outcomes import COLOURS, LETTERS, Outcome

_DARK_BELOW = 100  # median grey level
_QUANTILES = (1.0, 99.7)
DISPLAY_GAMMA = 0.7
_WEBP_EFFORT = 2
_LONGEST_WEBP_PX = 16383
_RIM_LIGHT = 0.35


def stretch_for_display(image: Image) -> Image:
    """Stretch the contrast of a dark image to the full range; return a bright one unchanged.

    Parameters
    ----------
    image : (H, W, 3) uint8

    Notes
    -----
    Many fluorescence images use a tenth of the range and look black on a screen. All channels are
    stretched alike, so colours keep their hue.
    """
    shown = find_display_range(image)
    if shown is None:
        return image
    low, high = shown
    level = np.clip((np.arange(256) - low) / (high - low), 0, 1) ** DISPLAY_GAMMA
    return np.asarray((255 * level).round().astype(np.uint8)[image])


def find_display_range(image: Image) -> tuple[float, float] | None:
    """Return the grey levels that become black and white; None if an image is not stretched."""
    if np.median(image) >= _DARK_BELOW:
        return None
    low, high = np.percentile(image.max(axis=2), _QUANTILES)
    # A flat image stays flat: its noise is not worth a stretch.
    return float(low), float(low + max(high - low, 16))


def enlarge(pixels: NDArray[np.generic], factor: int) -> NDArray[np.generic]:
    """Repeat each pixel ``factor`` times along rows and columns."""
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def find_outlines(labels: Labels, *, width_px: int = 1) -> NDArray[np.bool_]:
    """Mark the pixels of each nucleus within ``width_px`` of another nucleus or the background.

    Parameters
    ----------
    labels : (H, W) int32

    Returns
    -------
    (H, W) bool
        The border of the image is not an outline.
    """
    padded = np.pad(labels, width_px, mode="edge")
    height, width = labels.shape
    outline = np.zeros(labels.shape, dtype=bool)
    for step in range(-width_px, width_px + 1):
        row = padded[width_px + step :][:height, width_px:][:, :width]
        column = padded[width_px:, width_px + step :][:height, :width]
        outline |= (row != labels) | (column != labels)
    return outline & (labels > 0)


def overlay_outcomes(
    image: Image, labels: Labels, outcomes: Mapping[int, Outcome], *, line_px: int = 2
) -> Image:
    """Draw the outlines of nuclei over an image, coloured by outcome.

    Parameters
    ----------
    image : (H, W, 3) uint8
    labels : (H, W) int32
    outcomes : mapping of int to Outcome
        By label; other nuclei get no outline.
    line_px : int
        Width of the outlines, which lie inside the nuclei.

    Returns
    -------
    (H, W, 3) uint8

    Notes
    -----
    A dark rim of one pixel on both sides keeps all colours visible on bright images.
    """
    palette = np.zeros((max(int(labels.max()), *outcomes, 0) + 1, 3), dtype=np.uint8)
    is_drawn = np.zeros(len(palette), dtype=bool)
    for label, outcome in outcomes.items():
        palette[label] = parse_colour(COLOURS[outcome])
        is_drawn[label] = True
    line = find_outlines(labels, width_px=line_px) & is_drawn[labels]
    rim = cv2.dilate(line.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~line
    drawn = image.copy()
    drawn[rim] = (drawn[rim] * _RIM_LIGHT).astype(np.uint8)
    drawn[line] = palette[labels[line]]
    return drawn


def write_letters(
    picture: Image, labels: Labels, outcomes: Mapping[int, Outcome], *, size_px: int = 20
) -> Image:
    """Write the letter of its outcome on each nucleus, except on hits and small nuclei.

    Parameters
    ----------
    picture : (H, W, 3) uint8
    labels : (H, W) int32
    outcomes : mapping of int to Outcome
        By label.
    size_px : int
        Height of the letters; nuclei smaller than its square get none.
    """
    canvas = Pillow.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size_px)
    areas_px, columns, rows = _measure(labels)
    for label, outcome in outcomes.items():
        if not LETTERS[outcome] or areas_px[label] < size_px**2:
            continue
        place = (float(columns[label]), float(rows[label]))
        for colour, stroke_px in (("black", 3), (COLOURS[outcome], 1)):
            ink: dict[str, Any] = {"fill": colour, "stroke_fill": colour, "stroke_width": stroke_px}
            pen.text(place, LETTERS[outcome], font=font, anchor="mm", **ink)
    return np.asarray(canvas)


def _measure(labels: Labels) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the area and the column and row of the centre of each label; of 0, the background."""
    height, width = labels.shape
    flat = labels.ravel()
    areas_px = np.bincount(flat, minlength=2)
    columns = np.bincount(flat, np.tile(np.arange(width), height), minlength=2)
    rows = np.bincount(flat, np.repeat(np.arange(height), width), minlength=2)
    return areas_px, columns / np.maximum(areas_px, 1), rows / np.maximum(areas_px, 1)


def draw_thumbnail(
    image: Image, layers: Sequence[tuple[Labels, Mapping[int, Outcome]]], *, side_px: int
) -> Image:
    """Draw a thumbnail of an image with smooth outlines.

    Parameters
    ----------
    image : (H, W, 3) uint8
        Its contrast is stretched.
    layers : sequence of (labels, outcomes)
        Drawn one over the other; see `overlay_outcomes`.
    side_px : int
        Length of the thumbnail's longer side.

    Returns
    -------
    (h, w, 3) uint8
    """
    scale = side_px / max(image.shape[:2])
    width, height = (max(1, round(side * scale)) for side in image.shape[1::-1])
    # Drawn at twice the size and downsampled for smooth outlines.
    double = (2 * width, 2 * height)
    smooth = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_CUBIC
    picture = cv2.resize(stretch_for_display(image), double, interpolation=smooth).astype(np.uint8)
    for labels, outcomes in layers:
        large = cv2.resize(labels, double, interpolation=cv2.INTER_NEAREST)
        picture = overlay_outcomes(picture, np.asarray(large, np.int32), outcomes, line_px=4)
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def parse_colour(text: str) -> tuple[int, int, int]:
    """Parse a colour ``#rrggbb`` to its RGB channels.

    Examples
    --------
    >>> parse_colour("#2273f5")
    (34, 115, 245)
    """
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def find_reduction(shape: tuple[int, ...]) -> int:
    """Return the whole number by which `encode_webp` reduces an image of ``shape`` (H, W, …).

    Examples
    --------
    >>> find_reduction((16383, 100)), find_reduction((100, 16384, 3))
    (1, 2)
    """
    return max(1, math.ceil(max(shape[:2]) / _LONGEST_WEBP_PX))


def encode_webp(pixels: NDArray[np.uint8], *, quality: int) -> str:
    """Encode an image, (H, W, 3) or grey (H, W), as base64 WebP.

    An image larger than the format allows is reduced, each side by `find_reduction`.
    """
    reduction = find_reduction(pixels.shape)
    if reduction > 1:
        size = [max(1, side // reduction) for side in pixels.shape[1::-1]]
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).convert("RGB").save(
        buffer, "WEBP", quality=quality, method=_WEBP_EFFORT
    )
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def pack_labels(labels: Labels) -> str:
    """Encode labels losslessly for a page's script.

    Returns
    -------
    str
        Base64 of the zlib-compressed rows, little-endian uint16, each less the row above it.

    Notes
    -----
    Not encoded as an image, since some browsers alter the pixels that a script reads back.
    """
    n_labels = int(labels.max(initial=0))
    if n_labels > np.iinfo(np.uint16).max:
        raise InputError(f"an image has {n_labels} nuclei; a page can show at most 65535")
    steps = np.diff(labels.astype("<u2"), axis=0, prepend=np.zeros((1, labels.shape[1]), "<u2"))
    return base64.b64encode(zlib.compress(steps.astype("<u2").tobytes(), 9)).decode("ascii")
