"""Compute the features of candidate nuclei: shape, probability, colour and place in the tree."""

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels, Plane
from kaggle_dsb.instances.candidates import CandidateTree, find_candidates
from kaggle_dsb.instances.colours import Colours
from kaggle_dsb.instances.hills import Floats
from kaggle_dsb.instances.regions import Region, count_perimeter
from kaggle_dsb.instances.size import median_diameter

FEATURES = (
    # Inside.
    "relative_area",
    "roundness",
    "ellipse_fit",
    "elongation",
    "edge_share",
    "mean_body",
    "mean_border",
    "mean_depth",
    "sd_depth",
    "filled_share",
    "body_share",
    # Along the outline: the rim is the outermost pixels, the ring the two pixels around them.
    "rim_body",
    "rim_sd_body",
    "rim_body_gradient",
    "rim_membership",
    "rim_sd_membership",
    "relative_rim_grey",
    "outline_level",
    "ring_body",
    "ring_border",
    # Colour, relative to the nuclei of the image and to the ring.
    "redness",
    "redness_step",
    "greenness",
    "greenness_step",
    # Place in the tree.
    "saddle",
    "saddle_outside",
    "peak",
    "n_basins",
    "sharpness",
)
"""The columns that `describe_candidates` returns.

All are relative to the image: from sizes in pixels, grey levels or anything that the candidates of
an image share, a scorer would overfit the sources it was trained on.
"""

MIN_SEED_PX = 5
FAINT_BODY, HALF_BODY, CLEAR_BODY = 0.35, 0.5, 0.65
RIM, RING = np.ones((3, 3), np.uint8), np.ones((5, 5), np.uint8)


def describe_image(
    probability: NDArray[np.float32],
    colours: Colours,
    nuclei: Labels,
    *,
    outline_threshold: float,
) -> tuple[CandidateTree, NDArray[np.float32]]:
    """Find the candidates of an image and compute their features.

    Parameters
    ----------
    probability : (3, H, W) float32, in [0, 1]
        Body, touching border, depth.
    colours : Colours
        Those of the image.
    nuclei : (H, W) int32
        The labels of a watershed, from which the typical size is measured.
    outline_threshold : float
        The membership at which the outline of a candidate is drawn.

    Returns
    -------
    tree : CandidateTree
    features : (n_candidates, n_features) float32
        In the order of `FEATURES`.
    """
    tree = find_candidates(
        probability,
        colours.grey,
        min_seed_px=MIN_SEED_PX,
        outline_threshold=outline_threshold,
    )
    features = describe_candidates(tree, probability, colours, diameter_px=median_diameter(nuclei))
    return tree, features


def describe_candidates(
    tree: CandidateTree,
    probability: NDArray[np.float32],
    colours: Colours,
    *,
    diameter_px: float,
) -> NDArray[np.float32]:
    """Compute the features of each candidate.

    Parameters
    ----------
    tree : CandidateTree
    probability : (3, H, W) float32
        The one that the tree was built from.
    colours : Colours
        Those of the image; the tree was built from their grey level.
    diameter_px : float
        The median diameter of the image's nuclei; 0 where there are none.

    Returns
    -------
    (n_candidates, n_features) float32
        In the order of `FEATURES`.
    """
    inside, ring = Region(tree, tree.labels), _ring(tree)
    shape = _inside(tree, inside, probability)
    table = {
        **shape,
        **_basins(tree, probability, inside.count, diameter_px),
        **_outline(tree, inside, ring, probability, colours.grey),
        **_colour(inside, ring, colours, shape["mean_body"]),
    }
    return np.column_stack([table[name] for name in FEATURES]).astype(np.float32)


def _inside(
    tree: CandidateTree, region: Region, probability: NDArray[np.float32]
) -> dict[str, Floats]:
    """Compute the features of the pixels inside each candidate."""
    body, border, depth = probability
    mean_depth, sd_depth = region.mean_and_deviation(depth)
    perimeter = np.maximum(count_perimeter(tree), 1)
    rows, columns = np.divmod(region.pixels, body.shape[1])
    last_row, last_column = body.shape[0] - 1, body.shape[1] - 1
    on_edge = (rows == 0) | (rows == last_row) | (columns == 0) | (columns == last_column)
    return {
        "roundness": 4 * np.pi * np.maximum(region.count, 1) / perimeter**2,
        **_ellipse(region, rows.astype(np.float64), columns.astype(np.float64)),
        "edge_share": region.sum(on_edge) / perimeter,
        "mean_body": region.mean(region.at(body)),
        "mean_border": region.mean(region.at(border)),
        "mean_depth": mean_depth,
        "sd_depth": sd_depth,
    }


