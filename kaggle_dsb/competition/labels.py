"""Label images: integer arrays with a distinct label for each nucleus and 0 for background."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.files import InputError

LARGEST_LABELS_PX = 400_000_000
"""Largest image that is read, 20,000 x 20,000 pixels: its labels take 1.6 GB."""


def check_labels(labels: ArrayLike) -> NDArray[np.integer]:
    """Return ``labels`` as an array; raise ``InputError`` unless it is a label image.

    Parameters
    ----------
    labels
        (H, W) integers, 0 for background; gaps between labels and a missing background are fine.

    Raises
    ------
    InputError
        When the array is not two-dimensional, not of integers, or holds a negative value.
    """
    array = check_type(labels)
    if array.size and array.min() < 0:
        raise InputError(
            f"labels contain {array.min()}; a label is 0 (background) or a positive integer"
        )
    return array


def check_type(labels: ArrayLike) -> NDArray[np.integer]:
    """Return ``labels`` as an array; raise ``InputError`` unless it is an (H, W) integer array."""
    array = np.asarray(labels)
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"labels of shape {array.shape} and type {array.dtype}; expected integers of shape "
            "(H, W)"
        )
    return array


def check_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return ``shape`` as (height, width); raise ``InputError`` unless it has two entries."""
    if len(shape) != 2:
        raise InputError(f"image shape {shape}; expected a height and a width, (H, W)")
    return int(shape[0]), int(shape[1])


def check_pixels(size: tuple[int, int]) -> tuple[int, int]:
    """Return ``size`` (H, W); raise ``InputError`` if its area exceeds `LARGEST_LABELS_PX`."""
    height, width = size
    if height * width > LARGEST_LABELS_PX:
        raise InputError(
            f"image of {height} x {width} pixels; the maximum is {LARGEST_LABELS_PX:,} pixels"
        )
    return size


def find_stretches(*flat: NDArray[np.integer]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find the runs over which all of several flat arrays of equal size are constant.

    Returns
    -------
    starts, lengths : (n,) intp
        Start of each run, from 0, and its length in pixels.

    Notes
    -----
    Nuclei are compact, so an image has about thirty times fewer runs than pixels. Counting runs
    rather than pixels makes scoring and run-length encoding fast.
    """
    first, *others = flat
    changes = np.empty(first.size, dtype=bool)
    changes[:1] = True
    inner = changes[1:]
    np.not_equal(first[1:], first[:-1], out=inner)
    for values in others:
        inner |= values[1:] != values[:-1]
    starts = changes.nonzero()[0]
    lengths = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1:] = first.size - starts[-1:]
    return starts, lengths


def relabel(labels: ArrayLike) -> Labels:
    """Relabel the nuclei 1..N without gaps, in the order of their labels.

    Examples
    --------
    >>> relabel([[9, 0, 2]])
    array([[2, 0, 1]], dtype=int32)
    """
    array = check_labels(labels)
    flat = array.ravel()
    starts, lengths = find_stretches(flat)
    values = flat[starts]
    numbers = np.searchsorted(np.unique(values[values > 0]), values) + 1
    numbers[values == 0] = 0
    return np.repeat(numbers.astype(np.int32), lengths).reshape(array.shape)


def number_pixels(pixels: Iterable[NDArray[np.intp]], size: tuple[int, int]) -> Labels:
    """Combine the nuclei of an image into labels 1..N.

    Parameters
    ----------
    pixels
        The flat (row-major) indices of each nucleus; taken one at a time, so that a caller that
        reads masks from files holds only one in memory.
    size
        (H, W) of the image.

    Returns
    -------
    labels : (H, W) int32
        A pixel of several nuclei gets the label of the first. A nucleus left without pixels of its
        own gets no label, so the labels have no gaps.

    Examples
    --------
    >>> number_pixels([np.array([0, 1]), np.array([1]), np.array([1, 2])], (1, 3))
    array([[1, 1, 2]], dtype=int32)
    """
    flat = np.zeros(size[0] * size[1], dtype=np.int32)
    count = 0
    for claimed in pixels:
        free = claimed[flat[claimed] == 0]
        count += free.size > 0
        flat[free] = count
    return flat.reshape(size)
