"""Nuclei as polygons: trace the outlines of labels, and fill polygons.

Coordinates are (x, y) with the corner of the first pixel at (0, 0) and its centre at (0.5, 0.5),
as in QuPath, ImageJ and COCO.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.files import InputError

_FARTHEST_PX = 1e9
_ON_A_VERTEX_PX = 1e-12

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
    for label, rings in groupby(_trace_rings(labels), key=lambda traced: traced[0]):
        yield label, _nest([ring for _, ring in rings])


def _trace_rings(labels: Labels) -> Iterator[tuple[int, Ring]]:
    """Yield the label and the points of every closed ring, ordered by label.

    A ring joins the midpoints of the sides of pixels at which a nucleus ends: clockwise around the
    nucleus, counter-clockwise around a hole.
    """
    padded = np.pad(labels, 1)
    flat, width = padded.ravel(), padded.shape[1]
    # Along the top, right, bottom and left of a pixel; the step before points outwards.
    steps = np.array([1, width, -1, -width])
    sides = _find_sides(flat, steps)
    pixel, side = np.divmod(sides, 4)
    own, ahead = flat[pixel], pixel + steps[side]
    beside = ahead + steps[side - 1]
    following = np.where(flat[beside] == own, 4 * beside + (side - 1) % 4, 4 * ahead + side)
    following = np.where(flat[ahead] == own, following, 4 * pixel + (side + 1) % 4)
    outwards = np.array([(0, -0.5), (0.5, 0), (0, 0.5), (-0.5, 0)])
    points = np.stack([pixel % width, pixel // width], axis=1) - 0.5 + outwards[side]
    starts = np.argsort(own, kind="stable")
    for cycle in _find_cycles(np.searchsorted(sides, following), starts):
        yield int(own[cycle[0]]), points[cycle]


def _find_sides(flat: NDArray[np.integer], steps: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return 4 pixel + side, ascending, for each side at which a nucleus ends."""
    inside = np.flatnonzero(flat)
    own = flat[inside]
    found = [4 * inside[flat[inside + steps[side - 1]] != own] + side for side in range(4)]
    return np.sort(np.concatenate(found))


def _find_cycles(following: NDArray[np.intp], starts: NDArray[np.intp]) -> Iterator[list[int]]:
    """Yield the cycles of a permutation, each from the first of ``starts`` in it and back to it."""
    after, is_left = following.tolist(), [True] * following.size
    for start in starts.tolist():
        cycle, current = [], start
        while is_left[current]:
            is_left[current] = False
            cycle.append(current)
            current = after[current]
        if cycle:
            yield [*cycle, start]


def fill_polygon(rings: Iterable[ArrayLike], shape: tuple[int, int]) -> NDArray[np.intp]:
    """Return the pixels whose centres lie inside an odd number of rings.

    Parameters
    ----------
    rings : iterable of (K, 2) array_like
        Exteriors and holes in any order, closed or not. A centre on a ring lies inside it.
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
    arrays = [np.asarray(ring, float).reshape(-1, 2) - 0.5 for ring in rings]
    if not any(array.size for array in arrays):
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
        inside ^= _fill_ring(array - first, (height, width))
    rows, columns = np.nonzero(inside)
    return np.asarray((rows + first[1]) * shape[1] + columns + first[0], np.intp)


def _fill_ring(ring: Ring, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels, with their centres at integers, inside a ring or on it, (H, W) bool."""
    filled = _cross_oddly(ring, shape, to_right=True) | _cross_oddly(ring, shape, to_right=False)
    centres = np.rint(ring)
    is_hit = (np.abs(ring - centres) < _ON_A_VERTEX_PX) & (centres >= 0) & (centres < shape[::-1])
    columns, rows = centres[is_hit.all(axis=1)].astype(np.intp).T
    filled[rows, columns] = True
    return filled


def _cross_oddly(ring: Ring, shape: tuple[int, int], *, to_right: bool) -> NDArray[np.bool_]:
    """Return whether the ray from each centre to one side crosses a ring an odd number of times.

    Rays to the right cross the upper end of an edge but not its lower, and rays to the left the
    reverse: the two differ only where a centre lies on an edge.

    References
    ----------
    J. O'Rourke, Computational Geometry in C, 1998, section 7.4.
    """
    height, width = shape
    before = np.roll(ring, 1, axis=0)
    ends = np.sort([ring[:, 1], before[:, 1]], axis=0)
    ends = np.ceil(ends) if to_right else np.floor(ends) + 1
    first, last = np.clip(ends, 0, height).astype(np.intp)
    edge = np.repeat(np.arange(len(ring)), last - first)
    row = np.arange(edge.size) - np.repeat(np.cumsum(last - first) - last, last - first)
    (x, y), (x_before, y_before) = ring[edge].T, before[edge].T
    y, y_before = y - row, y_before - row
    rise = y_before - y
    nearest = np.rint(x - y * (x_before - x) / rise)
    beyond = ((x - nearest) * y_before - (x_before - nearest) * y) / rise
    crossing = np.clip(nearest + (beyond > 0 if to_right else beyond >= 0), 0, width)
    marks = np.zeros((height, width + 1), bool)
    np.logical_xor.at(marks, (row, crossing.astype(np.intp)), True)
    # A ring crosses each row an even number of times: what is odd to the left is odd to the right.
    return np.logical_xor.accumulate(marks, axis=1)[:, :width]


def _nest(rings: Sequence[Ring]) -> list[Polygon]:
    """Group rings into polygons: each exterior, followed by the holes inside it."""
    # Exteriors and holes have opposite orientations.
    areas = [_signed_area(ring) for ring in rings]
    parts: list[Polygon] = [[ring] for ring, area in zip(rings, areas, strict=True) if area > 0]
    holes = [ring for ring, area in zip(rings, areas, strict=True) if area <= 0]
    if len(parts) == 1:
        return [[*parts[0], *holes]]
    low, high = (
        np.array([extreme(part[0], axis=0) for part in parts]) for extreme in (np.min, np.max)
    )
    by_size = np.argsort([area for area in areas if area > 0])
    for hole in holes:
        is_around = ((low < hole[0]) & (hole[0] < high)).all(axis=1)
        around = (parts[n] for n in by_size if is_around[n])
        next(part for part in around if _is_inside(hole[0], part[0])).append(hole)
    return parts


def _is_inside(point: NDArray[np.float64], ring: Ring) -> bool:
    return cv2.pointPolygonTest(ring.astype(np.float32), point.tolist(), measureDist=False) > 0


def _signed_area(ring: Ring) -> float:
    x, y = ring[:-1].T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