def _ellipse(
    region: Region, rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> dict[str, Floats]:
    """Compare each candidate with the ellipse of its second moments."""
    r, c = region.mean(rows), region.mean(columns)
    # A pixel is a unit square, whose own variance is 1 / 12.
    row = region.mean(rows * rows) - r * r + 1 / 12
    column = region.mean(columns * columns) - c * c + 1 / 12
    both = region.mean(rows * columns) - r * c
    determinant = np.maximum(row * column - both**2, 1 / 144)
    spread = np.sqrt(np.maximum((row - column) ** 2 / 4 + both**2, 0))
    return {
        "ellipse_fit": np.maximum(region.count, 1) / (4 * np.pi * np.sqrt(determinant)),
        "elongation": np.sqrt(determinant) / ((row + column) / 2 + spread),
    }


def _basins(
    tree: CandidateTree, probability: NDArray[np.float32], area_px: Floats, diameter_px: float
) -> dict[str, Floats]:
    """Describe the basins of each candidate, beyond its outline, and its place in the tree."""
    region = Region(tree, tree.basins)
    body = region.at(probability[0])
    parent = tree.parent()
    half, faint, clear = (region.sum(body > t) for t in (HALF_BODY, FAINT_BODY, CLEAR_BODY))
    typical_px = np.pi / 4 * diameter_px**2
    return {
        "relative_area": area_px / typical_px if diameter_px else np.ones_like(area_px),
        "filled_share": area_px / np.maximum(region.count, 1),
        "body_share": area_px / np.maximum(half, 1),
        "saddle": tree.saddle,
        "saddle_outside": np.where(parent >= 0, tree.saddle[parent], 0),
        "peak": region.greatest(probability[2]),
        "n_basins": (tree.last - tree.first + 1).astype(np.float64),
        "sharpness": clear / np.maximum(faint, 1),
    }


def _ring(tree: CandidateTree) -> Region:
    """Return the background pixels within two pixels of each candidate."""
    # OpenCV's morphology does not support int32; float32 holds these labels exactly.
    around = cv2.dilate(tree.labels.astype(np.float32), RING)
    return Region(tree, np.where(tree.labels > 0, 0, around.astype(np.int32)))


def _outline(
    tree: CandidateTree,
    inside: Region,
    ring: Region,
    probability: NDArray[np.float32],
    grey: Plane,
) -> dict[str, Floats]:
    """Compute the features along the outlines, from smoothed grey levels."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1).astype(np.float32, copy=False)
    body, border, _ = probability
    core = cv2.erode((tree.labels > 0).astype(np.uint8), RIM)
    rim = Region(tree, np.where(core > 0, 0, tree.labels))
    mean_grey = inside.mean(inside.at(grey))
    rim_grey, ring_grey = rim.mean(rim.at(smooth)), ring.mean(ring.at(smooth))
    rim_body, rim_sd_body = rim.mean_and_deviation(body)
    rim_membership, rim_sd_membership = rim.mean_and_deviation(tree.membership)
    step = np.maximum(np.abs(mean_grey - ring_grey), 0.01)
    return {
        "rim_body": rim_body,
        "rim_sd_body": rim_sd_body,
        "rim_body_gradient": rim.mean(rim.at(_gradient(body))),
        "rim_membership": rim_membership,
        "rim_sd_membership": rim_sd_membership,
        "relative_rim_grey": rim_grey / np.maximum(mean_grey, 1e-3),
        "outline_level": np.clip((rim_grey - ring_grey) / step, -5, 5),
        "ring_body": ring.mean(ring.at(body)),
        "ring_border": ring.mean(ring.at(border)),
    }


def _colour(inside: Region, ring: Region, colours: Colours, mean_body: Floats) -> dict[str, Floats]:
    """Compare the colour of each candidate with that of the image's nuclei and of its ring.

    It rejects stained objects that are not nuclei: red blood cells are redder than nuclei.
    """
    # The candidates with the highest probability determine the typical colour of nuclei.
    sureness = np.clip(mean_body - HALF_BODY, 0, None) * np.sqrt(inside.count)
    features = {}
    for name, plane in (("redness", colours.redness), ("greenness", colours.greenness)):
        own = inside.mean(inside.at(plane))
        typical = float(np.average(own, weights=sureness + 1e-6)) if own.size else 0.0
        features[name] = own - typical
        features[f"{name}_step"] = own - ring.mean(ring.at(plane))
    return features


def _gradient(plane: Plane) -> Plane:
    """Return the gradient magnitude of a plane, per pixel."""
    down, right = (cv2.Sobel(plane, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((0, 1), (1, 0)))
    return cv2.magnitude(down, right).astype(np.float32, copy=False)
