import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kaggle_dsb.competition.labels import relabel, stack_masks
from kaggle_dsb.files import InputError
from tests import reference
from tests.cases import draw

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6)


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def test_a_pixel_claimed_twice_stays_with_the_first_mask():
    masks = [draw("110", "000") > 0, draw("011", "001") > 0]
    np.testing.assert_array_equal(stack_masks(masks), draw("112", "..2"))


def test_a_mask_left_empty_leaves_no_gap():
    masks = [draw("110"), draw("010"), draw("000"), draw("001")]
    np.testing.assert_array_equal(stack_masks(masks), draw("112"))


def test_masks_as_kaggle_stores_them_are_accepted():
    labels = stack_masks([np.array([[0, 255]], dtype=np.uint8)])

    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, [[0, 1]])


def test_an_image_without_nuclei_is_all_background():
    np.testing.assert_array_equal(stack_masks([], (2, 3)), np.zeros((2, 3)))


def test_masks_from_a_generator_are_accepted():
    np.testing.assert_array_equal(stack_masks(draw(row) for row in ("10", "01")), draw("12"))


def test_neither_masks_nor_a_shape_is_refused():
    message = "no masks and no shape; pass the shape (H, W) of an image without nuclei"
    with pytest.raises(InputError, match=exactly(message)):
        stack_masks([])


def test_a_mask_of_another_shape_is_refused():
    message = "mask 2 has shape (1, 3); the image has (1, 2)"
    with pytest.raises(InputError, match=exactly(message)):
        stack_masks([draw("10"), draw("100")])


def test_a_colour_mask_is_refused():
    message = "image shape (1, 2, 4); expected a height and a width, (H, W)"
    with pytest.raises(InputError, match=exactly(message)):
        stack_masks([np.zeros((1, 2, 4))])


@given(st.data(), SHAPES)
def test_stacking_gives_each_pixel_to_the_first_that_claims_it(data, shape):
    masks = data.draw(st.lists(hnp.arrays(bool, shape), max_size=4))
    np.testing.assert_array_equal(stack_masks(masks, shape), reference.stack_masks(masks, shape))


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
