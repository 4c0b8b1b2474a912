"""Compute the features of candidate nuclei: shape, probability, colour and place in the tree."""

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels, Plane
from kaggle_dsb.instances.candidates import CandidateTree, find_candidates
from kaggle_dsb.instances.hills import Floats, Integers
from kaggle_dsb.instances.outline import relative_grey
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
DARK = 30.0  # of 3 * 255; below this sum of channels the hue is unreliable


def describe_image(
    probability: NDArray[np.float32],
    image: NDArray[np.uint8],
    nuclei: Labels,
    *,
    outline_threshold: float,
) -> tuple[CandidateTree, NDArray[np.float32]]:
    """Find the candidates of an image and compute their features.

    Parameters
    ----------
    probability : (3, H, W) float32, in [0, 1]
        Body, touching border, depth.
    image : (H, W, 3) uint8
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
    grey = relative_grey(image)
    tree = find_candidates(
        probability,
        grey,
        min_seed_px=MIN_SEED_PX,
        outline_threshold=outline_threshold,
    )
    features = describe_candidates(
        tree, probability, image, grey, diameter_px=median_diameter(nuclei)
    )
    return tree, features


def describe_candidates(
    tree: CandidateTree,
    probability: NDArray[np.float32],
    image: NDArray[np.uint8],
    grey: Plane,
    *,
    diameter_px: float,
) -> NDArray[np.float32]:
    """Compute the features of each candidate.

    Parameters
    ----------
    tree : CandidateTree
    probability : (3, H, W) float32
        The one that the tree was built from.
    image : (H, W, 3) uint8
    grey : (H, W) float32
        The one that the tree was built from.
    diameter_px : float
        The median diameter of the image's nuclei; 0 where there are none.

    Returns
    -------
    (n_candidates, n_features) float32
        In the order of `FEATURES`.
    """
    inside, ring = _Region(tree, tree.labels), _ring(tree)
    shape = _inside(tree, inside, probability)
    table = {
        **shape,
        **_basins(tree, probability, inside.count, diameter_px),
        **_outline(tree, inside, ring, probability, grey),
        **_colour(inside, ring, image, shape["mean_body"]),
    }
    return np.column_stack([table[name] for name in FEATURES]).astype(np.float32)


class _Region:
    """Pixels of the candidates, for sums over each candidate."""

    def __init__(self, tree: CandidateTree, labels: Labels) -> None:
        self._tree = tree
        self.pixels: Integers = np.flatnonzero(labels > 0)
        self._basin = labels.take(self.pixels).astype(np.int64)
        self.count = self.sum(None)

    def at(self, plane: Plane) -> NDArray[np.float64]:
        """Return the values of a plane at the pixels."""
        return plane.take(self.pixels).astype(np.float64)

    def sum(self, values: NDArray[np.float64] | NDArray[np.bool_] | None) -> Floats:
        """Sum values over the pixels of each candidate; count the pixels if there are none."""
        n = self._tree.n_basins + 1
        return self._tree.add_up(np.bincount(self._basin, weights=values, minlength=n))

    def mean(self, values: NDArray[np.float64]) -> Floats:
        """Return the mean of values over the pixels of each candidate; 0 if it has no pixels."""
        mean: Floats = self.sum(values) / np.maximum(self.count, 1)
        return mean

    def mean_and_deviation(self, plane: Plane) -> tuple[Floats, Floats]:
        """Return the mean and the standard deviation of a plane over each candidate."""
        values = self.at(plane)
        mean, mean_square = self.mean(values), self.mean(values * values)
        return mean, np.sqrt(np.maximum(mean_square - mean**2, 0))

    def greatest(self, plane: Plane) -> Floats:
        """Return the maximum of a non-negative plane over each candidate."""
        of_basin = np.zeros(self._tree.n_basins + 1)
        np.maximum.at(of_basin, self._basin, self.at(plane))
        greatest = of_basin[1:].tolist()
        for a, b in self._tree.children[self._tree.n_basins :].tolist():
            greatest.append(max(greatest[a], greatest[b]))
        return np.array(greatest)


def _inside(
    tree: CandidateTree, region: _Region, probability: NDArray[np.float32]
) -> dict[str, Floats]:
    """Compute the features of the pixels inside each candidate."""
    body, border, depth = probability
    mean_depth, sd_depth = region.mean_and_deviation(depth)
    perimeter = np.maximum(_perimeter(tree), 1)
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
    region: _Region, rows: NDArray[np.float64], columns: NDArray[np.float64]
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
    region = _Region(tree, tree.basins)
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


def _ring(tree: CandidateTree) -> _Region:
    """Return the background pixels within two pixels of each candidate."""
    # OpenCV's morphology does not support int32; float32 holds these labels exactly.
    around = cv2.dilate(tree.labels.astype(np.float32), RING)
    return _Region(tree, np.where(tree.labels > 0, 0, around.astype(np.int32)))


def _outline(
    tree: CandidateTree,
    inside: _Region,
    ring: _Region,
    probability: NDArray[np.float32],
    grey: Plane,
) -> dict[str, Floats]:
    """Compute the features along the outlines, from smoothed grey levels."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1).astype(np.float32, copy=False)
    body, border, _ = probability
    core = cv2.erode((tree.labels > 0).astype(np.uint8), RIM)
    rim = _Region(tree, np.where(core > 0, 0, tree.labels))
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


