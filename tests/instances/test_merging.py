from functools import partial

import numpy as np
import pytest

from kaggle_dsb.instances.merging import AGREEMENT_WEIGHT, merge_nuclei
from kaggle_dsb.instances.selection import Nuclei, find_worthwhile

merge = partial(merge_nuclei, min_area_px=1)


def nuclei(*boxes, quality, size=(20, 40)):
    """Draw rectangles (top, left, height, width)."""
    labels = np.zeros(size, np.int32)
    for number, (top, left, height, width) in enumerate(boxes, 1):
        labels[top : top + height, left : left + width] = number
    return Nuclei(labels, np.array(quality, float))


def test_the_nuclei_of_one_scale_stay_as_they_are():
    only = nuclei((0, 0, 4, 4), (9, 9, 4, 4), quality=[0.9, 0.1])
    assert (merge([only]) == only.labels).all()


def test_of_overlapping_nuclei_the_better_one_is_kept():
    better = nuclei((2, 2, 10, 10), quality=[0.8])
    worse = nuclei((2, 4, 10, 10), quality=[0.6])
    for found in ([better, worse], [worse, better]):
        assert (merge(found) == better.labels).all()


def test_what_only_one_scale_finds_is_kept_where_it_is_good_enough():
    first = nuclei((2, 2, 10, 10), quality=[0.8])
    for quality, n_kept in ((0.9, 2), (0.2, 1)):  # the second costs half the mean of both
        second = nuclei((2, 22, 10, 10), quality=[quality])
        assert merge([first, second]).max() == n_kept


def test_agreement_between_scales_outweighs_a_little_quality():
    agreed, alone = (2, 2, 10, 10), (2, 6, 10, 10)
    gain = AGREEMENT_WEIGHT / 2  # of an IoU of 1 with one of two other scales
    for advantage, winner in ((0.3 * gain, agreed), (3 * gain, alone)):
        found = [nuclei(agreed, quality=[0.5])] * 2 + [nuclei(alone, quality=[0.5 + advantage])]
        assert (merge(found) == nuclei(winner, quality=[1]).labels).all()


def test_a_nucleus_gives_up_the_pixels_of_better_ones_unless_they_are_many():
    better = nuclei((2, 2, 10, 10), quality=[0.9])
    for left, n_kept in ((10, 2), (8, 1)):  # two and four of ten columns
        merged = merge([better, nuclei((2, left, 10, 10), quality=[0.8])])
        assert merged.max() == n_kept
        assert (merged[2:12, 2:12] == 1).all()
        if n_kept == 2:
            assert (merged[2:12, 12:20] == 2).all()


def test_no_nucleus_is_left_with_less_than_the_minimum_area():
    found = [nuclei((2, 2, 10, 10), quality=[0.9]), nuclei((2, 10, 10, 10), quality=[0.8])]
    assert merge_nuclei(found, min_area_px=80).max() == 2
    assert merge_nuclei(found, min_area_px=81).max() == 1


def test_the_labels_have_no_gaps():
    first = nuclei((0, 0, 5, 5), (0, 10, 5, 5), (0, 20, 5, 5), quality=[0.9, 0.01, 0.9])
    merged = merge([first, nuclei((10, 30, 5, 5), quality=[0.9])])
    assert np.unique(merged).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("others", [[], [(2, 2, 5, 5)]])
def test_scales_without_nuclei_are_fine(others):
    empty = nuclei(quality=[])
    merged = merge([empty, nuclei(*others, quality=[0.9] * len(others)), empty])
    assert merged.shape == (20, 40)
    assert merged.max() == len(others)


def test_of_equally_doubtful_nuclei_none_is_dropped():
    assert find_worthwhile(np.array([0.1, 0.1, 0.1])).tolist() == [0, 1, 2]
    assert find_worthwhile(np.zeros(3)).tolist() == []
    assert find_worthwhile(np.zeros(0)).tolist() == []
