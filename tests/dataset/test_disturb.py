import numpy as np
import pytest

from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.dataset.disturb import DISTURBANCES, rescale

IMAGE, LABELS = make_image(0, look=0)
STAINED, NUCLEI_OF_STAINED = make_image(0, look=4)


@pytest.mark.parametrize("name", list(DISTURBANCES))
def test_a_disturbance_gives_an_image_and_labels_of_one_size_and_leaves_its_input(name):
    copies = STAINED.copy(), NUCLEI_OF_STAINED.copy()
    image, labels = DISTURBANCES[name](STAINED, NUCLEI_OF_STAINED)
    assert image.dtype == np.uint8
    assert image.shape == (*labels.shape, 3)
    assert (copies[0] == STAINED).all()
    assert (copies[1] == NUCLEI_OF_STAINED).all()
    assert (image.shape != STAINED.shape or (image != STAINED).any()) == (name != "as it is")


@pytest.mark.parametrize("factor", [0.5, 0.7, 1.4, 2.0])
def test_scaled_labels_lie_where_the_scaled_nuclei_do(factor):
    image, labels = rescale(IMAGE, LABELS, factor)
    assert image.shape[0] == round(IMAGE.shape[0] * factor)
    area = np.count_nonzero(labels) / np.count_nonzero(LABELS)
    assert area == pytest.approx(factor**2, rel=0.03)
    inside, outside = (image[mask].mean() for mask in (labels > 0, labels == 0))
    assert inside > outside + 20


def test_scaling_up_and_down_again_loses_little():
    image, labels = rescale(*rescale(IMAGE, LABELS, 2.0), 0.5)
    assert score_image(LABELS, labels).score > 0.95
    assert np.abs(image.astype(int) - IMAGE).mean() < 3


def test_the_noise_is_the_same_at_every_call():
    once, again = (DISTURBANCES["noisy"](IMAGE, LABELS)[0] for _ in range(2))
    assert (once == again).all()


def test_a_grey_image_has_no_stain_to_shift():
    grey = np.repeat(IMAGE.mean(axis=2, keepdims=True).astype(np.uint8), 3, 2)
    assert (DISTURBANCES["stain-shifted"](grey, LABELS)[0] == grey).all()
