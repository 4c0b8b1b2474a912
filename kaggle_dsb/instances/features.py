"""Describe candidate nuclei by numbers: shape, probability, and how they stand in their image."""

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.instances.candidates import (
    CandidateTree,
    Floats,
    Integers,
    Labels,
    find_candidates,
)
from kaggle_dsb.instances.outline import grey_range, relative_grey
from kaggle_dsb.instances.size import median_diameter

Plane = NDArray[np.float32]

FEATURES = (
    # Of the pixels inside.
    "area_px",
    "relative_area",
    "roundness",
    "ellipse_fit",
    "elongation",
    "edge_share",
    "mean_body",
    "mean_border",
    "mean_depth",
    "sd_depth",
    "mean_grey",
    "sd_grey",
    "filled_share",
    "body_share",
    "level",
    # Along the outline: the rim is the outermost pixels, the ring the two around them.
    "rim_grey",
    "rim_gradient",
    "rim_body_gradient",
    "rim_body",
    "rim_sd_body",
    "rim_membership",
    "rim_sd_membership",
    "ring_grey",
    "ring_body",
    "ring_border",
    "relative_rim_gradient",
    "relative_rim_grey",
    "outline_level",
    # Of the tree.
    "saddle",
    "saddle_outside",
    "peak",
    "n_basins",
    "sharpness",
    "grey_contrast",
    # Of the image, the same for all its candidates.
    "median_diameter_px",
    "image_body",
    "image_grey",
    "image_chroma",
    "image_basins",
    "image_dark",
    "image_bright",
    "image_contrast",
    "image_rim_gradient",
    "image_rim_body_gradient",
)
"""The columns of what `describe_candidates` returns."""

MIN_SEED_PX = 5
FAINT_BODY, HALF_BODY, CLEAR_BODY = 0.35, 0.5, 0.65
RIM, RING = np.ones((3, 3), np.uint8), np.ones((5, 5), np.uint8)


def describe_image(
    probability: NDArray[np.float32],
    image: NDArray[np.uint8],
    nuclei: NDArray[np.int32],
    *,
    outline_threshold: float,
) -> tuple[CandidateTree, NDArray[np.float32]]:
    """Return an image's candidates and their features.

    Parameters
    ----------
    probability : (3, H, W) float32, in [0, 1]
        Body, touching border, depth.
    image : (H, W, 3) uint8
    nuclei : (H, W) int32
        Those that a watershed finds: they tell the typical size.
    outline_threshold : float
        A nucleus ends where its membership falls to this.

    Returns
    -------
    tree : CandidateTree
    features : (n_candidates, n_features) float32
    """
    tree = find_candidates(
        probability,
        relative_grey(image),
        min_seed_px=MIN_SEED_PX,
        outline_threshold=outline_threshold,
    )
    diameter_px = median_diameter(nuclei)
    return tree, describe_candidates(
        tree, probability, image, diameter_px=diameter_px, outline_threshold=outline_threshold
    )


def describe_candidates(
    tree: CandidateTree,
    probability: NDArray[np.float32],
    image: NDArray[np.uint8],
    *,
    diameter_px: float,
    outline_threshold: float,
) -> NDArray[np.float32]:
    """Describe each candidate.

    Parameters
    ----------
    tree : CandidateTree
    probability : (3, H, W) float32
        That the tree was built from.
    image : (H, W, 3) uint8
        Likewise.
    diameter_px : float
        That of the image's nuclei, as `kaggle_dsb.instances.size.median_diameter` measures it; 0
        where there are none.
    outline_threshold : float
        That the tree was built with.

    Returns
    -------
    (n_candidates, n_features) float32
        In the order of `FEATURES`.
    """
    grey = relative_grey(image)
    inside = _inside(tree, probability, grey)
    outline = _outline(tree, probability, grey, inside["mean_grey"])
    table = {
        **inside,
        **_relative_size(tree, probability[0], inside["area_px"], diameter_px),
        "level": np.full(tree.n_candidates, outline_threshold),
        **outline,
        **_branch(tree, probability, grey, inside["mean_grey"]),
    }
    of_image = _image(image, probability[0]) | {
        "median_diameter_px": diameter_px,
        "image_basins": tree.n_basins,
        "image_rim_gradient": _median(outline["rim_gradient"]),
        "image_rim_body_gradient": _median(outline["rim_body_gradient"]),
    }
    table |= {name: np.full(tree.n_candidates, value) for name, value in of_image.items()}
    return np.column_stack([table[name] for name in FEATURES]).astype(np.float32)


