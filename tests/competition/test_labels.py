import re
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from kaggle_dsb.aliases import Labels
from kaggle_dsb.competition.labels import number_pixels, relabel
from kaggle_dsb.files import InputError
from tests import reference
from tests.cases import draw

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6)


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def number_masks(masks: Iterable[NDArray], shape: tuple[int, int]) -> Labels:
    return number_pixels(map(np.flatnonzero, masks), shape)


def test_a_pixel_claimed_twice_stays_with_the_first_nucleus():
    masks = [draw("110", "000"), draw("011", "001")]
    np.testing.assert_array_equal(number_masks(masks, (2, 3)), draw("112", "..2"))


def test_a_nucleus_left_empty_leaves_no_gap():
    masks = [draw("110"), draw("010"), draw("000"), draw("001")]
    np.testing.assert_array_equal(number_masks(masks, (1, 3)), draw("112"))


def test_an_image_without_nuclei_is_all_background():
    labels = number_masks([], (2, 3))

    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, np.zeros((2, 3)))


@given(st.data(), SHAPES)
def test_each_pixel_goes_to_the_first_nucleus_that_claims_it(data, shape):
    masks = data.draw(st.lists(hnp.arrays(bool, shape), max_size=4))
    np.testing.assert_array_equal(number_masks(masks, shape), reference.stack_masks(masks, shape))


def test_relabelling_closes_gaps_and_keeps_the_order():
    labels = np.array([[9, 0, 2], [9, 70000, 2]])
    relabelled = relabel(labels)

    assert relabelled.dtype == np.int32
    np.testing.assert_array_equal(relabelled, draw("2.1", "231"))
    np.testing.assert_array_equal(labels, [[9, 0, 2], [9, 70000, 2]])


def test_relabelling_an_image_without_background_starts_at_1():
    np.testing.assert_array_equal(relabel(draw("35", "35")), draw("12", "12"))


@pytest.mark.parametrize("shape", [(2, 3), (0, 3)])
def test_relabelling_background_leaves_background(shape):
    np.testing.assert_array_equal(relabel(np.zeros(shape, dtype=int)), np.zeros(shape))


@given(hnp.arrays(np.int32, SHAPES, elements=st.integers(0, 9)))
def test_relabelling_twice_changes_nothing_more(labels):
    once = relabel(labels)

    np.testing.assert_array_equal(relabel(once), once)
    np.testing.assert_array_equal(once > 0, labels > 0)
    assert set(np.unique(once)) - {0} == set(range(1, once.max() + 1))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[0, -1]], "labels contain -1; a label is 0 (background) or a positive integer"),
        (
            [[0.0, 1.0]],
            "labels of shape (1, 2) and type float64; expected integers of shape (H, W)",
        ),
        (
            [[False, True]],
            "labels of shape (1, 2) and type bool; expected integers of shape (H, W)",
        ),
        (
            [0, 1],
            "labels of shape (2,) and type int64; expected integers of shape (H, W)",
        ),
    ],
)
def test_what_is_no_label_image_is_refused(labels, message):
    with pytest.raises(InputError, match=exactly(message)):
        relabel(labels)
