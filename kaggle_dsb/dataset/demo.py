"""A synthetic data set in the competition's layout, to try the whole toolkit in a minute."""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.competition.labels import relabel
from kaggle_dsb.competition.rle import encode_labels
from kaggle_dsb.dataset import TEST_SETS, TRAIN_SET
from kaggle_dsb.dataset.building import building, remove_old_builds
from kaggle_dsb.dataset.scenes import draw_scene
from kaggle_dsb.files import InputError

_SOLUTION_COLUMNS = ("ImageId", "EncodedPixels", "Height", "Width", "Usage")


def write_demo(
    folder: Path,
    *,
    n_train: int = 24,
    n_test: int = 12,
    seed: int = 0,
    largest_px: int | None = None,
) -> None:
    """Write a synthetic data set: fluorescence, stained tissue and brightfield.

    Parameters
    ----------
    folder : Path
        Empty or nonexistent. Receives ``stage1_train`` (``ID/images/ID.png`` and
        ``ID/masks/*.png``), ``stage1_test``, ``stage1_solution.csv`` and
        ``stage1_sample_submission.csv``.
    n_train, n_test : int
        Numbers of images; eight consecutive ones cover all looks.
    seed : int
        The same seed gives the same files, byte for byte.
    largest_px : int, optional
        Crop images to this height and width, for speed.

    Raises
    ------
    InputError
        When the folder is not empty, or a number is below one.

    Notes
    -----
    The looks were modelled on the competition's images by eye; none of their pixels are used.
    """
    if min(n_train, n_test) < 1:
        raise InputError(
            f"{n_train} training and {n_test} test images; at least one of each is needed"
        )
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"{folder}: is not empty; choose a new or empty folder for the demo data")
    for number in range(n_train):
        image_id, image, labels = _make_picture(seed, 0, number, largest_px)
        _write_image(folder / TRAIN_SET, image_id, image)
        _write_masks(folder / TRAIN_SET / image_id / "masks", labels)
    truth = {}
    for number in range(n_test):
        image_id, image, labels = _make_picture(seed, 1, number, largest_px)
        _write_image(folder / TEST_SETS[0], image_id, image)
        truth[image_id] = labels
    _write_tables(folder, dict(sorted(truth.items())))


def ensure_demo(folder: Path) -> None:
    """Write the demo set unless it exists; safe when several processes do so concurrently."""
    remove_old_builds(folder.parent)
    if not folder.exists():
        with building(folder, is_whole=folder.exists) as build:
            write_demo(build)


def make_image(seed: int, *, look: int = 0) -> tuple[NDArray[np.uint8], Labels]:
    """Generate one synthetic image and its ground truth.

    Parameters
    ----------
    seed : int
    look : int
        Index of the look, modulo eight.

    Returns
    -------
    image : (H, W, 3) uint8, RGB
    labels : (H, W) int32, 1..N

    Examples
    --------
    >>> image, labels = make_image(3)
    >>> image.shape[:2] == labels.shape
    True
    """
    return draw_scene(np.random.default_rng(seed), look)


def _make_picture(
    seed: int, part: int, number: int, largest_px: int | None
) -> tuple[str, NDArray[np.uint8], Labels]:
    image, labels = draw_scene(np.random.default_rng([seed, part, number]), number)
    crop = slice(largest_px), slice(largest_px)
    return _name(f"image {seed} {part} {number}"), image[crop], relabel(labels[crop])


def _name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _write_image(folder: Path, image_id: str, image: NDArray[np.uint8]) -> None:
    # The competition's files have an alpha channel too.
    alpha = np.full((*image.shape[:2], 1), 255, np.uint8)
    path = folder / image_id / "images" / f"{image_id}.png"
    _write_png(path, np.concatenate([image[..., ::-1], alpha], axis=2))


def _write_masks(folder: Path, labels: Labels) -> None:
    for label in range(1, int(labels.max()) + 1):
        mask = (labels == label).astype(np.uint8) * 255
        _write_png(folder / f"{_name(f'{folder.parent.name} {label}')}.png", mask)


def _write_png(path: Path, image: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _, encoded = cv2.imencode(".png", image)
    path.write_bytes(encoded.tobytes())


def _write_tables(folder: Path, truth: dict[str, Labels]) -> None:
    solution = [
        (image_id, runs, *labels.shape, "Public")
        for image_id, labels in truth.items()
        for runs in encode_labels(labels) or [""]
    ]
    _write_csv(folder / "stage1_solution.csv", _SOLUTION_COLUMNS, solution)
    # Like Kaggle's own sample submission: the first pixel of every image.
    sample = [(image_id, "1 1") for image_id in truth]
    _write_csv(folder / "stage1_sample_submission.csv", _SOLUTION_COLUMNS[:2], sample)


def _write_csv(path: Path, columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
