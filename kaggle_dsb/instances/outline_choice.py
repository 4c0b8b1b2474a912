"""Choose how far out all nuclei of an image end.

Whoever outlined an image drew all its outlines alike: halfway down the light, or far out in the
glow. A forest tells from the image's candidates together what each level would score against the
usual one; one candidate alone is too uncertain to go by.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.instances.candidates import LEVELS, Floats
from kaggle_dsb.instances.features import FEATURES, OF_A_VERSION, OF_AN_OUTLINE
from kaggle_dsb.instances.forest import Forest

USUAL = LEVELS.index(0.5)
"""The level that the others are compared with."""

DARK_GROUND_BELOW = 0.4
"""The median grey level, of 1: only nuclei that shine on darker ground have a glow. For stained
tissue the choice lost more than it gained."""

VARYING = OF_A_VERSION + OF_AN_OUTLINE
"""Features that differ between the versions of a candidate; they come first."""

IMAGE_GREY = FEATURES.index("image_grey")

FEATURES_OF_A_LEVEL = (
    *FEATURES,
    *(f"{name}_against_usual" for name in VARYING),
)


def describe_levels(
    features: NDArray[np.float32], quality: Floats, *, cost: float
) -> NDArray[np.float32]:
    """Describe what an image's nuclei would be like if all ended at each level.

    Parameters
    ----------
    features : (n_levels, n_candidates, n_features) float32
    quality : (n_levels, n_candidates) float64
        As predicted.
    cost : float
        Candidates count by how far their best quality is above it.

    Returns
    -------
    (n_levels, n) float32
        In the order of `FEATURES_OF_A_LEVEL`; zeros where there is no candidate.
    """
    weight = np.maximum(quality.max(axis=0, initial=0) - cost, 0) + 1e-6
    mean = np.einsum("vcf,c->vf", features, weight / max(weight.sum(), 1e-6))
    varying = mean[:, : len(VARYING)]
    return np.column_stack([mean, varying - varying[USUAL]]).astype(np.float32)


def choose_level(forests: Sequence[Forest], described: NDArray[np.float32]) -> int:
    """Choose the level of most gain against the usual one, by the mean of some forests.

    Parameters
    ----------
    forests : sequence of Forest
    described : (n_levels, n) float32
        As `describe_levels` gives it.

    Returns
    -------
    int
        Which of `LEVELS`; the usual one where the ground is not dark.
    """
    if described[USUAL, IMAGE_GREY] >= DARK_GROUND_BELOW:
        return USUAL
    gain = np.mean([forest.predict(described) for forest in forests], axis=0)
    gain[USUAL] = 0
    return int(gain.argmax())
