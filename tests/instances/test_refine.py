import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kaggle_dsb.instances.refine import refine_nuclei
from tests.instances.drawn import draw_discs


def test_a_nucleus_is_in_one_piece_without_holes():
    labels = np.zeros((12, 14), np.int32)
    labels[1:8, 1:8] = 7
    labels[3:5, 3:5] = 0  # a hole,
    labels[5, 5] = 4  # a nucleus in a hole,
    labels[10, 1:4] = 7  # and a smaller piece
    labels[9:12, 10:] = 9
    refined = refine_nuclei(labels)
    expected = labels.copy()
    expected[3:5, 3:5] = 7
    expected[10, 1:4] = 0
    assert (refined == expected).all()
    assert not refine_nuclei(np.zeros((3, 4), np.int32)).any()


def test_a_jagged_outline_becomes_smooth_and_a_smooth_one_stays():
    disc = draw_discs((40, 50, 20))
    angle = np.arctan2(*(np.indices(disc.shape) - np.array([40, 50])[:, None, None]))
    distance = np.hypot(*(np.indices(disc.shape) - np.array([40, 50])[:, None, None]))
    jagged = (distance <= 20 + 2 * np.sign(np.sin(30 * angle))).astype(np.int32)
    assert (refine_nuclei(disc) != disc).sum() < 0.03 * disc.sum()
    assert (refine_nuclei(jagged) != disc).sum() < 0.5 * (jagged != disc).sum()
    # An edge of the image cuts a nucleus, and rounds nothing.
    cut = np.pad(disc, 0)[40:]
    assert (refine_nuclei(cut)[0] == cut[0]).all()
    # What is too thin to be blurred stays.
    thin = np.zeros((9, 300), np.int32)
    thin[4] = 1
    assert (refine_nuclei(thin) == thin).all()


@given(st.integers(0, 10**6))
@settings(max_examples=30)
def test_refining_takes_nothing_from_other_nuclei_and_loses_none(seed):
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random((20, 24)) < 0.6, rng.integers(1, 4, (20, 24)), 0).astype(np.int32)
    refined = refine_nuclei(labels)
    assert ((refined == labels) | (refined == 0) | (labels == 0)).all()
    assert np.unique(refined[refined > 0]).tolist() == np.unique(labels[labels > 0]).tolist()
