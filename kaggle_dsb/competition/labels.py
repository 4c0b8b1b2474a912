"""Label images: an integer array in which each nucleus has its own number and background is 0."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.files import InputError

LARGEST_LABELS_PX = 400_000_000
"""Pixels of the largest image that is read, 20,000 x 20,000: its labels take 1.6 GB."""


def check_labels(labels: ArrayLike) -> NDArray[np.integer]:
    """Return ``labels`` as an array, or raise ``InputError`` unless it is a label image.

    Parameters
    ----------
    labels
        (H, W) integers, 0 for background; gaps between labels and a missing background are fine.

    Raises
    ------
    InputError
        When the array is not flat, not of integers, or holds a negative number.
    """
    array = check_type(labels)
    if array.size and array.min() < 0:
        raise InputError(
            f"labels contain {array.min()}; a label is 0 (background) or a positive integer"
        )
    return array


def check_type(labels: ArrayLike) -> NDArray[np.integer]:
    """Return ``labels`` as an array, or raise ``InputError`` unless it is (H, W) of integers."""
    array = np.asarray(labels)
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"labels of shape {array.shape} and type {array.dtype}; expected integers of shape "
            "(H, W)"
        )
    return array


def check_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return ``shape`` as (height, width), or raise ``InputError`` unless it has two entries."""
    if len(shape) != 2:
        raise InputError(f"image shape {shape}; expected a height and a width, (H, W)")
    return int(shape[0]), int(shape[1])


def check_pixels(size: tuple[int, int]) -> tuple[int, int]:
    """Return ``size`` (H, W), or raise ``InputError`` when it is above `LARGEST_LABELS_PX`."""
    height, width = size
    if height * width > LARGEST_LABELS_PX:
        raise InputError(
            f"image of {height} x {width} pixels; the maximum is {LARGEST_LABELS_PX:,} pixels"
        )
    return size


def find_stretches(*flat: NDArray[np.integer]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find the stretches in which none of some flat arrays of equal size changes its value.

    Returns
    -------
    starts, lengths : (n,) intp
        Where each stretch begins, from 0, and how many pixels it holds.

    Notes
    -----
    Nuclei are compact, so an image has some thirty times fewer stretches than pixels. Counting
    stretches rather than pixels is what makes the score and the run lengths quick.
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
    """Number the nuclei 1..N without gaps, in the order of the labels they had.

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


def stack_masks(masks: Iterable[ArrayLike], shape: tuple[int, int] | None = None) -> Labels:
    """Join the masks of an image's nuclei into labels 1..N.

    Parameters
    ----------
    masks
        (H, W) each; every pixel that is not 0 belongs to the nucleus.
    shape
        (H, W) of the image; the first mask's when left out.

    Returns
    -------
    labels : (H, W) int32
        A pixel claimed twice stays with the first mask. A mask left without a pixel of its own
        gets no label, so the labels have no gaps.

    Raises
    ------
    InputError
        When a mask has another shape, or there is neither a mask nor a shape.

    Examples
    --------
    >>> stack_masks([[[1, 1, 0]], [[0, 1, 0]], [[0, 1, 1]]])
    array([[1, 1, 2]], dtype=int32)
    """
    arrays = [np.asarray(mask) for mask in masks]
    if shape is None and not arrays:
        raise InputError("no masks and no shape; pass the shape (H, W) of an image without nuclei")
    size = check_size(arrays[0].shape if shape is None else shape)
    for number, array in enumerate(arrays, start=1):
        if array.shape != size:
            raise InputError(f"mask {number} has shape {array.shape}; the image has {size}")
    return number_pixels((np.flatnonzero(array) for array in arrays), size)


def number_pixels(pixels: Iterable[NDArray[np.intp]], size: tuple[int, int]) -> Labels:
    """Join nuclei given as flat pixel numbers, by rows, into labels 1..N; see `stack_masks`.

    Takes one nucleus at a time, so that a caller who reads masks from files holds one in memory.
    """
    flat = np.zeros(size[0] * size[1], dtype=np.int32)
    count = 0
    for claimed in pixels:
        free = claimed[flat[claimed] == 0]
        count += free.size > 0
        flat[free] = count
    return flat.reshape(size)
