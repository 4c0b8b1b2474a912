"""Describe candidate nuclei by numbers: shape, probability, and how they stand in their image."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.instances.candidates import LEVELS, CandidateTree, Floats, Labels
from kaggle_dsb.instances.outline import grey_range

OF_A_VERSION = (
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
)
# The rim is a version's outermost pixels, the ring the two around them; grey levels are smoothed.
OF_AN_OUTLINE = (
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
)
OF_A_CANDIDATE = ("saddle", "saddle_outside", "peak", "n_basins", "sharpness", "grey_contrast")
OF_AN_IMAGE = (
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
FEATURES = OF_A_VERSION + OF_AN_OUTLINE + OF_A_CANDIDATE + OF_AN_IMAGE

FAINT_BODY, USUAL_BODY, CLEAR_BODY = 0.35, 0.5, 0.65

MEAN_GREY = OF_A_VERSION.index("mean_grey")
SQUARE = np.ones((3, 3), np.uint8)


def describe_candidates(
    tree: CandidateTree,
    probability: NDArray[np.float32],
    image: NDArray[np.uint8],
    *,
    grey: NDArray[np.float32],
    diameter_px: float,
) -> NDArray[np.float32]:
    """Describe each version of each candidate.

    Parameters
    ----------
    tree : CandidateTree
    probability : (3, H, W) float32
        That the tree was built from.
    image : (H, W, 3) uint8
    grey : (H, W) float32
        Its grey levels, as `kaggle_dsb.instances.outline.relative_grey` gives them.
    diameter_px : float
        That of the image's nuclei, as `kaggle_dsb.instances.size.median_diameter` measures them in
        a plain split; 0 where it found none.

    Returns
    -------
    (n_versions, n_candidates, n_features) float32
        The features in the order of `FEATURES`, the versions in that of `LEVELS`.
    """
    planes = _planes(probability, grey)
    versions = np.stack([_of_version(tree, level, planes, diameter_px) for level in LEVELS])
    outlines = _of_outlines(tree, probability, grey, versions[..., MEAN_GREY])
    of_image = _of_image(tree, image, probability, diameter_px) + _usual_gradients(outlines)
    shared = np.column_stack(
        [
            _of_candidate(tree, versions, probability, grey),
            np.tile(of_image, (tree.n_candidates, 1)),
        ]
    )
    everywhere = np.broadcast_to(shared, (len(LEVELS), *shared.shape))
    return np.concatenate([versions, outlines, everywhere], axis=2).astype(np.float32)


def _planes(
    probability: NDArray[np.float32], grey: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    body, border, depth = probability
    rows, columns = np.indices(grey.shape, dtype=np.float32)
    on_edge = np.zeros_like(grey)
    on_edge[[0, -1]] = on_edge[:, [0, -1]] = 1
    return {
        "body": body,
        "border": border,
        "depth": depth,
        "depth2": depth**2,
        "grey": grey,
        "grey2": grey**2,
        "on_edge": on_edge,
        "r": rows,
        "c": columns,
        "rr": rows**2,
        "cc": columns**2,
        "rc": rows * columns,
    }


def sum_over_candidates(
    tree: CandidateTree, labels: Labels, plane: NDArray[np.float32] | None = None
) -> Floats:
    """Sum a plane over the pixels of each candidate, (n_candidates,); without one count them."""
    weights = None if plane is None else plane.ravel()
    sums = np.bincount(labels.ravel(), weights=weights, minlength=tree.n_basins + 1)[1:]
    total: Floats = tree.members @ sums.astype(np.float64)
    return total


def _of_version(
    tree: CandidateTree,
    level: float,
    planes: dict[str, NDArray[np.float32]],
    diameter_px: float,
) -> Floats:
    labels = tree.version(level)
    count = sum_over_candidates(tree, labels)
    area = np.maximum(count, 1)
    mean = {k: sum_over_candidates(tree, labels, v) / area for k, v in planes.items()}
    # A pixel is a unit square, which has a variance of its own.
    row, column = (mean[k + k] - mean[k] ** 2 + 1 / 12 for k in "rc")
    both = mean["rc"] - mean["r"] * mean["c"]
    determinant = np.maximum(row * column - both**2, 1 / 144)
    spread = np.sqrt(np.maximum((row - column) ** 2 / 4 + both**2, 0))
    perimeter = np.maximum(_perimeter(tree, labels), 1)
    largest = (row + column) / 2 + spread
    return np.column_stack(
        [
            count,
            count / (np.pi / 4 * diameter_px**2) if diameter_px else np.ones_like(count),
            4 * np.pi * area / perimeter**2,
            area / (4 * np.pi * np.sqrt(determinant)),
            np.sqrt(determinant) / largest,
            mean["on_edge"] * area / perimeter,
            mean["body"],
            mean["border"],
            mean["depth"],
            np.sqrt(np.maximum(mean["depth2"] - mean["depth"] ** 2, 0)),
            mean["grey"],
            np.sqrt(np.maximum(mean["grey2"] - mean["grey"] ** 2, 0)),
            count / np.maximum(sum_over_candidates(tree, tree.basins), 1),
            count / np.maximum(_area_of_body(tree, planes["body"], USUAL_BODY), 1),
            np.full(count.size, level),
        ]
    )


def _area_of_body(tree: CandidateTree, body: NDArray[np.float32], threshold: float) -> Floats:
    return sum_over_candidates(tree, np.where(body > threshold, tree.basins, 0))


def _of_outlines(
    tree: CandidateTree,
    probability: NDArray[np.float32],
    grey: NDArray[np.float32],
    inside: Floats,
) -> Floats:
    """Describe what lies along the outlines, (n_versions, n_candidates, n_features)."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1).astype(np.float32, copy=False)
    body, border, _ = probability
    of_rim, of_ring = [smooth, _gradient(smooth), _gradient(body)], [smooth, body, border]
    described = []
    for level, mean_grey in zip(LEVELS, inside, strict=True):
        labels = tree.version(level)
        core = cv2.erode((labels > 0).astype(np.uint8), SQUARE)
        rim = np.where(core > 0, 0, labels)
        # OpenCV's morphology knows no 32-bit integers; these are exact as floats.
        grown = cv2.dilate(labels.astype(np.float32), SQUARE, iterations=2)
        ring = np.where(labels > 0, 0, grown.astype(np.int32))
        on_rim = _means(tree, rim, of_rim)
        for plane in (body, tree.membership):
            mean, mean_square = _means(tree, rim, [plane, plane**2])
            on_rim += [mean, np.sqrt(np.maximum(mean_square - mean**2, 0))]
        on_ring = _means(tree, ring, of_ring)
        step = np.maximum(np.abs(mean_grey - on_ring[0]), 0.01)
        outline_level = np.clip((on_rim[0] - on_ring[0]) / step, -5, 5)
        relative = on_rim[0] / np.maximum(mean_grey, 1e-3)
        described.append([*on_rim, *on_ring, relative, outline_level])
    numbers = np.array(described).transpose(0, 2, 1)
    gradient = numbers[..., 1]
    share = gradient / np.maximum(gradient.max(axis=0), 1e-4)
    return np.insert(numbers, OF_AN_OUTLINE.index("relative_rim_gradient"), share, axis=2)


