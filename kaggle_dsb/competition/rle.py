"""Run-length encoding (RLE) of masks, as defined by the competition.

A run is a start and a length. Pixels are numbered from 1 in column-major order: down the first
column, then down the second. The runs of a mask are sorted and disjoint.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.competition.labels import check_labels, check_size, find_stretches, relabel
from kaggle_dsb.competition.table import shorten
from kaggle_dsb.files import InputError

Runs = NDArray[np.int64]
"""Runs, (n, 2) int64: start, from 1, and length."""

# Eighteen digits fit into int64, and so does the sum of a start and a length.
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_PAIRS = re.compile(r"(?:[0-9]{1,18} [0-9]{1,18}(?: |$))*")
_SHOWN_CHARACTERS = 40


def find_pixels(runs: Runs, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return the pixels of runs as column-major indices from 0.

    Raises
    ------
    InputError
        When a run extends beyond the image of ``shape`` (H, W).
    """
    starts, lengths = check_fit(runs, shape).T
    n_earlier = np.cumsum(lengths) - lengths
    return np.repeat(starts - 1 - n_earlier, lengths) + np.arange(lengths.sum())


def check_fit(runs: Runs, shape: tuple[int, int]) -> Runs:
    """Return ``runs`` as (n, 2) int64; raise ``InputError`` if one extends beyond the image."""
    height, width = check_size(shape)
    array = np.asarray(runs, dtype=np.int64).reshape(-1, 2)
    starts, lengths = array.T
    outside = (starts < 1) | (lengths < 1) | (starts + lengths - 1 > height * width)
    if outside.any():
        first = np.argmax(outside)
        raise InputError(
            f"run ({starts[first]}, {lengths[first]}) does not fit "
            f"an image of {height} x {width} pixels"
        )
    return array


def format_runs(runs: Runs) -> str:
    """Format runs for the ``EncodedPixels`` column.

    Examples
    --------
    >>> format_runs(np.array([[2, 2], [5, 1]]))
    '2 2 5 1'
    """
    return " ".join(map(str, np.asarray(runs).ravel().tolist()))


def parse_runs(text: str) -> Runs:
    """Parse a value of the ``EncodedPixels`` column; an empty string holds no runs.

    Raises
    ------
    InputError
        When the text is not a list of ``start length`` pairs, or the runs are not sorted and
        disjoint.

    Examples
    --------
    >>> parse_runs("2 2 5 1")
    array([[2, 2],
           [5, 1]])
    """
    if not _PAIRS.fullmatch(text):
        entries = text.split()
        _check_entries(text, entries)
        text = " ".join(entries)
    runs = np.fromstring(text, dtype=np.int64, sep=" ").reshape(-1, 2)
    _check_order(runs)
    return runs


def _check_entries(text: str, entries: list[str]) -> None:
    """Raise ``InputError`` unless the entries are pairs of integers."""
    if text.lstrip().startswith(("[", "(")):
        raise InputError(
            f"{shorten(text, _SHOWN_CHARACTERS)} is a printed Python list; write numbers separated "
            "by spaces: 1 2 7 3"
        )
    for entry in entries:
        if not _INTEGER.fullmatch(entry):
            raise InputError(
                f"{shorten(entry, _SHOWN_CHARACTERS)} is not an integer; write starts and lengths "
                "separated by spaces: 1 2 7 3"
            )
    if len(entries) % 2:
        raise InputError(
            f"{shorten(text, _SHOWN_CHARACTERS)} has {len(entries)} entries, an odd number; "
            "every start needs its length: 1 2 7 3"
        )


def _check_order(runs: Runs) -> None:
    """Raise ``InputError`` unless starts and lengths are positive, the runs sorted and disjoint."""
    starts, lengths = runs.T
    faulty = (starts < 1) | (lengths < 1)
    if faulty.any():
        start, length = runs[np.argmax(faulty)]
        raise InputError(
            f"run ({start}, {length}) is invalid; starts count from 1 and lengths are at least 1"
        )
    faulty = starts[1:] < starts[:-1] + lengths[:-1]
    if faulty.any():
        first = np.argmax(faulty)
        (start, length), (next_start, next_length) = runs[first], runs[first + 1]
        fault = "is out of order" if next_start < start else "overlaps the run before it"
        raise InputError(
            f"run ({next_start}, {next_length}) after ({start}, {length}) {fault}; runs must be "
            "sorted and disjoint"
        )


