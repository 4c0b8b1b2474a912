import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from kaggle_dsb.instances.outline import find_membership, percentile_of_counts, relative_grey

ROWS, COLUMNS = np.indices((80, 100))


def disc(radius, column=50):
    return np.hypot(ROWS - 40, COLUMNS - column) <= radius


DISC = disc(15)
BASIN = disc(25).astype(np.int32)


def soft_body(radius):
    """Return the probability of a body whose edge is as uncertain as a network leaves it."""
    return ndimage.gaussian_filter(disc(radius).astype(np.float32), 2)


def picture(nucleus, ground):
    return np.repeat(np.where(DISC, nucleus, ground).astype(np.uint8)[..., None], 3, 2)


@pytest.mark.parametrize(("nucleus", "ground"), [(200, 20), (40, 230), (120, 100)])
@pytest.mark.parametrize("radius", [14, 15, 16])
def test_a_nucleus_ends_where_the_light_does_bright_or_dark(nucleus, ground, radius):
    grey = relative_grey(picture(nucleus, ground))
    membership = find_membership(soft_body(radius), BASIN, grey)
    assert ((membership > 0.5) == DISC).all()


def test_a_blurred_edge_is_cut_halfway():
    light = ndimage.gaussian_filter(DISC.astype(np.float32), 1.5)
    membership = find_membership(soft_body(15), BASIN, 0.2 + 0.6 * light)
    assert np.count_nonzero((membership > 0.5) != DISC) < 10


def test_a_dark_spot_in_a_sure_inside_leaves_no_hole():
    grey = np.where(DISC, 0.9, 0.1).astype(np.float32)
    grey[40, 50] = 0.1
    assert find_membership(soft_body(15), BASIN, grey)[40, 50] > 0.5


def test_without_contrast_the_body_alone_tells():
    body, flat = soft_body(15), np.full(DISC.shape, 0.3, np.float32)
    assert (find_membership(body, BASIN, flat) == body).all()


def test_without_a_sure_inside_the_body_alone_tells():
    body = soft_body(15) * 0.6
    membership = find_membership(body, BASIN, np.where(DISC, 0.9, 0.1).astype(np.float32))
    assert (membership == body).all()


def test_each_nucleus_is_measured_by_its_own_light():
    two = np.where(COLUMNS < 50, 1, 2).astype(np.int32)
    discs = [disc(12, column) for column in (25, 75)]
    grey = (0.1 + 0.8 * discs[0] + 0.15 * discs[1]).astype(np.float32)
    body = ndimage.gaussian_filter((discs[0] | discs[1]).astype(np.float32), 2)
    membership = find_membership(body, two, grey)
    assert ((membership > 0.5) == (discs[0] | discs[1])).all()


def test_without_any_ground_nothing_breaks():
    body = np.full(DISC.shape, 0.9, np.float32)
    grey = np.where(DISC, 0.9, 0.5).astype(np.float32)
    membership = find_membership(body, np.ones_like(BASIN), grey)
    assert np.isfinite(membership).all()


def test_grey_levels_are_relative_to_the_images_own_range():
    grey = relative_grey(picture(60, 20))
    assert grey.dtype == np.float32
    assert (grey[DISC] == 1).all()
    assert (grey[~DISC] == 0).all()
    assert not relative_grey(np.full((5, 5, 3), 7, np.uint8)).any()


@given(st.lists(st.integers(0, 255), min_size=1), st.floats(0, 100))
@settings(deadline=None, max_examples=50)
def test_the_percentile_of_a_histogram_is_that_of_the_values(values, percent):
    found = percentile_of_counts(np.bincount(values), percent)
    assert found == pytest.approx(np.percentile(values, percent), abs=1e-9)
