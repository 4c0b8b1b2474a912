"""The second level: how well each candidate nucleus would score, and which to keep.

A forest predicts the quality of every candidate from its shape and its probabilities; the best set
of candidates that do not overlap is taken. The winners of the competition did this with a
regressor of each nucleus's intersection over union that chose among three ways to cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.competition.metric import THRESHOLDS_PERCENT
from kaggle_dsb.instances.candidates import LEVELS, CandidateTree, Floats, find_candidates
from kaggle_dsb.instances.features import FEATURES, describe_candidates
from kaggle_dsb.instances.forest import Forest, load_forests, save_forests
from kaggle_dsb.instances.outline import relative_grey
from kaggle_dsb.instances.outline_choice import FEATURES_OF_A_LEVEL
from kaggle_dsb.instances.size import median_diameter

MIN_SEED_PX = 5
NAMES = {"quality": FEATURES, "outline": FEATURES_OF_A_LEVEL}


@dataclass(frozen=True)
class SecondLevel:
    """What was learned from the images outside one fold.

    Attributes
    ----------
    quality : Forest
        Predicts how well a version of a candidate would score.
    outline : Forest
        Predicts what a level for all nuclei of an image would gain against the usual one.
    """

    quality: Forest
    outline: Forest

    def save(self, path: Path) -> None:
        """Keep both forests in one file."""
        save_forests(path, vars(self), names=NAMES)


def load_second_level(path: Path) -> SecondLevel:
    """Load what :meth:`SecondLevel.save` kept.

    Raises
    ------
    InputError
        When it cannot be read, or was trained on other features than those of now.
    """
    return SecondLevel(**load_forests(path, names=NAMES))


def quality_of(tree: CandidateTree, truth: NDArray[np.int32]) -> Floats:
    """Give the share of thresholds at which each version of each candidate hits a true nucleus.

    Returns
    -------
    (n_versions, n_candidates) float64, in [0, 1]
    """
    n_true = int(truth.max()) + 1
    true_area = np.bincount(truth.ravel(), minlength=n_true)[1:]
    found = []
    for level in LEVELS:
        labels = tree.version(level)
        pairs = np.bincount(
            labels.ravel().astype(np.int64) * n_true + truth.ravel(),
            minlength=(tree.n_basins + 1) * n_true,
        ).reshape(-1, n_true)[1:]
        shared = tree.members @ pairs.astype(np.float64)
        union = shared.sum(axis=1, keepdims=True) + true_area - shared[:, 1:]
        hits = [100 * shared[:, 1:] > t * union for t in THRESHOLDS_PERCENT]
        found.append(np.mean(hits, axis=0).max(axis=1, initial=0))
    return np.stack(found)


def describe(
    probability: NDArray[np.float32], image: NDArray[np.uint8], plain: NDArray[np.int32]
) -> tuple[CandidateTree, NDArray[np.float32]]:
    """Give an image's candidates and their features.

    Parameters
    ----------
    probability : (3, H, W) float32, in [0, 1]
        Body, touching border, depth.
    image : (H, W, 3) uint8
    plain : (H, W) int32
        The plain split of the same probability: it tells the usual size.

    Returns
    -------
    tree : CandidateTree
    features : (n_versions, n_candidates, n_features) float32
    """
    grey = relative_grey(image)
    tree = find_candidates(probability, grey, min_seed_px=MIN_SEED_PX)
    diameter_px = median_diameter(plain)
    return tree, describe_candidates(tree, probability, image, grey=grey, diameter_px=diameter_px)


def predict_quality(forests: Sequence[Forest], features: NDArray[np.float32]) -> Floats:
    """Give the mean prediction of some forests, (n_versions, n_candidates) float64."""
    rows = features.reshape(-1, features.shape[-1])
    mean: Floats = np.mean([forest.predict(rows) for forest in forests], axis=0)
    return mean.reshape(features.shape[:-1])
