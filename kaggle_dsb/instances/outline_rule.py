"""Choose the outline threshold of an image, which depends on the annotation style of its source.

Bright nuclei have blurred edges: some annotators outline them at half the intensity, others out in
the glow. An image that resembles labelled ones most likely comes from the same laboratory and gets
the threshold of its annotators; any other image gets the threshold with the best mean score over
annotators. The outline of nuclei darker than the background is less ambiguous.
"""

import csv
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.aliases import Plane
from kaggle_dsb.files import InputError, replacing
from kaggle_dsb.instances.outline import INSIDE, OUTSIDE

NUMBERS = (
    "darkest",
    "ground",
    "brightest",
    "range",
    "noise",
    *(f"detail_{octave}" for octave in range(5)),
    "sharpness",
    "width_px",
    "covered",
    "grey_levels",
)
"""The columns that `describe_appearance` returns: logarithms, except for ``covered``, a share."""

NEIGHBOURS = 3
ALIKE, UNLIKE = 0.35, 0.5
"""Root mean square difference of two appearances, in standard deviations of the known ones: an
image counts as known up to the first, as unknown from the second, and as a blend in between."""

MOST_PX = 1024  # of a larger image, the appearance of the centre is described


def describe_appearance(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Describe the appearance of an image: its intensities, noise, detail and sharpness.

    Parameters
    ----------
    image : (H, W, 3) uint8

    Returns
    -------
    (14,) float32
        In the order of `NUMBERS`.
    """
    top, left = (max(side - MOST_PX, 0) // 2 for side in image.shape[:2])
    grey = _grey(image[top : top + MOST_PX, left : left + MOST_PX])
    darkest, background, brightest = np.percentile(grey, [1, 50, 99])
    contrast = brightest - darkest + 1
    noise = np.median(np.abs(cv2.Laplacian(grey, cv2.CV_32F)))
    return np.array(
        [
            *np.log1p([darkest, background, brightest]),
            np.log(contrast),
            np.log(noise + 0.1),
            *np.log(_octaves(grey) / contrast + 1e-3),
            *_describe_objects(grey),
            np.log(np.unique(np.rint(grey)).size),
        ],
        np.float32,
    )


def _grey(image: NDArray[np.uint8]) -> Plane:
    weights = np.full((1, 3), 1 / 3, np.float32)
    return cv2.transform(np.ascontiguousarray(image, np.float32), weights).astype(np.float32)


def _octaves(grey: Plane) -> NDArray[np.floating]:
    """Return the standard deviations of five difference-of-Gaussian bands, one octave apart."""
    blurred = [grey, *(cv2.GaussianBlur(grey, (0, 0), 0.7 * 2.0**octave) for octave in range(5))]
    return np.array([(a - b).std() for a, b in pairwise(blurred)])


def _describe_objects(grey: Plane) -> tuple[float, float, float]:
    """Return the sharpness, half width and area share of the objects above Otsu's threshold."""
    eight_bits = grey.astype(np.uint8)
    threshold, objects = cv2.threshold(eight_bits, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    is_object = grey > threshold
    if is_object.all() or not is_object.any():
        return float(np.log(0.01)), 0.0, float(is_object.mean())
    depth = cv2.distanceTransform(objects, cv2.DIST_L2, 5)
    edge = (objects > 0) & (cv2.erode(objects, np.ones((3, 3), np.uint8)) == 0)
    slope = np.hypot(
        *(cv2.Sobel(grey, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
    )
    step = max(float(grey[is_object].mean() - grey[~is_object].mean()), 1.0)
    sharpness = float(np.median(slope[edge])) / step if edge.any() else 0.0
    width_px = float(np.percentile(depth[is_object], 95))
    return float(np.log(sharpness + 0.01)), float(np.log1p(width_px)), float(is_object.mean())


@dataclass(frozen=True)
class KnownOutlines:
    """The appearances of labelled images, and the outline thresholds that fit their annotations.

    Attributes
    ----------
    appearances : (n, 14) float32
        As `describe_appearance` returns them.
    thresholds : (n,) float32
    folds : (n,) int64
        The fold that holds out each image.
    """

    appearances: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    folds: NDArray[np.int64]

    def without(self, fold: int | None) -> "KnownOutlines":
        """Return all images but those of a fold; with None, all."""
        if fold is None:
            return self
        kept = self.folds != fold
        return KnownOutlines(self.appearances[kept], self.thresholds[kept], self.folds[kept])

    def threshold(self, image: NDArray[np.uint8], *, otherwise: float) -> float:
        """Return the outline threshold of an image, from the known images most similar to it.

        Parameters
        ----------
        image : (H, W, 3) uint8
        otherwise : float
            The threshold of an image that resembles none of them.
        """
        if not self.thresholds.size:
            return otherwise
        scale = np.maximum(self.appearances.std(axis=0), 1e-3)
        difference = (self.appearances - describe_appearance(image)) / scale
        distance = np.sqrt(np.mean(difference**2, axis=1))
        nearest = np.argsort(distance, kind="stable")[:NEIGHBOURS]
        known = float(np.clip((UNLIKE - distance[nearest].mean()) / (UNLIKE - ALIKE), 0, 1))
        return known * float(self.thresholds[nearest].mean()) + (1 - known) * otherwise


@dataclass(frozen=True)
class OutlineRule:
    """Chooses the outline threshold of an image.

    Attributes
    ----------
    dark : float
        The threshold for nuclei darker than the background.
    glowing : float
        The threshold for brighter nuclei, in an image that resembles no known one.
    known : KnownOutlines, optional
    """

    dark: float
    glowing: float
    known: KnownOutlines | None = None

    def threshold(self, image: NDArray[np.uint8], *, is_glowing: bool) -> float:
        """Return the outline threshold of an image, a membership.

        Parameters
        ----------
        image : (H, W, 3) uint8
        is_glowing : bool
            Whether its nuclei are brighter than the background.
        """
        if not is_glowing:
            return self.dark
        return self.known.threshold(image, otherwise=self.glowing) if self.known else self.glowing


def is_glowing(body: Plane, image: NDArray[np.uint8]) -> bool:
    """Return whether the nuclei are brighter than the background."""
    step = max(max(body.shape) // MOST_PX, 1)
    body, grey = body[::step, ::step], _grey(image[::step, ::step])
    inside, outside = grey[body > INSIDE], grey[body < OUTSIDE]
    return bool(inside.size and outside.size and inside.mean() > outside.mean())


OUTLINE_COLUMNS = ["fold", "outline_threshold", *NUMBERS]
_WANTED = (
    f"is not a table of numbers in the columns {', '.join(OUTLINE_COLUMNS)}, with the "
    "threshold between 0 and 1; create it again with `kaggle-dsb tune --outlines-only`"
)


def write_known(path: Path, known: KnownOutlines) -> None:
    """Write known outlines as a CSV table, one row per image."""
    rows = np.column_stack([known.folds, known.thresholds, known.appearances])
    formats = ["%d", *["%.4g"] * (len(OUTLINE_COLUMNS) - 1)]
    with replacing(path) as temporary:
        header = ",".join(OUTLINE_COLUMNS)
        np.savetxt(temporary, rows, formats, delimiter=",", header=header, comments="")


def read_known(path: Path) -> KnownOutlines:
    """Read the known outlines that `write_known` wrote.

    Raises
    ------
    InputError
        When the file is not such a table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        numbers = np.array(rows, np.float64).reshape(-1, len(OUTLINE_COLUMNS))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: {_WANTED} ({error})") from None
    folds, thresholds = numbers[:, 0], numbers[:, 1]
    with np.errstate(over="ignore"):
        appearances = numbers[:, 2:].astype(np.float32)
    is_sound = (
        np.isfinite(numbers).all() and np.isfinite(appearances).all() and not (folds % 1).any()
    )
    if header != OUTLINE_COLUMNS or not is_sound or ((thresholds <= 0) | (thresholds >= 1)).any():
        raise InputError(f"{path}: {_WANTED}")
    return KnownOutlines(appearances, thresholds.astype(np.float32), folds.astype(int))
