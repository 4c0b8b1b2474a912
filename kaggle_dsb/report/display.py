"""Make pixels fit to be seen: contrast, enlargement, outlines."""

import base64
import io
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from kaggle_dsb.report.outcomes import COLOURS, Outcome

Image = NDArray[np.uint8]
Labels = NDArray[np.int32]

_DARK_BELOW = 100  # median grey level
_QUANTILES = (1.0, 99.7)
_GAMMA = 0.7
_WEBP_EFFORT = 2


def stretch_for_display(image: Image) -> Image:
    """Spread the grey levels of a dark image over the whole range; leave a bright one alone.

    Parameters
    ----------
    image : (H, W, 3) uint8

    Notes
    -----
    Many fluorescence images use a tenth of the range and are black on a screen. All channels are
    spread alike, so colours keep their hue.
    """
    if np.median(image) >= _DARK_BELOW:
        return image
    low, high = np.percentile(image.max(axis=2), _QUANTILES)
    # A flat image stays flat: its noise is not worth a stretch.
    level = np.clip((np.arange(256) - low) / max(high - low, 16), 0, 1) ** _GAMMA
    return np.asarray((255 * level).round().astype(np.uint8)[image])


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
        The image's own edge is no outline.
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
    image: Image, labels: Labels, outcomes: dict[int, Outcome], *, factor: int = 1
) -> Image:
    """Draw the outlines of nuclei over an image, coloured by what happened to each.

    Parameters
    ----------
    image : (H, W, 3) uint8
    labels : (H, W) int32
    outcomes : dict of int to Outcome
        By label.
    factor : int
        The picture is enlarged so many times; the outlines stay thin.

    Returns
    -------
    (factor * H, factor * W, 3) uint8
    """
    palette = np.zeros((int(labels.max()) + 1, 3), dtype=np.uint8)
    for label, outcome in outcomes.items():
        palette[label] = parse_colour(COLOURS[outcome])
    large = enlarge(labels, factor).astype(np.int32)
    drawn = enlarge(image, factor).astype(np.uint8)
    line = find_outlines(large, width_px=max(1, factor - 1))
    drawn[line] = palette[large[line]]
    return drawn


def parse_colour(text: str) -> tuple[int, int, int]:
    """Return the channels of ``#rrggbb``.

    Examples
    --------
    >>> parse_colour("#2273f5")
    (34, 115, 245)
    """
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def encode_webp(pixels: NDArray[np.uint8], *, quality: int) -> str:
    """Encode an image, (H, W, 3) or grey (H, W), as WebP in base 64."""
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).convert("RGB").save(
        buffer, "WEBP", quality=quality, method=_WEBP_EFFORT
    )
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def pack_labels(labels: Labels) -> str:
    """Pack labels so that a page can unpack them exactly.

    Returns
    -------
    str
        In base 64: zlib-compressed rows of little-endian uint16, each less the row above it.

    Notes
    -----
    A picture would do, were it not that some browsers disturb the pixels that a page reads back.
    """
    steps = np.diff(labels.astype("<u2"), axis=0, prepend=np.zeros((1, labels.shape[1]), "<u2"))
    return base64.b64encode(zlib.compress(steps.astype("<u2").tobytes(), 9)).decode("ascii")


def unpack_labels(text: str, shape: tuple[int, int]) -> Labels:
    """Undo `pack_labels`."""
    steps = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u2").reshape(shape)
    return steps.cumsum(axis=0, dtype=np.uint16).astype(np.int32)
