"""Train candidate scorers on images with ground truth."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.competition.labels import find_stretches
from kaggle_dsb.competition.metric import THRESHOLDS_PERCENT
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.candidates import CandidateTree
from kaggle_dsb.instances.forest_training import train_forest
from kaggle_dsb.instances.hills import Floats, Integers
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
    labels, true = tree.labels.ravel(), truth.ravel()
    starts, lengths = find_stretches(labels, true)
    runs = _Runs(tree, labels[starts], true[starts].astype(np.int64), lengths)
    nucleus = runs.find_majority()
    shared = runs.count_shared(nucleus)
    true_area = np.bincount(runs.nucleus, lengths, minlength=int(nucleus.max(initial=0)) + 1)
    union = runs.add_up(lengths) + true_area[nucleus] - shared
    hits = [100 * shared > percent * union for percent in THRESHOLDS_PERCENT]
    quality: Floats = np.mean(hits, axis=0) * (nucleus > 0)
    return quality


class _Runs(NamedTuple):
    """The runs of an image along its rows, with the basin, the true nucleus and length of each."""

    tree: CandidateTree
    basin: NDArray[np.integer]
    nucleus: NDArray[np.int64]
    length: NDArray[np.intp]

    def add_up(self, of_runs: NDArray[Any]) -> Floats:
        """Sum a quantity over the runs of each candidate, (n_candidates,)."""
        return self.tree.add_up(np.bincount(self.basin, of_runs, minlength=self.tree.n_basins + 1))

    def find_majority(self) -> Integers:
        """Return the true nucleus that holds most of each candidate, else any number.

        Only that can be hit: a nucleus with an IoU above 0.5 holds more than half of the candidate.
        Each bit of its number is then the bit of most pixels.
        """
        half = self.add_up(self.length) / 2
        majority = np.zeros(half.size, np.int64)
        for bit in range(int(self.nucleus.max(initial=0)).bit_length()):
            n_set = self.add_up(self.length * (self.nucleus >> bit & 1))
            majority |= (n_set > half).astype(np.int64) << bit
        return majority

    def count_shared(self, nucleus: Integers) -> Integers:
        """Return the number of pixels that each candidate shares with its nucleus."""
        n_basins = self.tree.n_basins + 1
        keys, place = np.unique(self.nucleus * n_basins + self.basin, return_inverse=True)
        cumulated = np.append(0, np.cumsum(np.bincount(place, self.length), dtype=np.int64))
        before, after = (
            np.searchsorted(keys, nucleus * n_basins + basin, side="right")
            for basin in (self.tree.first - 1, self.tree.last)
        )
        shared: Integers = cumulated[after] - cumulated[before]
        return shared


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
