import numpy as np
import pytest

from kaggle_dsb.dataset.neighbours import find_neighbours


def test_crops_of_one_slide_are_found_to_continue_one_another(slides):
    pairs = {(p.first, p.second, p.direction) for p in find_neighbours(slides)}
    for name in "abc":
        assert (f"{name}00", f"{name}01", "right") in pairs or (
            f"{name}00",
            f"{name}10",
            "below",
        ) in pairs
    assert all(first[0] == second[0] for first, second, _ in pairs)


def test_a_flat_edge_joins_nothing():
    flat = {name: np.full((32, 32, 3), 9, np.uint8) for name in "ab"}
    assert find_neighbours(flat) == []


@pytest.mark.parametrize("shape", [(9, 1, 3), (1, 9, 3), (1, 1, 3)])
def test_images_of_one_row_or_column_have_no_neighbours(shape):
    images = {name: np.arange(np.prod(shape), dtype=np.uint8).reshape(shape) for name in "ab"}
    assert find_neighbours(images) == []