class _Region:
    """Pixels of candidates, for sums over each."""

    def __init__(self, tree: CandidateTree, labels: Labels) -> None:
        self._tree = tree
        self.index: Integers = np.flatnonzero(labels)
        self._basin = labels.ravel()[self.index]
        self.count = self.sum(None)

    def sum(self, values: NDArray[np.floating] | None) -> Floats:
        """Return the sum of values at the pixels of each candidate; without values, count them."""
        n = self._tree.n_basins + 1
        return self._tree.add_up(np.bincount(self._basin, weights=values, minlength=n))

    def means(self, *planes: Plane) -> list[Floats]:
        """Return the mean of each plane over the pixels of each candidate; 0 where it has none."""
        area = np.maximum(self.count, 1)
        return [self.sum(plane.ravel()[self.index]) / area for plane in planes]

    def mean_and_deviation(self, plane: Plane) -> tuple[Floats, Floats]:
        """Return the mean and the standard deviation of a plane over each candidate."""
        mean, mean_square = self.means(plane, plane**2)
        return mean, np.sqrt(np.maximum(mean_square - mean**2, 0))


def _inside(
    tree: CandidateTree, probability: NDArray[np.float32], grey: Plane
) -> dict[str, Floats]:
    """Describe the pixels inside each candidate."""
    region = _Region(tree, tree.labels)
    body, border, depth = probability
    perimeter = np.maximum(_perimeter(tree), 1)
    mean_body, mean_border = region.means(body, border)
    mean_depth, sd_depth = region.mean_and_deviation(depth)
    mean_grey, sd_grey = region.mean_and_deviation(grey)
    on_edge = np.zeros_like(grey)
    on_edge[[0, -1]] = on_edge[:, [0, -1]] = 1
    area = np.maximum(region.count, 1)
    (edge_share,) = region.means(on_edge)
    return {
        "area_px": region.count,
        "roundness": 4 * np.pi * area / perimeter**2,
        **_ellipse(region, grey.shape[1]),
        "edge_share": edge_share * area / perimeter,
        "mean_body": mean_body,
        "mean_border": mean_border,
        "mean_depth": mean_depth,
        "sd_depth": sd_depth,
        "mean_grey": mean_grey,
        "sd_grey": sd_grey,
    }


def _ellipse(region: _Region, width: int) -> dict[str, Floats]:
    """Compare each candidate with the ellipse of its second moments."""
    rows, columns = (x.astype(np.float64) for x in np.divmod(region.index, width))
    area = np.maximum(region.count, 1)
    r, c = region.sum(rows) / area, region.sum(columns) / area
    # A pixel is a unit square, which has a variance of its own.
    row = region.sum(rows * rows) / area - r * r + 1 / 12
    column = region.sum(columns * columns) / area - c * c + 1 / 12
    both = region.sum(rows * columns) / area - r * c
    determinant = np.maximum(row * column - both**2, 1 / 144)
    spread = np.sqrt(np.maximum((row - column) ** 2 / 4 + both**2, 0))
    return {
        "ellipse_fit": area / (4 * np.pi * np.sqrt(determinant)),
        "elongation": np.sqrt(determinant) / ((row + column) / 2 + spread),
    }


def _relative_size(
    tree: CandidateTree, body: Plane, area_px: Floats, diameter_px: float
) -> dict[str, Floats]:
    typical_px = np.pi / 4 * diameter_px**2
    whole = _Region(tree, tree.basins).count
    half = _area_of_body(tree, body, HALF_BODY)
    return {
        "relative_area": area_px / typical_px if diameter_px else np.ones_like(area_px),
        "filled_share": area_px / np.maximum(whole, 1),
        "body_share": area_px / np.maximum(half, 1),
    }


def _area_of_body(tree: CandidateTree, body: Plane, threshold: float) -> Floats:
    return _Region(tree, np.where(body > threshold, tree.basins, 0)).count


