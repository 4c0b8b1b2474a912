"""Nuclei as polygons: trace the outlines of labels, and fill polygons.

Coordinates are (x, y) with the corner of the first pixel at (0, 0) and its centre at (0.5, 0.5),
as in QuPath, ImageJ and COCO. scikit-image is imported only when needed: its import is slow, and
most data contain no polygons.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.files import InputError

_FARTHEST_PX = 1e9

Ring = NDArray[np.float64]
Polygon = list[Ring]  # the exterior, then the holes


def trace_nuclei(labels: Labels) -> Iterator[tuple[int, list[Polygon]]]:
    """Trace the outline of every nucleus.

    Parameters
    ----------
    labels : (H, W) int32

    Yields
    ------
    label : int
    polygons : list of Polygon
        One for each part; a polygon is a list of closed rings, (K, 2), the exterior first.

    Notes
    -----
    The outlines pass midway between the centres of inner and outer pixels, so filling them
    restores exactly the same pixels. Pixels that touch only at a corner are separate parts.
    """
    from scipy.ndimage import find_objects
    from skimage.measure import find_contours

    for label, box in enumerate(find_objects(labels), start=1):
        if box is not None:
            mask = np.pad(labels[box] == label, 1)
            offset = np.array([box[1].start - 0.5, box[0].start - 0.5])
            rings = [ring[:, ::-1] + offset for ring in find_contours(mask.astype(float), 0.5)]
            yield label, _nest(rings)


def fill_polygon(rings: Iterable[ArrayLike], shape: tuple[int, int]) -> NDArray[np.intp]:
    """Return the pixels whose centres lie inside an odd number of rings.

    Parameters
    ----------
    rings : iterable of (K, 2) array_like
        Exteriors and holes in any order, closed or not.
    shape : (H, W)

    Returns
    -------
    (n,) intp
        Flat (row-major) indices.

    Raises
    ------
    InputError
        When a coordinate is not finite, or far beyond any image.

    Examples
    --------
    >>> fill_polygon([[(0, 0), (2, 0), (2, 1), (0, 1)]], (2, 3)).tolist()
    [0, 1]
    """
    from skimage.draw import polygon

    arrays = [np.asarray(ring, float).reshape(-1, 2) - 0.5 for ring in rings]
    if not arrays:
        return np.zeros(0, np.intp)
    if not all(np.abs(array).max(initial=0) < _FARTHEST_PX for array in arrays):
        raise InputError(f"has coordinates that are not numbers below {_FARTHEST_PX:g}")
    # Only the bounding box of the rings is painted.
    points = np.concatenate(arrays)
    first = np.clip(np.floor(points.min(axis=0)).astype(int), 0, (shape[1], shape[0]))
    last = np.clip(np.ceil(points.max(axis=0)).astype(int) + 1, 0, (shape[1], shape[0]))
    width, height = np.maximum(last - first, 0)
    inside = np.zeros((height, width), bool)
    for array in arrays:
        columns, rows = (array - first).T
        inside[polygon(rows, columns, inside.shape)] ^= True
    rows, columns = np.nonzero(inside)
    return np.asarray((rows + first[1]) * shape[1] + columns + first[0], np.intp)


def _nest(rings: Sequence[Ring]) -> list[Polygon]:
    """Group rings into polygons: each exterior, followed by the holes inside it."""
    from skimage.measure import points_in_poly

    # Exteriors and holes have opposite orientations.
    exteriors: list[Polygon] = [[ring] for ring in rings if _signed_area(ring) > 0]
    for hole in rings:
        if _signed_area(hole) <= 0:
            around = [part for part in exteriors if points_in_poly(hole[:1], part[0])[0]]
            min(around, key=lambda part: _signed_area(part[0])).append(hole)
    return exteriors


def _signed_area(ring: Ring) -> float:
    x, y = ring[:-1].T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
