"""Predict the quality of candidate nuclei.

A forest predicts the quality of a candidate from its shape, probabilities and colour. Usually a
small network predicts it too, from the pixels as well; then the quality is the mean of both. The
best set of candidates that do not overlap is selected. The winners of the competition regressed the
IoU of each nucleus in the same way, to choose among three segmentations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from kaggle_dsb.files import InputError, replacing
from kaggle_dsb.instances.features import FEATURES
from kaggle_dsb.instances.forest import Forest
from kaggle_dsb.instances.hills import Floats, Integers
from kaggle_dsb.instances.patch_network import PatchNetwork
from kaggle_dsb.instances.patches import Patches

LEAST_QUALITY = 0.1
"""Candidates that the forests expect less of are not shown to the networks: hardly any would be
selected (in 6 of 1,401 images, which score no worse without them)."""

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

    def save(self, path: Path) -> None:
        """Save the scorer to a file."""
        tensors = {f"{_FOREST}{name}": array for name, array in vars(self.forest).items()}
        if self.network:
            tensors |= self.network.tensors(prefix=_NETWORK)
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
        of_forest = {field.name: tensors[f"{_FOREST}{field.name}"] for field in fields(Forest)}
        forest = Forest(**of_forest)
        forest.check(len(FEATURES))
        return CandidateScorer(forest, _network(tensors))
    except InputError:
        raise
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        reason = f"lacks the array {error}" if isinstance(error, KeyError) else error
        raise InputError(
            f"{path}: cannot be read as a candidate scorer ({reason}); train it again with "
            "`kaggle-dsb tune`"
        ) from None


def _network(tensors: dict[str, Any]) -> PatchNetwork | None:
    of_network = {name: t for name, t in tensors.items() if name.startswith(_NETWORK)}
    return PatchNetwork.from_tensors(of_network, prefix=_NETWORK) if of_network else None


def predict_quality(
    scorers: Sequence[CandidateScorer],
    features: NDArray[np.float32],
    cut: Callable[[Integers], Patches],
) -> Floats:
    """Return the quality of each candidate, (n_candidates,): the mean of all scorers.

    Parameters
    ----------
    scorers : sequence of CandidateScorer
    features : (n_candidates, n_features) float32
    cut : callable
        Returns the patches of the candidates with the given indices. It is called only if there is
        a network, and not for candidates that the forests rule out.
    """
    by_forest = [scorer.forest.predict(features) for scorer in scorers]
    quality: Floats = np.mean(by_forest, axis=0)
    promising = np.flatnonzero(quality >= LEAST_QUALITY)
    if not promising.size or not any(scorer.network for scorer in scorers):
        return quality
    patches, rows = cut(promising), features[promising]
    for scorer, forest in zip(scorers, by_forest, strict=True):
        if scorer.network:
            change = (scorer.network.predict(patches, rows) - forest[promising]) / 2
            quality[promising] += change / len(scorers)
    return quality
