"""Train candidate scorers on images with ground truth."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.competition.metric import THRESHOLDS_PERCENT
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.candidates import CandidateTree
from kaggle_dsb.instances.forest_training import train_forest
from kaggle_dsb.instances.hills import Floats
from kaggle_dsb.instances.scorer import CandidateScorer


def candidate_quality(tree: CandidateTree, truth: Labels) -> Floats:
    """Return the share of the IoU thresholds at which each candidate hits a true nucleus.

    Parameters
    ----------
    tree : CandidateTree
    truth : (H, W) int32

    Returns
    -------
    (n_candidates,) float64, in [0, 1]
    """
    n_true = int(truth.max()) + 1
    true_area = np.bincount(truth.ravel(), minlength=n_true)[1:]
    pairs = np.bincount(
        tree.labels.ravel().astype(np.int64) * n_true + truth.ravel(),
        minlength=(tree.n_basins + 1) * n_true,
    ).reshape(-1, n_true)
    cumulated = np.cumsum(pairs, axis=0)
    shared = cumulated[tree.last] - cumulated[tree.first - 1]
    union = shared.sum(axis=1, keepdims=True) + true_area - shared[:, 1:]
    hits = [100 * shared[:, 1:] > percent * union for percent in THRESHOLDS_PERCENT]
    quality: Floats = np.mean(hits, axis=0).max(axis=1, initial=0)
    return quality


def train_scorer(
    features: Sequence[NDArray[np.float32]],
    quality: Sequence[Floats],
    *,
    weights: Sequence[float],
    seed: int,
) -> CandidateScorer:
    """Train a scorer on the candidates of a set of images.

    Parameters
    ----------
    features : sequence of (n_candidates, n_features) float32
        The features of the candidates of each image.
    quality : sequence of (n_candidates,) float64
        Their quality, as `candidate_quality` returns it.
    weights : sequence of float
        The weight of each image, whatever its number of candidates.
    seed : int

    Raises
    ------
    InputError
        When no image has a candidate.
    """
    sizes = np.array([of_image.size for of_image in quality])
    if not sizes.sum():
        raise InputError("the networks find no candidate nuclei: train them longer")
    of_candidates = np.repeat(np.array(weights) * sizes.mean() / np.maximum(sizes, 1), sizes)
    forest = train_forest(
        np.concatenate(features),
        np.concatenate(quality),
        weights=of_candidates,
        seed=seed,
    )
    return CandidateScorer(forest)
