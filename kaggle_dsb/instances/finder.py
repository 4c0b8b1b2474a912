"""From a probability map to nuclei, with a second level where there is one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.instances.outline_choice import choose_level, describe_levels
from kaggle_dsb.instances.second_level import SecondLevel, describe, predict_quality
from kaggle_dsb.instances.selection import select_nuclei
from kaggle_dsb.instances.watershed import split_nuclei


@dataclass(frozen=True)
class NucleusFinder:
    """Cuts probability maps into nuclei.

    Attributes
    ----------
    split : mapping
        The parameters of the plain split, `kaggle_dsb.instances.watershed.split_nuclei`.
    second_levels : sequence of SecondLevel
        Their mean predicts the quality of candidates and the level of outlines. Without any the
        plain split is the result.
    nucleus_cost : float, in [0, 1]
        A candidate of lower quality is never kept.
    """

    split: Mapping[str, Any]
    second_levels: Sequence[SecondLevel] = ()
    nucleus_cost: float = 0.25

    def find(self, probability: NDArray[np.float32], image: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Find the nuclei of an image.

        Parameters
        ----------
        probability : (3, H, W) float32, in [0, 1]
            Body, touching border, depth.
        image : (H, W, 3) uint8

        Returns
        -------
        labels : (H, W) int32
        """
        plain = split_nuclei(probability, **self.split)
        if not self.second_levels:
            return plain
        tree, features = describe(probability, image, plain)
        if not tree.n_candidates:
            return plain
        quality = predict_quality([one.quality for one in self.second_levels], features)
        described = describe_levels(features, quality, cost=self.nucleus_cost)
        return select_nuclei(
            tree,
            quality,
            version=choose_level([one.outline for one in self.second_levels], described),
            cost=self.nucleus_cost,
            min_area_px=self.split["min_area_px"],
        )
