"""Find nuclei in a probability map, with candidate scorers if there are any."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.instances.colours import Colours, find_colours
from kaggle_dsb.instances.features import describe_image
from kaggle_dsb.instances.merging import merge_nuclei
from kaggle_dsb.instances.outline_rule import OutlineRule, is_glowing
from kaggle_dsb.instances.patches import cut_patches
from kaggle_dsb.instances.probability import mean_over_scales
from kaggle_dsb.instances.refine import refine_nuclei
from kaggle_dsb.instances.scorer import CandidateScorer, predict_quality
from kaggle_dsb.instances.selection import Nuclei, select_nuclei
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

    def find(self, probability: NDArray[np.floating], image: NDArray[np.uint8]) -> Labels:
        """Find the nuclei of an image.

        Parameters
        ----------
        probability : (n_scales, 3, H, W) float32 or float16, in [0, 1]
            Body, touching border, depth, as predicted at each scale.
        image : (H, W, 3) uint8

        Returns
        -------
        labels : (H, W) int32
            Those found at each scale, merged; without scorers, those of the mean over the scales.
        """
        if not self.scorers:
            mean = mean_over_scales(probability).astype(np.float32, copy=False)
            return watershed_nuclei(mean, self.watershed)
        body = mean_over_scales(probability[:, 0]).astype(np.float32, copy=False)
        glows = is_glowing(body, image) if self.is_glowing is None else self.is_glowing
        threshold = self.outline.threshold(image, is_glowing=glows)
        colours = find_colours(image)
        found = [
            self._find_at(at_scale.astype(np.float32, copy=False), colours, threshold, glows)
            for at_scale in probability
        ]
        return refine_nuclei(merge_nuclei(found, min_area_px=self.watershed.min_area_px))

    def _find_at(
        self,
        probability: NDArray[np.float32],
        colours: Colours,
        outline_threshold: float,
        is_glowing: bool,
    ) -> Nuclei:
        """Select the nuclei of one probability map (3, H, W)."""
        watershed = watershed_nuclei(probability, self.watershed)
        tree, features = describe_image(
            probability, colours, watershed, outline_threshold=outline_threshold
        )
        cut = partial(cut_patches, tree, probability, colours, is_glowing=is_glowing)
        quality = predict_quality(self.scorers, features, cut)
        return select_nuclei(tree, quality, min_area_px=self.watershed.min_area_px)
