"""Seeded watershed on a probability map, with seeds where body, border and depth agree."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.instances.hills import find_hills, join_hills


@dataclass(frozen=True)
class WatershedParameters:
    """The parameters of `watershed_nuclei`.

    Attributes
    ----------
    body_threshold : float
        Pixels with a body probability above this are foreground.
    seed_threshold : float
        A seed is a connected region where the `seed_height` is above this.
    min_seed_px, min_area_px : int
        Smaller seeds, and smaller nuclei, are dropped.
    """

    body_threshold: float
    seed_threshold: float
    min_seed_px: int
    min_area_px: int


def watershed_nuclei(probability: NDArray[np.float32], parameters: WatershedParameters) -> Labels:
    """Segment the nuclei of a probability map by a seeded watershed.

    Parameters
    ----------
    probability : (3, H, W) float32, in [0, 1]
        Body, touching border, depth.
    parameters : WatershedParameters

    Returns
    -------
    labels : (H, W) int32

    Notes
    -----
    The flood descends the seed height, so that two nuclei meet on the border between them, and
    stops at the edge of the foreground, which gives a nucleus back the pixels that its seed lacks.
    A part of the foreground without a seed is dropped.
    """
    height = seed_height(probability)
    mask = (probability[0] > parameters.body_threshold) | (height > parameters.seed_threshold)
    hills = find_hills(height, mask, (parameters.seed_threshold,))
    joined = join_hills(hills, min_seed_px=parameters.min_seed_px)
    area = np.bincount(joined.basin_of_hill, hills.area, joined.n_basins + 1)
    is_large = area >= parameters.min_area_px
    is_large[0] = False
    number = np.where(is_large, np.cumsum(is_large), 0)
    return hills.paint(number[joined.basin_of_hill])


def seed_height(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the map whose hills are the nuclei, (H, W) float32 in [0, 1].

    It is the mean of the depth and of the body without its border, so that either can separate two
    nuclei.
    """
    body, border, depth = probability
    height: NDArray[np.float32] = (depth + body * (1 - border)) / 2
    return height
