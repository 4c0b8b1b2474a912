import numpy as np
import pytest

from kaggle_dsb.config import AugmentSettings
from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.network.augment import Augmenter, paste_nuclei, random_crop
from kaggle_dsb.network.contrast import stretch_contrast

SETTINGS = AugmentSettings(crop_px=64)


@pytest.fixture(scope="module")
def sample():
    return make_image(3, look=0)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_crop_has_the_size_and_types_that_were_asked_for(sample):
    image, labels = Augmenter(SETTINGS)(*sample, rng())
    assert (image.shape, image.dtype) == ((64, 64, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((64, 64), np.int32)


def test_the_same_chance_gives_the_same_crop_whatever_came_before(sample):
    augment = Augmenter(SETTINGS)
    first = augment(*sample, rng(5))
    augment(*sample, rng(6))
    again = augment(*sample, rng(5))
    fresh = Augmenter(SETTINGS)(*sample, rng(5))
    for image, labels in (again, fresh):
        assert (image == first[0]).all()
        assert (labels == first[1]).all()


def test_other_chance_gives_another_crop(sample):
    augment = Augmenter(SETTINGS)
    assert (augment(*sample, rng(5))[0] != augment(*sample, rng(6))[0]).any()


def test_the_input_is_not_modified(sample):
    before = [array.copy() for array in sample]
    augment = Augmenter(SETTINGS.model_copy(update={"copy_paste_probability": 1.0}))
    for seed in range(5):
        augment(*sample, rng(seed))
    assert all((a == b).all() for a, b in zip(before, sample, strict=True))


def test_an_image_smaller_than_the_crop_is_mirrored():
    image = np.full((9, 11, 3), 80, np.uint8)
    labels = np.ones((9, 11), np.int32)
    cut, cut_labels = random_crop(image, labels, SETTINGS, rng())
    assert (cut == 80).all()
    assert (cut_labels == 1).all()


def test_image_and_labels_are_scaled_without_a_shift_between_them():
    grey = np.zeros((64, 64), np.uint8)
    grey[20:40, 24:44] = 255
    image, labels = np.repeat(grey[..., None], 3, 2), (grey > 0).astype(np.int32)
    for seed in range(20):
        cut, cut_labels = random_crop(image, labels, SETTINGS, rng(seed))
        of_image = np.argwhere(cut[..., 0] > 127).mean(axis=0)
        of_labels = np.argwhere(cut_labels).mean(axis=0)
        assert np.abs(of_image - of_labels).max() < 0.3


def test_pasted_nuclei_are_new_labels_on_free_ground(sample):
    image, labels = sample
    pasted_image, pasted = paste_nuclei(image, labels, rng(1))
    assert pasted.max() > labels.max()
    assert (pasted[labels > 0] == labels[labels > 0]).all()
    assert (pasted_image[labels > 0] == image[labels > 0]).all()


def test_an_empty_crop_has_nothing_to_paste():
    image, labels = np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.int32)
    assert not paste_nuclei(image, labels, rng())[1].any()


def test_contrast_is_stretched_over_the_whole_range():
    dim = np.linspace(4, 60, 64 * 64).reshape(64, 64).astype(np.uint8)
    stretched = stretch_contrast(np.repeat(dim[..., None], 3, 2))
    assert stretched.min() == 0
    assert stretched.max() == 255


def test_an_image_without_contrast_stays_dim():
    noise = rng().integers(5, 8, (32, 32, 3)).astype(np.uint8)
    assert stretch_contrast(noise).max() < 40
