import numpy as np
import pytest

from kaggle_dsb.config import AugmentSettings
from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.network.contrast import stretch_contrast
from kaggle_dsb.training.augment import Augmenter, is_stained, paste_nuclei, random_crop

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
    copies = [array.copy() for array in sample]
    augment = Augmenter(SETTINGS.model_copy(update={"copy_paste_probability": 1.0}))
    for seed in range(5):
        augment(*sample, rng(seed))
    assert all((a == b).all() for a, b in zip(copies, sample, strict=True))


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


ONLY_STAIN = AugmentSettings(
    crop_px=64,
    stain_probability=1,
    copy_paste_probability=0,
    channel_shuffle_probability=0,
    grey_probability=0,
    invert_probability=0,
    colour_probability=0,
    blur_or_noise_probability=0,
    elastic_probability=0,
)


def colours(settings, image, seed):
    labels = np.zeros(image.shape[:2], np.int32)
    return Augmenter(settings)(image, labels, rng(seed))[0].reshape(-1, 3).mean(0)


def test_the_stain_of_tissue_is_varied_and_grey_images_stay_grey():
    tissue = np.full((64, 64, 3), (180, 110, 170), np.uint8)
    tissue[::2] = (90, 60, 140)
    grey = np.full((64, 64, 3), 120, np.uint8)
    assert is_stained(tissue)
    assert not is_stained(grey)
    stained = np.array([colours(ONLY_STAIN, tissue, seed) for seed in range(8)])
    assert np.ptp(stained, axis=0).min() > 10
    assert (colours(ONLY_STAIN, grey, 1) == 120).all()
    unchanged = ONLY_STAIN.model_copy(update={"stain_probability": 0.0})
    assert np.abs(colours(unchanged, tissue, 1) - tissue.reshape(-1, 3).mean(0)).max() < 2


def test_some_crops_are_stretched_far_along_one_axis():
    image, labels = np.zeros((400, 400, 3), np.uint8), np.zeros((400, 400), np.int32)
    labels[150:250, 150:250] = 1

    def widest(probability):
        settings = SETTINGS.model_copy(
            update={"crop_px": 320, "wide_aspect_probability": probability}
        )
        ratios = []
        for seed in range(40):
            cut = random_crop(image, labels, settings, rng(seed))[1]
            rows, columns = (np.flatnonzero(cut.any(axis)) for axis in (1, 0))
            inside = min(rows[0], columns[0]) > 0 and max(rows[-1], columns[-1]) < 319
            if inside:
                ratios.append(abs(np.log(np.ptp(rows) / np.ptp(columns))))
        return max(ratios)

    assert widest(0) < 0.15 + 0.05
    assert 0.25 < widest(1) < 0.5 + 0.05


def test_contrast_is_stretched_over_the_whole_range():
    dim = np.linspace(4, 60, 64 * 64).reshape(64, 64).astype(np.uint8)
    stretched = stretch_contrast(np.repeat(dim[..., None], 3, 2))
    assert stretched.min() == 0
    assert stretched.max() == 255


def test_an_image_without_contrast_stays_dim():
    noise = rng().integers(5, 8, (32, 32, 3)).astype(np.uint8)
    assert stretch_contrast(noise).max() < 40
