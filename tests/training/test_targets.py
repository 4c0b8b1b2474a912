from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from kaggle_dsb.training import targets
from kaggle_dsb.training.targets import MAX_BORDER_PX, border_width

make_targets = partial(targets.make_targets, border_share=0.1)


def two_squares(side: int, gap: int) -> np.ndarray:
    labels = np.zeros((side + 10, 2 * side + gap + 10), np.int32)
    labels[5 : 5 + side, 5 : 5 + side] = 1
    labels[5 : 5 + side, 5 + side + gap : 5 + 2 * side + gap] = 2
    return labels


@given(
    arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 4))
)
@settings(deadline=None, max_examples=50)
def test_the_body_is_every_pixel_of_a_nucleus(labels):
    assert (make_targets(labels)[0] == (labels > 0)).all()


def test_a_single_nucleus_has_no_border():
    labels = np.zeros((30, 30), np.int32)
    labels[5:20, 5:20] = 7
    assert not make_targets(labels)[1].any()


def test_an_empty_image_has_nothing():
    assert not make_targets(np.zeros((8, 8), np.int32)).any()


def test_nuclei_that_touch_have_a_border_along_their_contact():
    border = make_targets(two_squares(20, 0))[1]
    assert border[5:25, 24:26].all()
    assert not border[:, :20].any()
    assert not border[:, 30:].any()


def test_nuclei_far_apart_have_no_border():
    assert not make_targets(two_squares(20, 12))[1].any()


def test_the_border_between_large_nuclei_is_wider_than_between_small_ones():
    row_of_small, row_of_large = 5 + 4, 5 + 20
    small = make_targets(two_squares(8, 0))[1][row_of_small].sum()
    large = make_targets(two_squares(40, 0))[1][row_of_large].sum()
    assert 0 < small < large


def test_the_smaller_of_two_nuclei_decides_the_width():
    labels = np.zeros((60, 60), np.int32)
    labels[5:55, 5:40] = 1
    labels[28:33, 40:45] = 2
    alone = make_targets(two_squares(5, 0))[1]
    assert make_targets(labels)[1].sum() <= alone.sum() + 2 * 5


def test_the_width_grows_with_the_area_and_stops_at_its_limit():
    widths = border_width(np.array([1.0, 50.0, 300.0, 800.0, 1e6]), share=0.1)
    assert widths.tolist() == sorted(widths.tolist())
    assert widths[0] == 1
    assert widths[-1] == MAX_BORDER_PX


def test_gaps_between_labels_change_nothing():
    labels = two_squares(12, 0)
    assert (make_targets(labels) == make_targets(labels * 400)).all()


def test_the_depth_peaks_in_the_middle_of_each_nucleus_and_vanishes_outside():
    labels = two_squares(21, 0)
    depth = make_targets(labels)[2]
    assert not depth[labels == 0].any()
    for label, column in ((1, 15), (2, 36)):
        assert depth[labels == label].max() == depth[15, column] == 1
    assert depth[15, 25] == depth[15, 5] < 0.15


def test_a_nucleus_cut_by_the_edge_of_the_image_is_deepest_there():
    labels = np.zeros((20, 20), np.int32)
    labels[5:15, :5] = 1
    assert make_targets(labels)[2][:, 0].max() == 1


def test_an_image_full_of_one_nucleus_is_deep_everywhere():
    assert (make_targets(np.ones((6, 9), np.int32))[2] == 1).all()


@given(
    arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 4))
)
@settings(deadline=None, max_examples=50)
def test_the_depth_is_above_nothing_in_every_nucleus_and_one_somewhere_in_each(labels):
    depth = make_targets(labels)[2]
    assert ((depth > 0) == (labels > 0)).all()
    assert all(depth[labels == label].max() == 1 for label in np.unique(labels[labels > 0]))
