"""Predict how well each candidate nucleus would score.

A forest predicts the quality of every candidate from its shape, its probabilities and its colour;
the best set of candidates that do not overlap is then taken. The winners of the competition did
this with a regressor of each nucleus's intersection over union that chose among three ways to cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.instances.features import FEATURES
from kaggle_dsb.instances.forest import Forest, load_forest, save_forest
from kaggle_dsb.instances.hills import Floats


@dataclass(frozen=True)
class CandidateScorer:
    """What was learned from the images outside one fold.

    Attributes
    ----------
    forest : Forest
        Predicts the share of the competition's thresholds at which a candidate hits.
    """

    forest: Forest

    def save(self, path: Path) -> None:
        """Write the scorer to a file."""
        save_forest(path, self.forest, names=FEATURES)


def load_scorer(path: Path) -> CandidateScorer:
    """Load what :meth:`CandidateScorer.save` wrote.

    Raises
    ------
    InputError
        When it cannot be read, or was trained on other features than this version describes.
    """
    return CandidateScorer(load_forest(path, names=FEATURES))


def predict_quality(scorers: Sequence[CandidateScorer], features: NDArray[np.float32]) -> Floats:
    """Return the mean prediction of some scorers, (n_candidates,), for rows of features."""
    mean: Floats = np.mean([scorer.forest.predict(features) for scorer in scorers], axis=0)
    return mean