def encode_labels(labels: ArrayLike) -> list[str]:
    """Encode each nucleus of a label image as a string of runs, in the order of the labels.

    Parameters
    ----------
    labels
        (H, W) integers, 0 for background; gaps between labels are skipped.

    Examples
    --------
    >>> encode_labels([[1, 1, 9],
    ...                [0, 1, 9]])
    ['1 1 3 2', '5 2']
    """
    return [format_runs(runs) for runs in labels_to_runs(labels)]


def labels_to_runs(labels: ArrayLike) -> list[Runs]:
    """Return the runs of each nucleus of a label image, as `encode_labels` takes it.

    Examples
    --------
    >>> [runs.tolist() for runs in labels_to_runs([[1, 1, 9], [0, 1, 9]])]
    [[[1, 1], [3, 2]], [[5, 2]]]
    """
    flat = check_labels(labels).T.ravel()
    starts, lengths = find_stretches(flat)
    nuclei = flat[starts]
    order = np.argsort(nuclei, kind="stable")
    order = order[nuclei[order] > 0]
    runs = np.stack([starts[order] + 1, lengths[order]], axis=1)
    firsts, _ = find_stretches(nuclei[order])
    return np.split(runs, firsts)[1:]


def decode_labels(
    runs_of_nuclei: Sequence[Runs], shape: tuple[int, int], *, first_wins: bool = False
) -> Labels:
    """Decode the runs of an image's nuclei to a label image, 1..N.

    Parameters
    ----------
    runs_of_nuclei
        Runs of each nucleus; one without runs gets no label.
    shape
        (H, W) of the image.
    first_wins
        Give a shared pixel to the first nucleus instead of raising an error.

    Raises
    ------
    InputError
        When a run extends beyond the image, or, unless ``first_wins``, two nuclei share a pixel.

    Examples
    --------
    >>> decode_labels([parse_runs("1 1 3 2"), parse_runs("5 2")], (2, 3))
    array([[1, 1, 2],
           [0, 1, 2]], dtype=int32)
    """
    height, width = check_size(shape)
    runs = check_fit(np.concatenate([np.empty((0, 2), np.int64), *runs_of_nuclei]), shape)
    if have_shared_pixels(runs):
        flat = _paint_in_order(runs_of_nuclei, shape, first_wins=first_wins)
    else:
        counts = np.array([len(nucleus) for nucleus in runs_of_nuclei], dtype=np.int64)
        labels = np.repeat(np.cumsum(counts > 0, dtype=np.int32), counts)
        flat = _paint_disjoint(runs, labels, height * width)
    return np.ascontiguousarray(flat.reshape(width, height).T)


def have_shared_pixels(runs: Runs) -> bool:
    """Return whether any two runs overlap; ``runs`` is (n, 2), in any order."""
    starts, lengths = runs[np.argsort(runs[:, 0])].T
    return bool(np.any(starts[1:] < starts[:-1] + lengths[:-1]))


def _paint_disjoint(runs: Runs, labels: Labels, size: int) -> Labels:
    """Paint disjoint runs into a flat label image, each with its label."""
    order = np.argsort(runs[:, 0])
    starts, lengths = runs[order].T
    # Background and runs alternate: b0 r0 b1 r1 ... bn.
    bounds = np.zeros(2 * len(runs) + 2, dtype=np.int64)
    bounds[1:-1:2] = starts - 1
    bounds[2:-1:2] = starts - 1 + lengths
    bounds[-1] = size
    values = np.zeros(2 * len(runs) + 1, dtype=np.int32)
    values[1::2] = labels[order]
    return np.repeat(values, np.diff(bounds))


def _paint_in_order(
    runs_of_nuclei: Sequence[Runs], shape: tuple[int, int], *, first_wins: bool
) -> Labels:
    """Paint one nucleus after the other into a flat label image; see `decode_labels`."""
    flat = np.zeros(shape[0] * shape[1], dtype=np.int32)
    for number, runs in enumerate(runs_of_nuclei, start=1):
        pixels = find_pixels(runs, shape)
        taken = flat[pixels] > 0
        if taken.any() and not first_wins:
            raise InputError(
                f"nucleus {number} shares {np.count_nonzero(taken)} px with "
                f"nucleus {flat[pixels[taken][0]]}; a pixel belongs to at most one"
            )
        flat[pixels[~taken]] = number
    return relabel(flat[np.newaxis]).ravel()
