"""Post-process nuclei to look as annotators draw them: one piece, no holes, a smooth outline."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.instances.hills import Integers

SMOOTHNESS = 0.06
"""The standard deviation of the blur of a nucleus, relative to the square root of its area."""


def refine_nuclei(labels: Labels) -> Labels:
    """Return labels (H, W) with each nucleus in one piece, without holes and with a smooth outline.

    Notes
    -----
    The largest connected piece of a nucleus is kept, filled, blurred in proportion to its size
    (`SMOOTHNESS`), and thresholded at 0.5, which leaves straight outlines in place. No pixel is
    taken from another nucleus.
    """
    refined = np.zeros_like(labels)
    for label, (rows, columns) in _boxes(labels):
        box = np.s_[
            max(rows.start - 1, 0) : rows.stop + 1, max(columns.start - 1, 0) : columns.stop + 1
        ]
        own = labels[box] == label
        np.copyto(refined[box], label, where=_smooth(own) & (own | (labels[box] == 0)))
    return refined


def _smooth(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest piece of a mask, smoothed; edge values are replicated outwards."""
    whole = _largest_piece(mask)
    sigma = SMOOTHNESS * float(np.sqrt(np.count_nonzero(whole)))
    blurred = cv2.GaussianBlur(
        whole.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE
    )
    smooth = blurred > 0.5
    return _largest_piece(smooth) if smooth.any() else whole


def _largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected piece of a non-empty mask, with its holes filled."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    # By the number of pixels: the outline passes through the centres of those at the border.
    largest = max(outlines, key=lambda outline: cv2.contourArea(outline) + len(outline) / 2)
    filled: NDArray[np.uint8] = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(filled, [largest], 0, 1, cv2.FILLED)
    return filled > 0


def group_pixels(labels: Labels) -> tuple[Integers, Integers]:
    """Sort the pixels of labels (H, W) by label.

    Returns
    -------
    pixels : (n_pixels,) int64
        Indices into the flattened labels, without the background.
    starts : (n_labels,) int64
        The index of the first pixel of each label among them.
    """
    pixels: Integers = np.flatnonzero(labels)
    pixels = pixels[np.argsort(labels.take(pixels), kind="stable")]
    return pixels, np.flatnonzero(np.diff(labels.take(pixels), prepend=0))


def _boxes(labels: Labels) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """Yield each label with its bounding box."""
    pixels, starts = group_pixels(labels)
    if not starts.size:
        return
    ranges = []
    for place in np.divmod(pixels, labels.shape[1]):
        low, high = np.minimum.reduceat(place, starts), np.maximum.reduceat(place, starts) + 1
        ranges.append([slice(*ends) for ends in zip(low.tolist(), high.tolist(), strict=True)])
    yield from zip(labels.take(pixels[starts]).tolist(), zip(*ranges, strict=True), strict=True)
