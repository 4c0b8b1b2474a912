"""Find nuclei in a probability map, with candidate scorers if there are any."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.instances.features import describe_image
from kaggle_dsb.instances.outline_rule import OutlineRule, is_glowing
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
    is_glowing : bool, optional
        Whether nuclei are brighter than the background; by default, each image tells.
    """

    watershed: WatershedParameters
    scorers: Sequence[CandidateScorer]
    outline: OutlineRule
    is_glowing: bool | None = None

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
        glows = is_glowing(probability[0], image) if self.is_glowing is None else self.is_glowing
        cut = partial(cut_patches, tree, probability, image, is_glowing=glows)
        quality = predict_quality(self.scorers, features, cut)
        nuclei = select_nuclei(tree, quality, min_area_px=self.watershed.min_area_px)
        return refine_nuclei(nuclei)