def _colour(
    inside: _Region, ring: _Region, image: NDArray[np.uint8], mean_body: Floats
) -> dict[str, Floats]:
    """Compare the colour of each candidate with that of the image's nuclei and of its ring.

    It rejects stained objects that are not nuclei: red blood cells are redder than nuclei.
    """
    # The candidates with the highest probability determine the typical colour of nuclei.
    sureness = np.clip(mean_body - HALF_BODY, 0, None) * np.sqrt(inside.count)
    colours = {}
    for name, plane in _opponent_colours(image).items():
        own = inside.mean(inside.at(plane))
        typical = float(np.average(own, weights=sureness + 1e-6)) if own.size else 0.0
        colours[name] = own - typical
        colours[f"{name}_step"] = own - ring.mean(ring.at(plane))
    return colours


def _opponent_colours(image: NDArray[np.uint8]) -> dict[str, Plane]:
    """Return red against blue, and green against both, relative to the sum; from -1 to 1."""
    red, green, blue = (channel.astype(np.float32) for channel in cv2.split(image))
    total = red + green + blue + np.float32(DARK)
    return {"redness": (red - blue) / total, "greenness": (green - (red + blue) / 2) / total}


def _gradient(plane: Plane) -> Plane:
    """Return the gradient magnitude of a plane, per pixel."""
    down, right = (cv2.Sobel(plane, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((0, 1), (1, 0)))
    return cv2.magnitude(down, right).astype(np.float32, copy=False)


def _perimeter(tree: CandidateTree) -> Floats:
    """Count the pixel edges around each candidate, (n_candidates,), without the image border."""
    n, labels = tree.n_basins + 1, tree.labels
    sides = []
    for a, b in ((labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])):
        differ = np.flatnonzero(a != b)
        sides.append((a.ravel()[differ], b.ravel()[differ]))
    here, there = (np.concatenate(side).astype(np.int64) for side in zip(*sides, strict=True))
    around = tree.add_up(np.bincount(here, minlength=n) + np.bincount(there, minlength=n))
    # Edges between two basins of one candidate are interior and were counted from both sides.
    inner = (here > 0) & (there > 0)
    low, high = np.minimum(here, there)[inner], np.maximum(here, there)[inner]
    return around - 2 * _within(tree, low, high)


def _within(tree: CandidateTree, low: Integers, high: Integers) -> Floats:
    """Count the pairs of basins that lie in the same candidate, for each candidate.

    Notes
    -----
    The smallest union that contains two basins is the latest one among those that split the range
    between them. A pair is counted at the split of that union, and a candidate contains the pairs
    counted within its range.
    """
    joins = np.arange(tree.n_basins, tree.n_candidates)
    join_at = np.full(tree.n_basins + 1, tree.n_candidates)  # between a basin and the one before
    split = tree.first[tree.children[joins, 1]]
    join_at[split] = joins
    union = _greatest_between(join_at, low + 1, high)
    met = np.bincount(union, minlength=tree.n_candidates)
    count = np.zeros(tree.n_basins + 1)
    count[split] = met[joins]
    cumulated = np.cumsum(count)
    within: Floats = cumulated[tree.last] - cumulated[tree.first]
    return within


def _greatest_between(values: Integers, start: Integers, last: Integers) -> Integers:
    """Return the maximum of ``values[start : last + 1]`` for arrays of starts and lasts.

    Notes
    -----
    A sparse table: row k holds the maximum of each 2**k consecutive values, and two overlapping
    windows of one row cover any range.
    """
    table = [values]
    while len(table[-1]) > 2 ** (len(table) - 1):
        step = 2 ** (len(table) - 1)
        table.append(np.maximum(table[-1][:-step], table[-1][step:]))
    row = np.floor(np.log2(last - start + 1)).astype(np.int64)
    greatest = np.empty(start.size, np.int64)
    for k in np.unique(row):
        of_row = row == k
        a, b = start[of_row], last[of_row] - 2**k + 1
        greatest[of_row] = np.maximum(table[k][a], table[k][b])
    return greatest
