"""The competition's score: mean precision over ten thresholds of intersection over union (IoU).

At each threshold a predicted nucleus is a hit (true positive, TP) if its IoU with a true nucleus
is greater than the threshold; other predicted nuclei are false positives (FP, invented), other
true nuclei false negatives (FN, missed). The precision is
TP / (TP + FP + FN). An image scores the mean over the thresholds; a set of images scores the mean
over the images.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaggle_dsb.competition.labels import check_labels, check_type, find_stretches
from kaggle_dsb.files import InputError

THRESHOLDS_PERCENT = (50, 55, 60, 65, 70, 75, 80, 85, 90, 95)
"""IoU thresholds in whole percent: as floats, some of them would not be exact."""

_SHOWN_IDS = 5
_THRESHOLDS = np.array(THRESHOLDS_PERCENT)[:, np.newaxis]
_LARGEST_LABEL = np.iinfo(np.int32).max
_LARGEST_TABLE = 2**20  # keys; above this, sorting is faster and smaller than a table


@dataclass(frozen=True)
class Matches:
    """Overlaps between the nuclei of two label images.

    Only pairs that share a pixel are listed; pair k is ``true_labels[true_index[k]]`` with
    ``predicted_labels[predicted_index[k]]``.

    Attributes
    ----------
    true_labels, predicted_labels : (n_true,), (n_predicted,) int64, ascending
        Labels present in each image, without background.
    true_areas_px, predicted_areas_px : (n_true,), (n_predicted,) int64
        Area of each nucleus.
    true_index, predicted_index : (n_pairs,) int64
        The two nuclei of each pair, as indices into the labels.
    intersection_px, union_px : (n_pairs,) int64
        Areas of the intersection and union of each pair.
    """

    true_labels: NDArray[np.int64]
    predicted_labels: NDArray[np.int64]
    true_areas_px: NDArray[np.int64]
    predicted_areas_px: NDArray[np.int64]
    true_index: NDArray[np.int64]
    predicted_index: NDArray[np.int64]
    intersection_px: NDArray[np.int64]
    union_px: NDArray[np.int64]

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each pair, (n_pairs,) float64 in (0, 1]."""
        return self.intersection_px / self.union_px

    @property
    def best_iou_of_true(self) -> NDArray[np.float64]:
        """The largest IoU of each true nucleus, (n_true,) float64; 0 without any overlap."""
        return _largest(self.iou, self.true_index, self.true_labels.size)

    @property
    def best_iou_of_predicted(self) -> NDArray[np.float64]:
        """The largest IoU of each predicted nucleus, (n_predicted,) float64; 0 without overlap."""
        return _largest(self.iou, self.predicted_index, self.predicted_labels.size)

    def hits_at(self, threshold_percent: ArrayLike) -> NDArray[np.bool_]:
        """Return which pairs have an IoU greater than the threshold, (n_pairs,) bool.

        For thresholds of shape (n, 1) the result is (n, n_pairs).

        Notes
        -----
        Compared as integers, so that an IoU of exactly 1/2 is not a hit at 50. For thresholds of
        50 and above a nucleus is in at most one such pair, so no assignment step is needed.
        """
        threshold = np.asarray(threshold_percent)
        hits: NDArray[np.bool_] = 100 * self.intersection_px > threshold * self.union_px
        return hits


