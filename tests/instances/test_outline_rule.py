import numpy as np
import pytest

from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.outline_rule import (
    NUMBERS,
    KnownOutlines,
    OutlineRule,
    describe_appearance,
    is_glowing,
    read_known,
    write_known,
)
from tests.instances.drawn import TOUCHING, soften

GLOWING, STAINED = 0, 3  # looks of the demo's images
BODY = soften(TOUCHING)[0]
GLOW = np.repeat((BODY * 200).astype(np.uint8)[..., None], 3, axis=2)


def draw(seed, look=GLOWING):
    return make_image(seed, look=look)[0]


@pytest.fixture(scope="module")
def known():
    """Four views of an image of each of two laboratories; one has a dim and noisy camera."""
    clear = draw(0)
    noise = np.random.default_rng(0).normal(20, 6, clear.shape)
    dim = np.clip(clear / 6 + noise, 0, 255).astype(np.uint8)
    appearances = [
        describe_appearance(np.rot90(image, n)) for n in range(4) for image in (clear, dim)
    ]
    return KnownOutlines(
        np.array(appearances), np.tile(np.float32([0.5, 0.2]), 4), np.arange(8) // 2
    )


def test_a_look_is_a_number_for_each_name():
    appearance = describe_appearance(draw(0))
    assert appearance.shape == (len(NUMBERS),)
    assert np.isfinite(appearance).all()


def test_a_look_is_the_same_from_every_side(known):
    np.testing.assert_allclose(known.appearances[2::2], known.appearances[[0, 0, 0]], atol=1e-3)


@pytest.mark.parametrize("grey", [0, 90, 255])
def test_an_image_of_one_colour_has_a_look(grey):
    assert np.isfinite(describe_appearance(np.full((1, 40, 3), grey, np.uint8))).all()


def test_a_large_image_looks_like_its_middle():
    middle = draw(1)
    padding = [((1600 - side) // 2, (1601 - side) // 2) for side in middle.shape[:2]]
    large = np.pad(middle, [*padding, (0, 0)], mode="symmetric")
    part = large[288:1312, 288:1312]
    np.testing.assert_array_equal(describe_appearance(large), describe_appearance(part))


def test_an_image_that_looks_like_known_ones_ends_its_nuclei_as_they_do(known):
    assert known.threshold(draw(0)[:, ::-1], otherwise=0.3) == pytest.approx(0.5)


def test_an_image_that_looks_like_none_ends_its_nuclei_like_any_other(known):
    assert known.threshold(255 - draw(0), otherwise=0.3) == 0.3


def test_an_image_that_looks_somewhat_like_known_ones_is_treated_as_both(known):
    brighter = np.clip(draw(0) * 1.25, 0, 255).astype(np.uint8)
    assert 0.31 < known.threshold(brighter, otherwise=0.3) < 0.49


def test_without_known_images_nothing_looks_like_them(known):
    nothing = KnownOutlines(known.appearances[:0], known.thresholds[:0], known.folds[:0])
    assert nothing.threshold(draw(0), otherwise=0.3) == 0.3


def test_what_a_network_has_not_seen_does_not_count(known):
    left = known.without(3)
    assert left.folds.tolist() == [0, 0, 1, 1, 2, 2]
    assert known.without(None).folds.tolist() == known.folds.tolist()


def test_only_bright_nuclei_are_outlined_as_in_similar_images(known):
    rule = OutlineRule(dark=0.4, glowing=0.25, known=known)
    assert rule.threshold(GLOW, is_glowing=False) == 0.4
    assert rule.threshold(GLOW, is_glowing=True) == known.threshold(GLOW, otherwise=0.25)
    assert OutlineRule(dark=0.4, glowing=0.25).threshold(GLOW, is_glowing=True) == 0.25


def test_nuclei_glow_where_they_are_brighter_than_the_ground():
    assert is_glowing(BODY, GLOW)
    assert not is_glowing(BODY, 255 - GLOW)
    assert not is_glowing(np.zeros_like(BODY), GLOW)  # none are there


def test_known_outlines_are_read_as_they_were_written(known, tmp_path):
    path = tmp_path / "outlines.csv"
    write_known(path, known)
    read = read_known(path)
    np.testing.assert_allclose(read.appearances, known.appearances, rtol=1e-3)
    np.testing.assert_array_equal(read.thresholds, known.thresholds)
    np.testing.assert_array_equal(read.folds, known.folds)
    write_known(tmp_path / "again.csv", read)
    assert (tmp_path / "again.csv").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "change", ["fold,", "nan", "1e300", "columns", "text", "bytes", "threshold"]
)
def test_a_damaged_table_is_refused_by_name(known, tmp_path, change):
    path = tmp_path / "outlines.csv"
    write_known(path, known)
    lines = path.read_text().splitlines()
    first = lines[1].split(",")
    changed = {
        "fold,": [lines[0], ",".join(["", *first[1:]])],
        "nan": [lines[0], ",".join([first[0], "nan", *first[2:]])],
        "1e300": [lines[0], ",".join([*first[:-1], "1e300"])],
        "columns": [lines[0].replace("noise", "silence"), *lines[1:]],
        "text": [lines[0], ",".join([first[0], "x", *first[2:]])],
        "threshold": [lines[0], ",".join([first[0], "5", *first[2:]])],
        "bytes": ["\0\0\0"],
    }[change]
    path.write_text("\n".join(changed) + "\n")
    with pytest.raises(InputError) as caught:
        read_known(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_table_without_images_is_read(known, tmp_path):
    path = tmp_path / "outlines.csv"
    write_known(path, KnownOutlines(known.appearances[:0], known.thresholds[:0], known.folds[:0]))
    assert read_known(path).appearances.shape == (0, 14)
