"""Predict the quality of candidate nuclei.

Every candidate gets two predictions, whose mean is its quality: of a forest, from its shape,
probabilities and colour, and of a small network, from its pixels as well. The best set of
candidates that do not overlap is then selected. The winners of the competition regressed the IoU of
each nucleus in the same way, to choose among three segmentations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from kaggle_dsb.files import InputError, replacing
from kaggle_dsb.instances.features import FEATURES
from kaggle_dsb.instances.forest import Forest
from kaggle_dsb.instances.hills import Floats
from kaggle_dsb.instances.patch_network import PatchNetwork
from kaggle_dsb.instances.patches import Patches

_FOREST, _NETWORK = "quality.", "network."  # prefixes of the arrays' names in a file
_FEATURES = "quality"  # where a file lists the features


@dataclass(frozen=True)
class CandidateScorer:
    """A model of candidate quality, trained on the images outside one fold.

    Both parts predict the share of the competition's IoU thresholds at which a candidate is a hit.

    Attributes
    ----------
    forest : Forest
    network : PatchNetwork, optional
    """

    forest: Forest
    network: PatchNetwork | None = None

    def predict(self, features: NDArray[np.float32], patches: Patches | None) -> Floats:
        """Return the quality of each candidate, (n_candidates,) float64.

        Parameters
        ----------
        features : (n_candidates, n_features) float32
        patches : (n_candidates, 32, 32, 8) uint8
            Needed if there is a network.
        """
        by_forest = self.forest.predict(features)
        if self.network is None:
            return by_forest
        assert patches is not None
        return (by_forest + self.network.predict(patches, features)) / 2

    def save(self, path: Path) -> None:
        """Save the scorer to a file."""
        tensors = {f"{_FOREST}{name}": array for name, array in vars(self.forest).items()}
        if self.network:
            of_network = self.network.tensors().items()
            tensors |= {f"{_NETWORK}{name}": array for name, array in of_network}
        with replacing(path) as temporary:
            temporary.write_bytes(save(tensors, {_FEATURES: " ".join(FEATURES)}))


def load_scorer(path: Path) -> CandidateScorer:
    """Load a scorer that :meth:`CandidateScorer.save` wrote.

    Raises
    ------
    InputError
        When it cannot be read, or was trained on features other than `FEATURES`.
    """
    try:
        with safe_open(path, "numpy") as file:
            if (file.metadata() or {}).get(_FEATURES, "").split() != list(FEATURES):
                raise InputError(
                    f"{path}: was trained on other candidate features than this version computes; "
                    "train it again with `kaggle-dsb tune`"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return CandidateScorer(
            Forest(**_starting_with(_FOREST, tensors)), _network(_starting_with(_NETWORK, tensors))
        )
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: cannot be read as a candidate scorer ({error}); train it again with "
            "`kaggle-dsb tune`"
        ) from None


def _starting_with(prefix: str, tensors: dict[str, NDArray[np.generic]]) -> dict[str, Any]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _network(tensors: dict[str, Any]) -> PatchNetwork | None:
    return PatchNetwork.from_tensors(tensors) if tensors else None


def predict_quality(
    scorers: Sequence[CandidateScorer], features: NDArray[np.float32], patches: Patches | None
) -> Floats:
    """Return the mean prediction of the scorers for each candidate, (n_candidates,)."""
    mean: Floats = np.mean([scorer.predict(features, patches) for scorer in scorers], axis=0)
    return mean
