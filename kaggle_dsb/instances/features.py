"""Describe candidate nuclei by numbers: shape, probability, and how they stand in their image."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels, Plane
from kaggle_dsb.instances.candidates import CandidateTree, find_candidates
from kaggle_dsb.instances.hills import Floats, Integers
from kaggle_dsb.instances.outline import Grey, measure_grey
from kaggle_dsb.instances.size import median_diameter

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
    nuclei: Labels,
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
        In the order of `FEATURES`.
    """
    grey = measure_grey(image)
    tree = find_candidates(
        probability,
        grey.relative,
        min_seed_px=MIN_SEED_PX,
        outline_threshold=outline_threshold,
    )
    shared = describe_pixels(image, probability[0], grey) | {
        "median_diameter_px": median_diameter(nuclei),
        "level": outline_threshold,
    }
    return tree, describe_candidates(tree, probability, grey.relative, shared)


def describe_candidates(
    tree: CandidateTree,
    probability: NDArray[np.float32],
    grey: Plane,
    shared: Mapping[str, float],
) -> NDArray[np.float32]:
    """Describe each candidate.

    Parameters
    ----------
    tree : CandidateTree
    probability : (3, H, W) float32
        That the tree was built from.
    grey : (H, W) float32
        Likewise.
    shared : mapping of str to float
        What holds for all candidates: ``median_diameter_px``, 0 where there are no nuclei,
        ``level``, and what `describe_pixels` returns.

    Returns
    -------
    (n_candidates, n_features) float32
        In the order of `FEATURES`.
    """
    inside = _inside(tree, probability, grey)
    outline = _outline(tree, probability, grey, inside["mean_grey"])
    of_image = dict(shared) | {
        "image_basins": tree.n_basins,
        "image_rim_gradient": _median(outline["rim_gradient"]),
        "image_rim_body_gradient": _median(outline["rim_body_gradient"]),
    }
    table = {
        **inside,
        **_basins(tree, probability, grey, inside, shared["median_diameter_px"]),
        **outline,
        **{name: np.full(tree.n_candidates, value) for name, value in of_image.items()},
    }
    return np.column_stack([table[name] for name in FEATURES]).astype(np.float32)


class _Region:
    """Pixels of candidates, for sums over each."""

    def __init__(self, tree: CandidateTree, labels: Labels) -> None:
        self._tree = tree
        self.pixels: Integers = np.flatnonzero(labels > 0)
        self._basin = labels.take(self.pixels).astype(np.int64)
        self.count = self.sum(None)

    def at(self, plane: Plane) -> NDArray[np.float64]:
        """Return the values of a plane at the pixels."""
        return plane.take(self.pixels).astype(np.float64)

    def sum(self, values: NDArray[np.float64] | NDArray[np.bool_] | None) -> Floats:
        """Return the sum of values at the pixels of each candidate; without values, count them."""
        n = self._tree.n_basins + 1
        return self._tree.add_up(np.bincount(self._basin, weights=values, minlength=n))

    def mean(self, values: NDArray[np.float64]) -> Floats:
        """Return the mean of values at the pixels of each candidate; 0 where it has none."""
        mean: Floats = self.sum(values) / np.maximum(self.count, 1)
        return mean

    def mean_and_deviation(self, plane: Plane) -> tuple[Floats, Floats]:
        """Return the mean and the standard deviation of a plane over each candidate."""
        values = self.at(plane)
        mean, mean_square = self.mean(values), self.mean(values * values)
        return mean, np.sqrt(np.maximum(mean_square - mean**2, 0))

    def greatest(self, plane: Plane) -> Floats:
        """Return the greatest value of a plane that is not negative over each candidate."""
        of_basin = np.zeros(self._tree.n_basins + 1)
        np.maximum.at(of_basin, self._basin, self.at(plane))
        greatest = of_basin[1:].tolist()
        for a, b in self._tree.children[self._tree.n_basins :].tolist():
            greatest.append(max(greatest[a], greatest[b]))
        return np.array(greatest)


def _inside(
    tree: CandidateTree, probability: NDArray[np.float32], grey: Plane
) -> dict[str, Floats]:
    """Describe the pixels inside each candidate."""
    region = _Region(tree, tree.labels)
    body, border, depth = probability
    mean_depth, sd_depth = region.mean_and_deviation(depth)
    mean_grey, sd_grey = region.mean_and_deviation(grey)
    perimeter = np.maximum(_perimeter(tree), 1)
    rows, columns = np.divmod(region.pixels, grey.shape[1])
    last_row, last_column = grey.shape[0] - 1, grey.shape[1] - 1
    on_edge = (rows == 0) | (rows == last_row) | (columns == 0) | (columns == last_column)
    return {
        "area_px": region.count,
        "roundness": 4 * np.pi * np.maximum(region.count, 1) / perimeter**2,
        **_ellipse(region, rows.astype(np.float64), columns.astype(np.float64)),
        "edge_share": region.sum(on_edge) / perimeter,
        "mean_body": region.mean(region.at(body)),
        "mean_border": region.mean(region.at(border)),
        "mean_depth": mean_depth,
        "sd_depth": sd_depth,
        "mean_grey": mean_grey,
        "sd_grey": sd_grey,
    }


