"""Alternatives for the same tasks: libraries if installed, and loops of public kernels, rewritten.

The libraries are the optional dependencies ``bench``; stardist and cellpose are used if installed.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int32]
Scorer = Callable[[Labels, Labels], object]

FLOAT_THRESHOLDS = np.arange(0.5, 1.0, 0.05)


def score_with_bincount(truth: Labels, predicted: Labels) -> float:
    """Score exactly, from one `numpy.bincount` of the label pairs of all pixels."""
    n_true, n_predicted = int(truth.max()) + 1, int(predicted.max()) + 1
    pairs = truth.ravel().astype(np.int64) * n_predicted + predicted.ravel()
    areas = np.bincount(pairs, minlength=n_true * n_predicted).reshape(n_true, n_predicted)
    true_areas, predicted_areas = areas.sum(axis=1)[1:], areas.sum(axis=0)[1:]
    intersection = areas[1:, 1:]
    union = true_areas[:, np.newaxis] + predicted_areas - intersection
    n_nuclei = np.count_nonzero(true_areas) + np.count_nonzero(predicted_areas)
    hits = [np.count_nonzero(100 * intersection > t * union) for t in range(50, 100, 5)]
    return float(np.mean([n / (n_nuclei - n) for n in hits])) if n_nuclei else 1.0


def score_with_histogram2d(truth: Labels, predicted: Labels) -> float:
    """Score as many public kernels did; correct only for labels 0..N with background."""
    n_true, n_predicted = len(np.unique(truth)), len(np.unique(predicted))
    bins = (n_true, n_predicted)
    intersection = np.histogram2d(truth.ravel(), predicted.ravel(), bins=bins)[0]
    true_areas = np.histogram(truth, bins=n_true)[0][:, np.newaxis]
    predicted_areas = np.histogram(predicted, bins=n_predicted)[0]
    union = np.maximum(true_areas + predicted_areas - intersection, 1e-9)
    iou = (intersection / union)[1:, 1:]
    precisions = []
    for threshold in FLOAT_THRESHOLDS:
        matches = iou > threshold
        hits = np.sum(matches.sum(axis=1) == 1)
        missed = np.sum(matches.sum(axis=1) == 0)
        invented = np.sum(matches.sum(axis=0) == 0)
        precisions.append(hits / (hits + missed + invented))
    return float(np.mean(precisions))


def cellpose_scorer() -> Scorer | None:
    """Return cellpose's ``average_precision``, or None if it is not installed."""
    if not find_spec("cellpose"):
        return None
    from cellpose.metrics import average_precision

    return lambda truth, predicted: average_precision(truth, predicted, FLOAT_THRESHOLDS)


def stardist_scorer() -> Scorer | None:
    """Return stardist's ``matching``, or None if it is not installed."""
    if not find_spec("stardist"):
        return None
    from stardist.matching import matching

    return lambda truth, predicted: matching(truth, predicted, thresh=tuple(FLOAT_THRESHOLDS))


def encode_with_loop(labels: Labels) -> list[list[int]]:
    """Encode mask by mask, pixel by pixel, as most public kernels did."""
    return [_encode_mask(labels == number) for number in range(1, int(labels.max()) + 1)]


def _encode_mask(mask: NDArray[np.bool_]) -> list[int]:
    runs: list[int] = []
    previous = -2
    for pixel in np.where(mask.T.flatten() == 1)[0]:
        if pixel > previous + 1:
            runs.extend((pixel + 1, 0))
        runs[-1] += 1
        previous = pixel
    return runs


def decode_with_loop(texts: list[str], shape: tuple[int, int]) -> Labels:
    """Decode mask by mask, run by run, as most public kernels did."""
    labels = np.zeros(shape, dtype=np.int32)
    for number, text in enumerate(texts, start=1):
        numbers = np.array(text.split(), dtype=int)
        mask = np.zeros(shape[0] * shape[1], dtype=np.uint8)
        for start, length in zip(numbers[::2] - 1, numbers[1::2], strict=True):
            mask[start : start + length] = 1
        labels[mask.reshape(shape[::-1]).T > 0] = number
    return labels


def coco_masks() -> Any | None:
    """Return ``pycocotools.mask``, or None if it is not installed."""
    if not find_spec("pycocotools"):
        return None
    from pycocotools import mask

    return mask


def encode_with_coco(coco: Any, labels: Labels) -> list[dict[str, Any]]:
    """Encode a label image with pycocotools, via the stack of masks that it expects."""
    numbers = np.arange(1, int(labels.max()) + 1)
    masks = np.asfortranarray(labels[..., np.newaxis] == numbers, dtype=np.uint8)
    encoded: list[dict[str, Any]] = coco.encode(masks)
    return encoded


def decode_with_coco(coco: Any, encoded: list[dict[str, Any]]) -> Labels:
    """Decode the masks that `encode_with_coco` returned."""
    masks = coco.decode(encoded)
    labels: Labels = (masks * np.arange(1, masks.shape[2] + 1)).sum(axis=2).astype(np.int32)
    return labels
