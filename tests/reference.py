"""The same functions written naively: slow, and simple enough to be checked by reading."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def encode(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Walk down every column and note where a run begins and how long it is."""
    height, width = mask.shape
    runs: list[tuple[int, int]] = []
    inside = False
    for column in range(width):
        for row in range(height):
            if mask[row, column] and inside:
                start, length = runs[-1]
                runs[-1] = (start, length + 1)
            elif mask[row, column]:
                runs.append((column * height + row + 1, 1))
            inside = bool(mask[row, column])
    return runs


def encode_labels(labels: NDArray[np.integer]) -> list[str]:
    """Encode the mask of one nucleus after the other."""
    numbers = [number for number in np.unique(labels) if number > 0]
    return [
        " ".join(f"{start} {length}" for start, length in encode(labels == number))
        for number in numbers
    ]


def precision(truth: NDArray[np.integer], predicted: NDArray[np.integer]) -> list[float]:
    """Compare every true mask with every predicted one, in exact fractions."""
    true_masks = [truth == number for number in np.unique(truth) if number > 0]
    predicted_masks = [predicted == number for number in np.unique(predicted) if number > 0]
    if not true_masks and not predicted_masks:
        return [1.0] * 10
    ious = [
        Fraction(int((true & mask).sum()), int((true | mask).sum()))
        for true in true_masks
        for mask in predicted_masks
    ]
    precisions = []
    for percent in range(50, 100, 5):
        hits = sum(iou > Fraction(percent, 100) for iou in ious)
        invented = len(predicted_masks) - hits
        missed = len(true_masks) - hits
        precisions.append(hits / (hits + invented + missed))
    return precisions


def stack_masks(masks: list[NDArray[np.bool_]], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Assign every pixel to the first mask that claims it, then number what is left."""
    owner = np.zeros(shape, dtype=np.int32)
    for row, column in np.ndindex(*shape):
        claims = [number for number, mask in enumerate(masks, start=1) if mask[row, column]]
        owner[row, column] = claims[0] if claims else 0
    labels = np.zeros(shape, dtype=np.int32)
    for new, old in enumerate(sorted(set(owner.ravel().tolist()) - {0}), start=1):
        labels[owner == old] = new
    return labels
