import cv2
import numpy as np
import pytest

from kaggle_dsb.instances.colours import find_colours
from kaggle_dsb.instances.outline_rule import is_glowing
from kaggle_dsb.instances.patches import (
    COARSE_PX,
    EXTRA_PX,
    PATCH_CHANNELS,
    PATCH_PX,
    SIDE_FACTOR,
    cut_patches,
)
from tests.instances.drawn import BLACK, TOUCHING, find_candidates, noise, region, soften


def cut(probability, image=BLACK, *, outline_threshold=0.3):
    tree = find_candidates(probability, min_seed_px=5, outline_threshold=outline_threshold)
    everything = np.arange(tree.n_candidates)
    glows = is_glowing(probability[0], image)
    patches = cut_patches(
        tree, probability.astype(np.float32), find_colours(image), everything, is_glowing=glows
    )
    assert patches.shape == (tree.n_candidates, PATCH_PX, PATCH_PX, len(PATCH_CHANNELS))
    assert patches.dtype == np.uint8
    return tree, {name: patches[..., n] for n, name in enumerate(PATCH_CHANNELS)}


def window_of(mask, side):
    """Cut the square of a side around a mask's bounding box; beyond the image, it is 0."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    padded = np.pad(mask, side)
    top, left = (side + (places[0] + places[-1] + 1 - side) // 2 for places in (rows, columns))
    return padded[top : top + side, left : left + side]


def test_the_mask_is_the_candidate_in_a_square_around_it():
    """At the borders of the image too, and for unions."""
    tree, patches = cut(noise(3, BLACK.shape[:2]))
    assert tree.n_candidates > tree.n_basins > 3
    for candidate in range(tree.n_candidates):
        mask = region(tree, candidate).astype(np.uint8)
        height, width = (np.ptp(np.flatnonzero(mask.any(axis=axis))) + 1 for axis in (1, 0))
        side = int(SIDE_FACTOR * max(height, width)) + EXTRA_PX
        window = window_of(mask * np.uint8(255), side)
        by = cv2.INTER_AREA if side > PATCH_PX else cv2.INTER_LINEAR
        expected = cv2.resize(window, (PATCH_PX, PATCH_PX), interpolation=by)
        np.testing.assert_array_equal(patches["mask"][candidate], expected)


def test_a_candidate_without_pixels_has_an_empty_patch():
    probability = soften(TOUCHING)
    probability[0] *= 0.5
    tree, patches = cut(probability, outline_threshold=0.9)
    assert tree.n_candidates >= 3
    assert not any(channel.any() for channel in patches.values())


def test_large_and_small_nuclei_appear_equally_large():
    tree, patches = cut(soften(TOUCHING))
    shares = [(patches["mask"][tree.basins[at] - 1] > 127).mean() for at in ((30, 25), (60, 80))]
    assert shares[0] == pytest.approx(shares[1], rel=0.25)
    assert 0.15 < min(shares) < max(shares) < 0.4


def test_each_channel_shows_its_own_plane():
    probability = soften(TOUCHING)
    tree, patches = cut(probability)
    of_disc = tree.basins[60, 80] - 1
    middle = np.s_[of_disc, PATCH_PX // 2, PATCH_PX // 2]
    for name, plane in zip(("body", "border", "depth"), probability, strict=True):
        assert patches[name][middle] == pytest.approx(255 * plane[60, 80], abs=12)
    assert patches["membership"][middle] == pytest.approx(
        255 * (0.6 * tree.membership[60, 80] + 0.2), abs=12
    )


def test_dark_nuclei_look_like_bright_ones():
    image = np.repeat((TOUCHING > 0)[..., None] * np.uint8(150) + np.uint8(50), 3, 2)
    _, bright = cut(soften(TOUCHING), image)
    _, dark = cut(soften(TOUCHING), 255 - image)
    difference = bright["grey"].astype(int) - dark["grey"]
    assert np.abs(difference).max() <= 1
    assert np.ptp(bright["grey"].astype(int)) > 150


def test_the_colours_of_a_patch_are_those_of_the_image():
    image = np.zeros((*TOUCHING.shape, 3), np.uint8)
    image[TOUCHING > 0] = (200, 40, 40)
    _, red = cut(soften(TOUCHING), image)
    _, blue = cut(soften(TOUCHING), np.ascontiguousarray(image[..., ::-1]))
    middle = np.s_[:3, PATCH_PX // 2, PATCH_PX // 2]
    assert (red["redness"][middle] > 160).all()
    assert (blue["redness"][middle] < 100).all()
    assert (red["greenness"][middle] < 120).all()


def test_the_patches_of_some_candidates_are_those_of_all():
    probability = noise(3, BLACK.shape[:2]).astype(np.float32)
    tree = find_candidates(probability, min_seed_px=5)
    every, some, none = (
        cut_patches(tree, probability, find_colours(BLACK), candidates, is_glowing=True)
        for candidates in (np.arange(tree.n_candidates), np.array([4, 1, 3]), np.zeros(0, int))
    )
    assert (some == every[[4, 1, 3]]).all()
    assert none.shape == (0, *some.shape[1:])


def test_the_patch_of_a_huge_union_shows_it_at_once():
    """Its pixels are thinned out before; a whole image of 2,000 rows would take seconds else."""
    shape = (2000, 1500)
    body = np.zeros(shape, np.float32)
    body[100:1900, 700:1300] = 0.9
    probability = np.stack([body, 0 * body, body])
    tree = find_candidates(probability, min_seed_px=5)
    image = np.zeros((*shape, 3), np.uint8)
    patch = cut_patches(tree, probability, find_colours(image), np.array([0]), is_glowing=True)[0]
    assert int(SIDE_FACTOR * 1800) // COARSE_PX > 5
    mask = patch[..., PATCH_CHANNELS.index("mask")] > 127
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    side = int(SIDE_FACTOR * 1800) + EXTRA_PX
    assert rows.size == pytest.approx(PATCH_PX * 1800 / side, abs=1.5)
    assert columns.size == pytest.approx(PATCH_PX * 600 / side, abs=1.5)
    assert rows.mean() == pytest.approx((PATCH_PX - 1) / 2, abs=1)
    assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