def _usual_gradients(outlines: Floats) -> list[float]:
    """Give an image's median gradients of grey and of body along its candidates' outlines."""
    if not outlines.size:
        return [0.0, 0.0]
    return [float(value) for value in np.median(outlines[-1, :, 1:3], axis=0)]


def _gradient(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the steepness of a plane, per pixel."""
    down, right = (cv2.Sobel(plane, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((0, 1), (1, 0)))
    return np.hypot(down, right)


def _means(
    tree: CandidateTree, labels: Labels, planes: Sequence[NDArray[np.float32]]
) -> list[Floats]:
    """Give the mean of each plane over the pixels of each candidate; 0 where it has none."""
    count = np.maximum(sum_over_candidates(tree, labels), 1)
    return [sum_over_candidates(tree, labels, plane) / count for plane in planes]


def _perimeter(tree: CandidateTree, labels: Labels) -> Floats:
    """Count the pixel edges around each candidate, (n_candidates,), but not the image's own."""
    n = tree.n_basins + 1
    pairs = [(labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])]
    one, other = (np.concatenate([p[side].ravel() for p in pairs]) for side in (0, 1))
    differ = one != other
    one, other = one[differ].astype(np.int64), other[differ].astype(np.int64)
    around = (np.bincount(one, minlength=n) + np.bincount(other, minlength=n))[1:]
    total: Floats = tree.members @ around.astype(np.float64)
    # An edge between two basins of one candidate was counted from both sides.
    inner = (one > 0) & (other > 0)
    keys, shared = np.unique(one[inner] * n + other[inner], return_counts=True)
    by_basin = tree.members.tocsc()
    for a, b, length in zip(keys // n - 1, keys % n - 1, shared, strict=True):
        within = np.intersect1d(
            by_basin.indices[by_basin.indptr[a] : by_basin.indptr[a + 1]],
            by_basin.indices[by_basin.indptr[b] : by_basin.indptr[b + 1]],
            assume_unique=True,
        )
        total[within] -= 2 * length
    return total


def _of_candidate(
    tree: CandidateTree,
    versions: Floats,
    probability: NDArray[np.float32],
    grey: NDArray[np.float32],
) -> Floats:
    parent = tree.parent()
    outside = np.where(parent >= 0, tree.saddle[parent], 0)
    peak = np.zeros(tree.n_basins + 1)
    np.maximum.at(peak, tree.basins.ravel(), probability[2].ravel())
    highest = np.zeros(tree.n_candidates)
    highest[: tree.n_basins] = peak[1:]
    for candidate in range(tree.n_basins, tree.n_candidates):
        highest[candidate] = highest[tree.children[candidate]].max()
    body = probability[0]
    clear, faint = (_area_of_body(tree, body, t) for t in (CLEAR_BODY, FAINT_BODY))
    inside = versions[-1][:, MEAN_GREY]
    margin = np.where(body > CLEAR_BODY, 0, tree.basins)
    (margin_grey,) = _means(tree, margin, [grey])
    return np.column_stack(
        [
            tree.saddle,
            outside,
            highest,
            np.diff(tree.members.indptr),
            clear / np.maximum(faint, 1),
            inside - margin_grey,
        ]
    )


def _of_image(
    tree: CandidateTree,
    image: NDArray[np.uint8],
    probability: NDArray[np.float32],
    diameter_px: float,
) -> list[float]:
    chroma = image.max(axis=2).astype(np.float32) - image.min(axis=2)
    dark, bright = (
        float(level) / 255 for level in grey_range(image.mean(axis=2, dtype=np.float32))
    )
    return [
        diameter_px,
        float(probability[0].mean()),
        float(np.median(image)) / 255,
        float(chroma.mean()) / 255,
        tree.n_basins,
        dark,
        bright,
        bright - dark,
    ]
