"""Load images and labels from the prepared cache."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.dataset.entries import show_name
from kaggle_dsb.dataset.index import IndexRow, find_sets, read_index
from kaggle_dsb.dataset.png import decode_png
from kaggle_dsb.files import InputError

COMPETITION_SOURCE = "dsb2018"
"""Source name of the competition's images, and of all images in older fold tables."""


@dataclass(frozen=True, eq=False)
class Sample:
    """An image and, if known, its ground truth.

    Attributes
    ----------
    id : str
    image : (H, W, 3) uint8
        RGB.
    labels : (H, W) int32, or None
        0 background, 1..N without gaps; None if there are no annotations.
    """

    id: str
    image: NDArray[np.uint8]
    labels: Labels | None


def require_labels(sample: Sample) -> Labels:
    """Return the labels of a sample; raise ``InputError`` if it has none."""
    if sample.labels is None:
        raise InputError(
            f"image {sample.id}: has no masks, but every image of a labelled set needs them; add "
            "them, or remove the image"
        )
    return sample.labels


@dataclass(frozen=True)
class SetSummary:
    """Summary of a set.

    Attributes
    ----------
    name : str
    images, nuclei : int
        Counts; a set without annotations has 0 nuclei.
    sizes : dict of (H, W) to int
        Number of images of each size, the most common first.
    types : dict of str to int
        Number of images of each type, the most common first.
    """

    name: str
    images: int
    nuclei: int
    sizes: dict[tuple[int, int], int]
    types: dict[str, int]


def list_sets(cache: Path) -> dict[str, int]:
    """Return the number of images in each set of a cache.

    Raises
    ------
    InputError
        When the folder is not a cache.
    """
    return {name: len(read_index(cache, name)) for name in find_sets(cache)}


def sizes(cache: Path, set_name: str) -> dict[str, tuple[int, int]]:
    """Return (H, W) of every image of a set by id, without decoding any."""
    return {row.id: row.size for row in read_index(cache, set_name)}


def load_samples(cache: Path, set_name: str) -> list[Sample]:
    """Load a set into memory, ordered by id.

    Parameters
    ----------
    cache : Path
        As `kaggle_dsb.dataset.prepare.prepare` wrote it.
    set_name : str
        One of `list_sets`.

    Raises
    ------
    InputError
        When there is no such cache or set, or one of its files is missing or damaged.
    """
    return [_load(cache / set_name, row) for row in read_index(cache, set_name)]


def image_file(cache: Path, set_name: str, image_id: str) -> Path:
    """Return the path of an image of a set, a PNG."""
    return cache / set_name / "images" / f"{image_id}.png"


def load_image(
    cache: Path, set_name: str, image_id: str, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Load one image of a set, (H, W, 3) uint8; ``size`` is as returned by `sizes`.

    Raises
    ------
    InputError
        When its file is missing or damaged.
    """
    return _load_image(cache / set_name, IndexRow(image_id, size, None))


def describe(cache: Path, classify: Callable[[NDArray[np.uint8]], str]) -> list[SetSummary]:
    """Summarise every set of a cache.

    Parameters
    ----------
    cache : Path
    classify : callable
        Returns the type of an image.
    """
    return [_summarise(cache, name, classify) for name in list_sets(cache)]


def _summarise(cache: Path, name: str, classify: Callable[[NDArray[np.uint8]], str]) -> SetSummary:
    rows = read_index(cache, name)
    types = Counter(classify(_load_image(cache / name, row)) for row in rows)
    return SetSummary(
        name=name,
        images=len(rows),
        nuclei=sum(row.nuclei or 0 for row in rows),
        sizes=dict(Counter(row.size for row in rows).most_common()),
        types=dict(types.most_common()),
    )


def _load(folder: Path, row: IndexRow) -> Sample:
    image = _load_image(folder, row)
    if row.nuclei is None:
        return Sample(row.id, image, None)
    labels = _read_png(folder / "labels" / f"{row.id}.png", row.size, np.uint16)
    return Sample(row.id, image, labels.astype(np.int32))


def _load_image(folder: Path, row: IndexRow) -> NDArray[np.uint8]:
    image = _read_png(folder / "images" / f"{row.id}.png", (*row.size, 3), np.uint8)
    return np.ascontiguousarray(image)


def _read_png(path: Path, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
    try:
        decoded = decode_png(path.read_bytes())
    except (OSError, InputError):
        decoded = None
    if decoded is None or decoded.shape != shape or decoded.dtype != dtype:
        raise InputError(
            f"{show_name(str(path))}: is missing or not an image of {shape[0]} x {shape[1]} "
            "pixels; delete the cache and prepare the data again"
        )
    return decoded