def _ellipse(
    region: _Region, rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> dict[str, Floats]:
    """Compare each candidate with the ellipse of its second moments."""
    r, c = region.mean(rows), region.mean(columns)
    # A pixel is a unit square, which has a variance of its own.
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
    tree: CandidateTree,
    probability: NDArray[np.float32],
    grey: Plane,
    inside: dict[str, Floats],
    diameter_px: float,
) -> dict[str, Floats]:
    """Describe each candidate's basins, further out than it ends, and its place in the tree."""
    region = _Region(tree, tree.basins)
    body = region.at(probability[0])
    parent = tree.parent()
    half, faint, clear = (region.sum(body > t) for t in (HALF_BODY, FAINT_BODY, CLEAR_BODY))
    margin = np.where(body > CLEAR_BODY, 0, region.at(grey))
    margin_grey = region.sum(margin) / np.maximum(region.count - clear, 1)
    area, typical = inside["area_px"], np.pi / 4 * diameter_px**2
    return {
        "relative_area": area / typical if diameter_px else np.ones_like(area),
        "filled_share": area / np.maximum(region.count, 1),
        "body_share": area / np.maximum(half, 1),
        "saddle": tree.saddle,
        "saddle_outside": np.where(parent >= 0, tree.saddle[parent], 0),
        "peak": region.greatest(probability[2]),
        "n_basins": (tree.last - tree.first + 1).astype(np.float64),
        "sharpness": clear / np.maximum(faint, 1),
        "grey_contrast": inside["mean_grey"] - margin_grey,
    }


def _outline(
    tree: CandidateTree, probability: NDArray[np.float32], grey: Plane, mean_grey: Floats
) -> dict[str, Floats]:
    """Describe what lies along the outlines, with smoothed grey levels."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1).astype(np.float32, copy=False)
    body, border, _ = probability
    labels = tree.labels
    core = cv2.erode((labels > 0).astype(np.uint8), RIM)
    rim = _Region(tree, np.where(core > 0, 0, labels))
    # OpenCV's morphology knows no 32-bit integers; these are exact as floats.
    around = cv2.dilate(labels.astype(np.float32), RING)
    ring = _Region(tree, np.where(labels > 0, 0, around.astype(np.int32)))
    gradient = rim.mean(rim.at(_gradient(smooth)))
    rim_grey, ring_grey = rim.mean(rim.at(smooth)), ring.mean(ring.at(smooth))
    rim_body, rim_sd_body = rim.mean_and_deviation(body)
    rim_membership, rim_sd_membership = rim.mean_and_deviation(tree.membership)
    step = np.maximum(np.abs(mean_grey - ring_grey), 0.01)
    return {
        "rim_grey": rim_grey,
        "rim_gradient": gradient,
        "rim_body_gradient": rim.mean(rim.at(_gradient(body))),
        "rim_body": rim_body,
        "rim_sd_body": rim_sd_body,
        "rim_membership": rim_membership,
        "rim_sd_membership": rim_sd_membership,
        "ring_grey": ring_grey,
        "ring_body": ring.mean(ring.at(body)),
        "ring_border": ring.mean(ring.at(border)),
        "relative_rim_gradient": gradient / np.maximum(gradient, 1e-4),
        "relative_rim_grey": rim_grey / np.maximum(mean_grey, 1e-3),
        "outline_level": np.clip((rim_grey - ring_grey) / step, -5, 5),
    }


def _median(values: Floats) -> float:
    return float(np.median(values)) if values.size else 0.0


def _gradient(plane: Plane) -> Plane:
    """Return the steepness of a plane, per pixel."""
    down, right = (cv2.Sobel(plane, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((0, 1), (1, 0)))
    return cv2.magnitude(down, right).astype(np.float32, copy=False)


def _perimeter(tree: CandidateTree) -> Floats:
    """Count the pixel edges around each candidate, (n_candidates,), but not the image's own."""
    n, labels = tree.n_basins + 1, tree.labels
    sides = []
    for a, b in ((labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])):
        differ = np.flatnonzero(a != b)
        sides.append((a.ravel()[differ], b.ravel()[differ]))
    here, there = (np.concatenate(side).astype(np.int64) for side in zip(*sides, strict=True))
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
    cumulated = np.cumsum(count)
    within: Floats = cumulated[tree.last] - cumulated[tree.first]
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


def describe_pixels(image: NDArray[np.uint8], body: Plane, grey: Grey) -> dict[str, float]:
    """Describe a whole image, whatever candidates are in it.

    Parameters
    ----------
    image : (H, W, 3) uint8
    body : (H, W) float32
    grey : Grey
        Grey levels of the image.
    """
    channels = cv2.split(image)
    brightest = cv2.max(cv2.max(channels[0], channels[1]), channels[2])
    darkest = cv2.min(cv2.min(channels[0], channels[1]), channels[2])
    chroma = cv2.subtract(brightest, darkest)
    dark, bright = grey.dark / 255, grey.bright / 255
    return {
        "image_body": float(body.mean()),
        "image_grey": _median_level(channels) / 255,
        "image_chroma": float(chroma.mean()) / 255,
        "image_dark": dark,
        "image_bright": bright,
        "image_contrast": bright - dark,
    }


def _median_level(channels: Sequence[NDArray[Any]]) -> float:
    """Return the median of the pixels of all channels."""
    counts = sum(
        cv2.calcHist([channel], [0], None, [256], [0, 256]).ravel() for channel in channels
    )
    cumulated = np.cumsum(counts, dtype=np.float64)
    middle = [(cumulated[-1] - 1) // 2, cumulated[-1] // 2]
    return float(np.searchsorted(cumulated, middle, side="right").mean())
