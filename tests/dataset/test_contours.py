"""Outlines of labels and filled polygons, compared with those of scikit-image."""

import time

import numpy as np
import pytest
from skimage.draw import polygon
from skimage.measure import find_contours

from kaggle_dsb.dataset.contours import Ring, fill_polygon, trace_nuclei
from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.files import InputError


def rotate_to_least(ring: Ring) -> list[list[float]]:
    """Return the points of a closed ring from the least, in its direction."""
    points = ring[:-1].tolist()
    first = points.index(min(points))
    return points[first:] + points[:first]


def trace_with_skimage(labels: np.ndarray, label: int) -> list[list[list[float]]]:
    rings = find_contours(np.pad(labels == label, 1).astype(float), 0.5)
    return sorted(rotate_to_least(ring[:, ::-1] - 0.5) for ring in rings)


@pytest.mark.parametrize("look", [1, 2])
def test_tracing_and_filling_returns_the_very_pixels(look: int) -> None:
    _, labels = make_image(0, look=look)
    filled = np.zeros_like(labels)
    for label, polygons in trace_nuclei(labels):
        rings = [ring for polygon in polygons for ring in polygon]
        filled.ravel()[fill_polygon(rings, labels.shape)] = label
    np.testing.assert_array_equal(filled, labels)


def test_what_lies_outside_the_image_is_cut_off() -> None:
    ring = [(-3, -3), (1, -3), (1, 1), (-3, 1)]
    assert fill_polygon([ring], (2, 2)).tolist() == [0]
    assert fill_polygon([[(5, 5), (9, 5), (9, 9)]], (2, 2)).size == 0
    assert fill_polygon([], (2, 2)).size == 0


@pytest.mark.parametrize("seed", range(20))
def test_outlines_are_those_of_scikit_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 2 + seed % 3, rng.integers(1, 12, 2)).astype(np.int32)
    labels = small.repeat(1 + seed % 2, axis=0)
    traced = {
        label: sorted(rotate_to_least(ring) for rings in polygons for ring in rings)
        for label, polygons in trace_nuclei(labels)
    }
    present = np.unique(labels[labels > 0]).tolist()
    assert traced == {label: trace_with_skimage(labels, label) for label in present}


def test_a_hole_belongs_to_the_smallest_part_around_it() -> None:
    labels = np.zeros((9, 9), np.int32)
    labels[:, :] = 1
    labels[1:8, 1:8] = 0
    labels[3:6, 3:6] = 1
    labels[4, 4] = 0
    ((_, (outer, inner)),) = trace_nuclei(labels)
    assert [np.ptp(ring, axis=0).tolist() for ring in outer] == [[9, 9], [7, 7]]
    assert [np.ptp(ring, axis=0).tolist() for ring in inner] == [[3, 3], [1, 1]]


@pytest.mark.parametrize("decimals", [0, 1, 2, 9])
def test_a_polygon_is_filled_as_by_scikit_image(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    for _ in range(200):
        height, width = rng.integers(1, 14, 2).tolist()
        points = rng.uniform(-4, 16, (rng.integers(1, 9), 2)).round(decimals)
        expected = np.zeros((height, width), bool)
        expected[polygon(points[:, 1], points[:, 0], expected.shape)] = True
        filled = fill_polygon([points + 0.5], expected.shape)
        assert filled.tolist() == np.flatnonzero(expected).tolist()


def test_a_hole_is_left_empty_whatever_the_direction_of_its_ring() -> None:
    exterior, hole = [(0, 0), (3, 0), (3, 3), (0, 3)], [(1, 1), (2, 1), (2, 2), (1, 2)]
    for ring in (hole, hole[::-1], [*hole, hole[0]]):
        assert fill_polygon([exterior, ring], (3, 3)).tolist() == [0, 1, 2, 3, 5, 6, 7, 8]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e10])
def test_a_coordinate_beyond_any_image_is_refused(value: float) -> None:
    with pytest.raises(InputError) as caught:
        fill_polygon([[(0, 0), (value, 0), (1, 1)]], (2, 2))
    assert str(caught.value) == "has coordinates that are not numbers below 1e+09"


def test_an_empty_ring_covers_nothing() -> None:
    assert fill_polygon([[]], (2, 2)).size == 0


def test_many_holes_and_parts_are_nested_in_reasonable_time() -> None:
    labels = (np.random.default_rng(0).random((200, 200)) < 0.55).astype(np.int32)
    started = time.monotonic()
    ((_, polygons),) = trace_nuclei(labels)
    assert time.monotonic() - started < 3  # 4.3 s where every hole was tried in every part
    filled = np.zeros(labels.size, np.int32)
    for part in polygons:
        filled[fill_polygon(part, labels.shape)] += 1
    np.testing.assert_array_equal(filled.reshape(labels.shape), labels)
