import cv2
import numpy as np
import pytest

from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.dataset.disturb import darken, shift_stain
from kaggle_dsb.dataset.types import IMAGE_TYPES, image_type

FLUORESCENCE, CROWDED, TISSUE, PINK_TISSUE, BRIGHTFIELD = 0, 1, 2, 4, 5


def flat(colour):
    return np.full((16, 16, 3), colour, np.uint8)


def draw(look):
    return make_image(look, look=look)[0]


def tint(image, colour):
    """Show a grey image in one colour."""
    return np.rint(image[..., :1] * np.array(colour)).astype(np.uint8)


def stain_two(image):
    """Nuclei in blue, and a blurred copy of them in green for the cells around."""
    cells = cv2.GaussianBlur(image[..., 0], (0, 0), 6)
    return np.dstack([np.zeros_like(cells), cells, image[..., 0]])


def add_light(image):
    return (100 + image * 0.5).astype(np.uint8)


def lower_gamma(image):
    return np.rint(255 * (image / 255) ** 3).astype(np.uint8)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((5, 5, 5), "fluorescence"),
        ((10, 10, 90), "fluorescence"),
        ((230, 180, 220), "tissue"),
        ((90, 40, 80), "tissue"),
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
    types = {image_type(draw(look)) for look in range(8)}
    assert types == set(IMAGE_TYPES)


@pytest.mark.parametrize("look", [FLUORESCENCE, CROWDED])
@pytest.mark.parametrize(
    "change",
    [
        add_light,
        darken,
        stain_two,
        lambda image: tint(image, (0, 0, 1)),
        lambda image: tint(image, (0, 1, 0)),
        lambda image: tint(image, (1, 0, 1)),
        lambda image: tint(image, (0.3, 0.5, 1)),
        lambda image: cv2.imdecode(cv2.imencode(".jpg", image)[1], cv2.IMREAD_COLOR),
    ],
    ids=["pale", "darkened", "two dyes", "blue", "green", "magenta", "tinted", "jpeg"],
)
def test_fluorescence_is_told_in_any_colour_and_light(look, change):
    assert image_type(change(draw(look))) == "fluorescence"


@pytest.mark.parametrize("look", [TISSUE, PINK_TISSUE])
@pytest.mark.parametrize(
    "change",
    [darken, shift_stain, lower_gamma, lambda image: image[..., ::-1]],
    ids=["darkened", "other stain", "low gamma", "blue for red"],
)
def test_stained_tissue_is_told_in_any_light_and_stain(look, change):
    changed = np.ascontiguousarray(change(draw(look)))
    assert np.median(changed.mean(axis=2)) < 200
    assert image_type(changed) == "tissue"


def test_dark_tissue_without_bright_ground_is_tissue():
    image = np.rint(draw(TISSUE) * np.array([0.45, 0.3, 0.4])).astype(np.uint8)
    assert np.median(image.mean(axis=2)) < 100
    assert image_type(image) == "tissue"


@pytest.mark.parametrize("change", [darken, lambda image: image // 2], ids=["a third", "half"])
def test_dim_brightfield_is_told_by_its_ground_being_its_brightest(change):
    assert image_type(change(draw(BRIGHTFIELD))) == "brightfield"