def _outline(
    tree: CandidateTree, probability: NDArray[np.float32], grey: Plane, mean_grey: Floats
) -> dict[str, Floats]:
    """Describe what lies along the outlines, with smoothed grey levels."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1).astype(np.float32, copy=False)
    body, border, _ = probability
    labels = tree.labels
    rim = _Region(tree, np.where(cv2.erode((labels > 0).astype(np.uint8), RIM) > 0, 0, labels))
    # OpenCV's morphology knows no 32-bit integers; these are exact as floats.
    around = cv2.dilate(labels.astype(np.float32), RING)
    ring = _Region(tree, np.where(labels > 0, 0, around.astype(np.int32)))
    rim_grey, gradient, body_gradient = rim.means(smooth, _gradient(smooth), _gradient(body))
    rim_body, rim_sd_body = rim.mean_and_deviation(body)
    rim_membership, rim_sd_membership = rim.mean_and_deviation(tree.membership)
    ring_grey, ring_body, ring_border = ring.means(smooth, body, border)
    step = np.maximum(np.abs(mean_grey - ring_grey), 0.01)
    return {
        "rim_grey": rim_grey,
        "rim_gradient": gradient,
        "rim_body_gradient": body_gradient,
        "rim_body": rim_body,
        "rim_sd_body": rim_sd_body,
        "rim_membership": rim_membership,
        "rim_sd_membership": rim_sd_membership,
        "ring_grey": ring_grey,
        "ring_body": ring_body,
        "ring_border": ring_border,
        "relative_rim_gradient": gradient / np.maximum(gradient, 1e-4),
        "relative_rim_grey": rim_grey / np.maximum(mean_grey, 1e-3),
        "outline_level": np.clip((rim_grey - ring_grey) / step, -5, 5),
    }


def _median(values: Floats) -> float:
    return float(np.median(values)) if values.size else 0.0


def _gradient(plane: Plane) -> Plane:
    """Return the steepness of a plane, per pixel."""
    down, right = (cv2.Sobel(plane, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((0, 1), (1, 0)))
    return np.hypot(down, right)


def _perimeter(tree: CandidateTree) -> Floats:
    """Count the pixel edges around each candidate, (n_candidates,), but not the image's own."""
    n, labels = tree.n_basins + 1, tree.labels
    pairs = [(labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])]
    here, there = (np.concatenate([p[side].ravel() for p in pairs]) for side in (0, 1))
    differ = np.flatnonzero(here != there)
    here, there = here[differ].astype(np.int64), there[differ].astype(np.int64)
    around = tree.add_up(np.bincount(here, minlength=n) + np.bincount(there, minlength=n))
    # An edge between two basins of one candidate was counted from both sides.
    inner = (here > 0) & (there > 0)
    low, high = np.minimum(here, there)[inner], np.maximum(here, there)[inner]
    return around - 2 * _within(tree, low, high)


def _within(tree: CandidateTree, low: Integers, high: Integers) -> Floats:
    """Count the pairs of basins that lie in each candidate together.

    Notes
    -----
    Two basins first meet in the union that the latest join between them made. So a pair is counted
    where that join split the numbers of the basins, and a candidate holds what lies in its range.
    """
    joins = np.arange(tree.n_basins, tree.n_candidates)
    join_at = np.full(tree.n_basins + 1, tree.n_candidates)  # between a basin and the one before
    split = tree.first[tree.children[joins, 1]]
    join_at[split] = joins
    union = _greatest_between(join_at, low + 1, high)
    met = np.bincount(union, minlength=tree.n_candidates)
    count = np.zeros(tree.n_basins + 1)
    count[split] = met[joins]
    before = np.cumsum(count)
    within: Floats = before[tree.last] - before[tree.first]
    return within


def _greatest_between(values: Integers, start: Integers, last: Integers) -> Integers:
    """Return the greatest of ``values[start : last + 1]`` for arrays of starts and lasts.

    Notes
    -----
    A sparse table: row k holds the greatest of each 2**k consecutive values, and two overlapping
    stretches of a row make up any range.
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


def _branch(
    tree: CandidateTree, probability: NDArray[np.float32], grey: Plane, mean_grey: Floats
) -> dict[str, Floats]:
    """Describe how each candidate stands in the tree."""
    body, _, depth = probability
    parent = tree.parent()
    clear, faint = (_area_of_body(tree, body, t) for t in (CLEAR_BODY, FAINT_BODY))
    (margin_grey,) = _Region(tree, np.where(body > CLEAR_BODY, 0, tree.basins)).means(grey)
    return {
        "saddle": tree.saddle,
        "saddle_outside": np.where(parent >= 0, tree.saddle[parent], 0),
        "peak": _peak(tree, depth),
        "n_basins": (tree.last - tree.first + 1).astype(np.float64),
        "sharpness": clear / np.maximum(faint, 1),
        "grey_contrast": mean_grey - margin_grey,
    }


def _peak(tree: CandidateTree, plane: Plane) -> Floats:
    """Return the greatest value of a plane within each candidate's basins."""
    of_basin = np.zeros(tree.n_basins + 1)
    np.maximum.at(of_basin, tree.basins.ravel(), plane.ravel())
    peak = of_basin[1:].tolist()
    for a, b in tree.children[tree.n_basins :].tolist():
        peak.append(max(peak[a], peak[b]))
    return np.array(peak)


def _image(image: NDArray[np.uint8], body: Plane) -> dict[str, float]:
    """Describe a whole image."""
    chroma = image.max(axis=2).astype(np.float32) - image.min(axis=2)
    levels = grey_range(image.mean(axis=2, dtype=np.float32))
    dark, bright = (level / 255 for level in levels)
    return {
        "image_body": float(body.mean()),
        "image_grey": float(np.median(image)) / 255,
        "image_chroma": float(chroma.mean()) / 255,
        "image_dark": dark,
        "image_bright": bright,
        "image_contrast": bright - dark,
    }
