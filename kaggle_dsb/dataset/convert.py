"""Convert one image of a source, with its annotations, to the files of the cache."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.competition.label_files import LARGEST_LABEL_ON_DISK, write_labels
from kaggle_dsb.competition.labels import number_pixels
from kaggle_dsb.dataset.entries import Entry
from kaggle_dsb.dataset.image_files import ImageFiles, and_more
from kaggle_dsb.dataset.index import IndexRow
from kaggle_dsb.dataset.masks import decode_mask
from kaggle_dsb.dataset.pixels import decode_picture, to_rgb_with_warning
from kaggle_dsb.dataset.read_options import ReadOptions
from kaggle_dsb.dataset.truth import describe_coverage, read_truth
from kaggle_dsb.files import InputError


@dataclass
class Converted:
    """The result of converting one image: its row in the index, or faults."""

    row: IndexRow | None = None
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def convert_picture(picture: ImageFiles, folder: Path, options: ReadOptions) -> Converted:
    """Write an image and its labels to the folder of its set in the cache.

    Parameters
    ----------
    picture : ImageFiles
    folder : Path
        Has the folder ``images``, and ``labels`` if any image of the set has nuclei.
    options : ReadOptions
        How to read stacks and binary masks.
    """
    outcome = Converted()
    shape = _convert_image(picture, folder, options, outcome)
    if shape is None:
        return outcome
    nuclei = None
    if picture.has_nuclei:
        nuclei = _convert_nuclei(picture, shape, folder, options, outcome)
    if not outcome.faults:
        outcome.row = IndexRow(picture.id, shape, nuclei)
    return outcome


def _convert_image(
    picture: ImageFiles, folder: Path, options: ReadOptions, outcome: Converted
) -> tuple[int, int] | None:
    if len(picture.images) != 1:
        return None  # the archive has reported this fault
    entry = picture.images[0]
    try:
        image, warning = to_rgb_with_warning(decode_picture(entry.read(), options))
    except InputError as error:
        outcome.faults.append(f"{entry}: {error}")
        return None
    if warning:
        outcome.warnings.append(f"{entry}: {warning}")
    path = folder / "images" / f"{picture.id}.png"
    _, encoded = cv2.imencode(".png", image[..., ::-1])
    path.write_bytes(encoded.tobytes())
    return image.shape[0], image.shape[1]


def _convert_nuclei(
    picture: ImageFiles,
    shape: tuple[int, int],
    folder: Path,
    options: ReadOptions,
    outcome: Converted,
) -> int:
    if picture.truths:
        labels = _read_picture_truth(picture.truths[0], shape, options, outcome)
    else:
        labels = _join_masks(picture, shape, options, outcome)
    count = int(labels.max())
    if count > LARGEST_LABEL_ON_DISK:
        outcome.faults.append(
            f"{picture.set_name}/{picture.id}: {count} nuclei; the maximum is "
            f"{LARGEST_LABEL_ON_DISK}"
        )
    elif not outcome.faults:
        write_labels(folder / "labels" / f"{picture.id}.png", labels)
    return count


def _read_picture_truth(
    entry: Entry, shape: tuple[int, int], options: ReadOptions, outcome: Converted
) -> Labels:
    try:
        labels, warnings = read_truth(entry.path, entry.read(), shape, options)
    except InputError as error:
        outcome.faults.append(f"{entry}: {error}")
        return np.zeros(shape, np.int32)
    if not labels.any():
        warnings = [*warnings, "contains no nuclei"]
    outcome.warnings += [f"{entry}: {warning}" for warning in warnings]
    return labels


def _join_masks(
    picture: ImageFiles, shape: tuple[int, int], options: ReadOptions, outcome: Converted
) -> Labels:
    claimed: Counter[str] = Counter()
    masks = _read_masks(picture, shape, options, outcome)
    labels = number_pixels(_counted(masks, claimed), shape)
    shown = f"{picture.set_name}/{picture.id}"
    overlap_px = claimed["pixels"] - int(np.count_nonzero(labels))
    if overlap_px:
        outcome.warnings.append(
            f"{shown}: masks overlap in {overlap_px} px; the first mask by name keeps them"
        )
    hidden = claimed["masks"] - int(labels.max())
    if hidden:
        outcome.warnings.append(
            f"{shown}: {hidden} of {claimed['masks']} masks are fully covered by others and are "
            "ignored"
        )
    n_parts = cv2.connectedComponents((labels > 0).astype(np.uint8))[0] - 1
    if n_parts > 2 * claimed["masks"]:
        outcome.warnings.append(
            f"{shown}: {claimed['masks']} masks with {n_parts} connected parts in total, each mask "
            "read as one nucleus; --connected-components reads each part as a nucleus"
        )
    return labels


def _counted(
    masks: Iterator[NDArray[np.intp]], claimed: Counter[str]
) -> Iterator[NDArray[np.intp]]:
    for pixels in masks:
        claimed.update(masks=1, pixels=pixels.size)
        yield pixels


def _read_masks(
    picture: ImageFiles, shape: tuple[int, int], options: ReadOptions, outcome: Converted
) -> Iterator[NDArray[np.intp]]:
    """Yield the flat pixel indices of one nucleus at a time, holding one mask in memory."""
    covering: dict[Entry, int] = {}
    for entry in sorted(picture.masks, key=lambda entry: entry.path.name):
        try:
            mask = decode_mask(entry.read())
        except InputError as error:
            outcome.faults.append(f"{entry}: {error}")
            continue
        if mask.shape != shape:
            outcome.faults.append(
                f"{entry}: is {mask.shape[0]} x {mask.shape[1]} pixels; "
                f"its image is {shape[0]} x {shape[1]}"
            )
            continue
        if not mask.any():
            outcome.warnings.append(f"{entry}: is empty; ignored")
            continue
        for pixels in _split_mask(mask, options):
            if 2 * pixels.size > mask.size:
                covering[entry] = pixels.size
            yield pixels
    if covering:
        first = next(iter(covering))
        coverage = describe_coverage(covering[first], shape[0] * shape[1])
        outcome.warnings.append(f"{first}{and_more(len(covering) - 1)}: {coverage}")


def _split_mask(mask: NDArray[Any], options: ReadOptions) -> list[NDArray[np.intp]]:
    """Return the flat pixel indices of each nucleus: of each value, or each connected component."""
    if options.connected_components:
        mask = cv2.connectedComponents((mask > 0).astype(np.uint8))[1]
    flat = mask.ravel()
    pixels = np.flatnonzero(flat)
    ordered = pixels[np.argsort(flat[pixels], kind="stable")]
    return np.split(ordered, np.flatnonzero(np.diff(flat[ordered])) + 1)
