"""Find nuclei in a probability map, with candidate scorers if there are any."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.instances.features import describe_image
from kaggle_dsb.instances.outline_rule import OutlineRule
from kaggle_dsb.instances.patches import cut_patches
from kaggle_dsb.instances.refine import refine_nuclei
from kaggle_dsb.instances.scorer import CandidateScorer, predict_quality
from kaggle_dsb.instances.selection import select_nuclei
from kaggle_dsb.instances.watershed import WatershedParameters, watershed_nuclei


@dataclass(frozen=True)
class NucleusFinder:
    """Instance segmentation of probability maps.

    Attributes
    ----------
    watershed : WatershedParameters
    scorers : sequence of CandidateScorer
        The quality of a candidate is their mean prediction. Without any, the nuclei are those of
        the watershed.
    outline : OutlineRule
        Chooses the outline threshold of each image.
    """

    watershed: WatershedParameters
    scorers: Sequence[CandidateScorer]
    outline: OutlineRule

    def find(self, probability: NDArray[np.float32], image: NDArray[np.uint8]) -> Labels:
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
        watershed = watershed_nuclei(probability, self.watershed)
        if not self.scorers:
            return watershed
        threshold = self.outline.threshold(probability[0], image)
        tree, features = describe_image(probability, image, watershed, outline_threshold=threshold)
        if not tree.n_candidates:
            return watershed
        has_network = any(scorer.network for scorer in self.scorers)
        patches = cut_patches(tree, probability, image) if has_network else None
        quality = predict_quality(self.scorers, features, patches)
        nuclei = select_nuclei(tree, quality, min_area_px=self.watershed.min_area_px)
        return refine_nuclei(nuclei)
