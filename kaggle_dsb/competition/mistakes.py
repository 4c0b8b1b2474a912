"""Common mistakes that lower a score without making the files unreadable."""

import numpy as np

from kaggle_dsb.aliases import Labels, LabelsById
from kaggle_dsb.competition.metric import Score, score_image

_IMAGES_TRIED = 8
_CLEAR_GAIN = 0.05
_CLEAR_RATIO = 10


def find_likely_mistakes(
    truth: LabelsById, predicted: LabelsById, score: Score, *, from_runs: bool
) -> list[str]:
    """List what is probably wrong with scored labels, one sentence each.

    Parameters
    ----------
    truth, predicted
        Labels (H, W) by image id.
    score
        The score of these labels.
    from_runs
        Whether the prediction was run-length encoded, possibly with a different pixel numbering.
    """
    return [
        *(_find_binary_masks(score) or _find_unequal_counts(score)),
        *(_find_other_numbering(truth, predicted) if from_runs else []),
    ]


def _find_binary_masks(score: Score) -> list[str]:
    images = score.images.values()
    n_true = [image.n_true for image in images]
    n_predicted = [image.n_predicted for image in images]
    return [
        f"no image of the {name} has more than one label, the other has "
        f"{sum(others) / len(others):.0f} per image: are these binary masks? Each nucleus needs "
        "its own label, e.g. from skimage.measure.label"
        for name, labels, others in [
            ("prediction", n_predicted, n_true),
            ("truth", n_true, n_predicted),
        ]
        if max(labels) == 1 and sum(others) >= 2 * len(others)
    ]


def _find_unequal_counts(score: Score) -> list[str]:
    n_true = sum(image.n_true for image in score.images.values())
    n_predicted = sum(image.n_predicted for image in score.images.values())
    fewer, more = sorted([n_true, n_predicted])
    if more < _CLEAR_RATIO * max(fewer, 1):
        return []
    return [
        f"{n_predicted} predicted nuclei for {n_true} true ones: do both cover the same images at "
        "the same size?"
    ]


def _find_other_numbering(truth: LabelsById, predicted: LabelsById) -> list[str]:
    """Score the runs as if their pixels were numbered along rows, or from 0."""
    ids = [image_id for image_id in truth if predicted[image_id].any()][:_IMAGES_TRIED]
    if not ids:
        return []
    scores = {
        meaning: float(
            np.mean([score_image(truth[i], _renumber_as(predicted[i], meaning)).score for i in ids])
        )
        for meaning in ("as asked", "along rows", "from 0", "along rows and from 0")
    }
    best = max(scores, key=lambda meaning: scores[meaning])
    if scores[best] - scores["as asked"] < _CLEAR_GAIN:
        return []
    return [
        f"with pixels numbered {best}, the run-length encoding of {len(ids)} images scores "
        f"{scores[best]:.4f} instead of {scores['as asked']:.4f}; the competition numbers pixels "
        "from 1, down the columns"
    ]


def _renumber_as(labels: Labels, meaning: str) -> Labels:
    flat = labels.T.ravel()
    if "from 0" in meaning:
        flat = np.concatenate([[0], flat[:-1]])
    height, width = labels.shape
    return flat.reshape(height, width) if "rows" in meaning else flat.reshape(width, height).T
