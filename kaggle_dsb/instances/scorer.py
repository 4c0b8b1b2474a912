"""Predict the quality of candidate nuclei.

A forest predicts the quality of every candidate from its shape, probabilities and colour; the best
set of candidates that do not overlap is then selected. The winners of the competition regressed the
IoU of each nucleus in the same way, to choose among three segmentations.
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
    """A model of candidate quality, trained on the images outside one fold.

    Attributes
    ----------
    forest : Forest
        Predicts the share of the competition's IoU thresholds at which a candidate is a hit.
    """

    forest: Forest

    def save(self, path: Path) -> None:
        """Save the scorer to a file."""
        save_forest(path, self.forest, names=FEATURES)


def load_scorer(path: Path) -> CandidateScorer:
    """Load a scorer that :meth:`CandidateScorer.save` wrote.

    Raises
    ------
    InputError
        When it cannot be read, or was trained on features other than `FEATURES`.
    """
    return CandidateScorer(load_forest(path, names=FEATURES))


def predict_quality(scorers: Sequence[CandidateScorer], features: NDArray[np.float32]) -> Floats:
    """Return the mean prediction of the scorers for each row of features, (n_candidates,)."""
    mean: Floats = np.mean([scorer.forest.predict(features) for scorer in scorers], axis=0)
    return mean
