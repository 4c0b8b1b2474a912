import numpy as np
import pytest

from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.dataset.types import IMAGE_TYPES, image_type


def flat(colour):
    return np.full((16, 16, 3), colour, np.uint8)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((5, 5, 5), "fluorescence"),
        ((10, 10, 90), "fluorescence"),
        ((230, 180, 220), "tissue"),
        ((200, 200, 200), "brightfield"),
        ((205, 201, 203), "brightfield"),
    ],
)
def test_ground_and_colour_tell_the_type(colour, expected):
    assert image_type(flat(colour)) == expected


def test_bright_nuclei_on_a_dark_ground_are_fluorescence():
    image = flat(8)
    image[:7] = 250
    assert image_type(image) == "fluorescence"


def test_the_demo_set_shows_every_type():
    types = {image_type(make_image(look, look=look)[0]) for look in range(8)}
    assert types == set(IMAGE_TYPES)