def _largest(
    values: NDArray[np.float64], index: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    largest = np.zeros(size)
    np.maximum.at(largest, index, values)
    return largest


def match(truth: ArrayLike, predicted: ArrayLike) -> Matches:
    """Find the overlapping nuclei of two label images, and by how many pixels they overlap.

    Parameters
    ----------
    truth, predicted
        (H, W) integers, 0 for background; gaps between labels and a missing background are fine.

    Raises
    ------
    InputError
        When the sizes differ or either is not a label image.

    Examples
    --------
    >>> match([[1, 1, 1, 0]], [[0, 7, 7, 7]]).iou
    array([0.5])
    """
    true_flat, predicted_flat = _flatten(truth, predicted)
    starts, lengths = find_stretches(true_flat, predicted_flat)
    true_values, n_true_values = _check_values(true_flat[starts])
    predicted_values, n_predicted_values = _check_values(predicted_flat[starts])
    # One integer per pair of labels, so that counting pairs is counting integers.
    keys = true_values * n_predicted_values + predicted_values
    pairs, areas_px = _sum_by_key(keys, lengths, n_true_values * n_predicted_values)
    true_of, predicted_of = np.divmod(pairs, n_predicted_values)
    true_labels, true_areas = _sum_labels(true_of, areas_px, n_true_values)
    predicted_labels, predicted_areas = _sum_labels(predicted_of, areas_px, n_predicted_values)
    overlaps = np.flatnonzero((true_of > 0) & (predicted_of > 0))
    true_index = np.searchsorted(true_labels, true_of[overlaps])
    predicted_index = np.searchsorted(predicted_labels, predicted_of[overlaps])
    intersection = areas_px[overlaps]
    return Matches(
        true_labels=true_labels,
        predicted_labels=predicted_labels,
        true_areas_px=true_areas,
        predicted_areas_px=predicted_areas,
        true_index=true_index,
        predicted_index=predicted_index,
        intersection_px=intersection,
        union_px=true_areas[true_index] + predicted_areas[predicted_index] - intersection,
    )


def _flatten(
    truth: ArrayLike, predicted: ArrayLike
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Flatten two label images, which must have the same size."""
    arrays = check_type(truth), check_type(predicted)
    if arrays[0].shape != arrays[1].shape:
        sizes = [f"{height} x {width}" for height, width in (array.shape for array in arrays)]
        raise InputError(
            f"predicted labels are {sizes[1]} pixels, the image is {sizes[0]}; the sizes must match"
        )
    return arrays[0].ravel(), arrays[1].ravel()


def _check_values(values: NDArray[np.integer]) -> tuple[NDArray[np.int64], int]:
    """Return the labels of all runs as int64, and one more than the largest.

    Every label of the image is among them, so checking these checks all pixels.
    """
    wide = values.astype(np.int64)
    # Viewed as unsigned, a negative number is a large one.
    largest = int(wide.view(np.uint64).max(initial=0))
    if largest > _LARGEST_LABEL:
        check_labels(values[np.newaxis])
        raise InputError(f"labels contain {largest}, above {_LARGEST_LABEL}; relabel first")
    return wide, largest + 1


def _sum_by_key(
    keys: NDArray[np.int64], areas_px: NDArray[np.int64], n_keys: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct keys in ascending order, and the total area of each."""
    if n_keys > _LARGEST_TABLE:
        distinct, keys = np.unique(keys, return_inverse=True)
        return distinct, np.bincount(keys, weights=areas_px).astype(np.int64)
    # The weighted counts are float64, exact for images of up to 2**53 pixels.
    sums = np.bincount(keys, weights=areas_px)
    distinct = np.flatnonzero(sums > 0)
    return distinct, sums[distinct].astype(np.int64)


def _sum_labels(
    labels: NDArray[np.int64], areas_px: NDArray[np.int64], n_labels: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct labels without background, and the area of each."""
    distinct, sums = _sum_by_key(labels, areas_px, n_labels)
    first = int(distinct.size > 0 and distinct[0] == 0)
    return distinct[first:], sums[first:]


@dataclass(frozen=True)
class ImageScore:
    """The counts from which an image's score is computed; they can be summed over images.

    Attributes
    ----------
    n_true, n_predicted : int
        Numbers of true and predicted nuclei.
    hits : tuple of 10 int
        True positives at each of `THRESHOLDS_PERCENT`.
    """

    n_true: int
    n_predicted: int
    hits: tuple[int, ...]

    @property
    def precision(self) -> NDArray[np.float64]:
        """TP / (TP + FP + FN) at each threshold, (10,) float64 in [0, 1].

        Notes
        -----
        An image without true and predicted nuclei gets 1, as it has no error. The competition
        does not define this case, and its first stage has no such image.
        """
        hits = np.array(self.hits)
        n_nuclei = self.n_true + self.n_predicted
        return hits / (n_nuclei - hits) if n_nuclei else np.ones(hits.size)

    @property
    def score(self) -> float:
        """The mean precision over the thresholds, in [0, 1]."""
        return float(self.precision.mean())


def score_image(truth: ArrayLike, predicted: ArrayLike) -> ImageScore:
    """Score predicted labels against the ground truth.

    Parameters
    ----------
    truth, predicted
        As for `match`.

    Raises
    ------
    InputError
        As for `match`.

    Notes
    -----
    An image without true and predicted nuclei scores 1.

    Examples
    --------
    >>> score_image([[1, 1, 0, 2]], [[5, 5, 0, 0]]).score
    0.5
    """
    matches = match(truth, predicted)
    return ImageScore(
        n_true=matches.true_labels.size,
        n_predicted=matches.predicted_labels.size,
        hits=tuple(np.count_nonzero(matches.hits_at(_THRESHOLDS), axis=1).tolist()),
    )


@dataclass(frozen=True)
class Score:
    """The score of a set of images.

    Attributes
    ----------
    images : dict of str to ImageScore
        The score of each image by its id, in the order of the truth.
    """

    images: dict[str, ImageScore]

    @property
    def mean(self) -> float:
        """The competition's score: the mean over the images, in [0, 1]."""
        return float(np.mean([image.score for image in self.images.values()]))

    @property
    def per_threshold(self) -> NDArray[np.float64]:
        """The mean precision over the images at each threshold, (10,) float64 in [0, 1]."""
        precision = np.array([image.precision for image in self.images.values()])
        mean: NDArray[np.float64] = precision.mean(axis=0)
        return mean

    @property
    def pooled(self) -> NDArray[np.float64]:
        """The precision at each threshold, pooled over all nuclei, (10,) float64 in [0, 1].

        Notes
        -----
        The average precision that StarDist reports [1]_: counts are summed over the images before
        dividing, so an image's weight grows with its number of nuclei. StarDist also counts an
        IoU equal to the threshold as a hit; here it must be greater, as in the competition.

        References
        ----------
        .. [1] U. Schmidt et al., Cell Detection with Star-convex Polygons, MICCAI 2018.
        """
        images = self.images.values()
        hits = np.sum([image.hits for image in images], axis=0)
        n_true = sum(image.n_true for image in images)
        n_predicted = sum(image.n_predicted for image in images)
        return ImageScore(n_true, n_predicted, tuple(hits.tolist())).precision


def score_images(truth: Mapping[str, ArrayLike], predicted: Mapping[str, ArrayLike]) -> Score:
    """Score predicted labels against the ground truth, image by image.

    Parameters
    ----------
    truth, predicted
        Labels (H, W) by image id. Predictions without ground truth are not scored: most images of
        the second stage are decoys.

    Raises
    ------
    InputError
        When the truth is empty, an image has no prediction, or its labels cannot be scored.

    Notes
    -----
    An image without true and predicted nuclei scores 1.
    """
    if not truth:
        raise InputError("no images to score; the ground truth is empty")
    missing = [image_id for image_id in truth if image_id not in predicted]
    if missing:
        more = ", ..." if len(missing) > _SHOWN_IDS else ""
        raise InputError(
            f"{len(missing)} of {len(truth)} images have no prediction: "
            f"{', '.join(missing[:_SHOWN_IDS])}{more}"
        )
    return Score({key: _score_named(key, truth[key], predicted[key]) for key in truth})


def _score_named(image_id: str, truth: ArrayLike, predicted: ArrayLike) -> ImageScore:
    try:
        return score_image(truth, predicted)
    except InputError as error:
        raise InputError(f"image {image_id}: {error}") from None
