import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from kaggle_dsb.files import InputError
from kaggle_dsb.report.display import (
    draw_thumbnail,
    encode_webp,
    enlarge,
    find_outlines,
    find_reduction,
    overlay_outcomes,
    pack_labels,
    parse_colour,
    stretch_for_display,
    write_letters,
)
from kaggle_dsb.report.outcomes import COLOURS
from tests.cases import draw
from tests.report.examples import unpack_labels

LABELS = hnp.arrays(
    np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 65535)
)


@given(LABELS)
def test_unpacking_gives_back_what_was_packed(labels):
    assert np.array_equal(unpack_labels(pack_labels(labels), labels.shape), labels)


def naive_outlines(labels):
    outline = np.zeros(labels.shape, dtype=bool)
    for row, column in np.ndindex(*labels.shape):
        for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            at = (row + down, column + right)
            if min(at) >= 0 and at[0] < labels.shape[0] and at[1] < labels.shape[1]:
                outline[row, column] |= (
                    labels[row, column] > 0 and labels[at] != labels[row, column]
                )
    return outline


@given(hnp.arrays(np.int32, (5, 6), elements=st.integers(0, 2)))
def test_an_outline_is_where_a_neighbour_differs(labels):
    assert np.array_equal(find_outlines(labels), naive_outlines(labels))


def test_the_edge_of_the_image_is_no_outline():
    assert not find_outlines(np.ones((4, 4), np.int32)).any()


def test_a_dark_image_is_spread_over_the_range_and_is_itself_unchanged():
    image = np.repeat(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), 3, axis=2)
    copy = image.copy()
    spread = stretch_for_display(image)
    assert (spread.min(), spread.max()) == (0, 255)
    assert np.array_equal(image, copy)
    assert (np.diff(spread[..., 0].ravel().astype(int)) >= 0).all()


def test_a_bright_image_is_left_alone():
    image = np.full((4, 4, 3), 180, np.uint8)
    assert stretch_for_display(image) is image


def test_the_noise_of_a_flat_dark_image_stays_dark():
    image = np.full((8, 8, 3), 5, np.uint8)
    image[0, 0] = 6
    assert stretch_for_display(image).max() < 60


def test_outlines_are_drawn_in_the_colour_of_what_happened():
    labels = draw("......", ".1111.", ".1111.", ".1111.", "......")
    drawn = overlay_outcomes(np.zeros((5, 6, 3), np.uint8), labels, {1: "missed"}, line_px=1)
    assert tuple(drawn[1, 1]) == parse_colour(COLOURS["missed"])
    assert drawn[2, 2].any() == 0
    assert drawn[0].any() == 0


def test_a_picture_is_enlarged_by_whole_pixels():
    labels = draw(".11.", ".11.")
    assert enlarge(labels, 2).tolist()[0] == [0, 0, 1, 1, 1, 1, 0, 0]


def test_an_outline_has_a_dark_rim_that_shows_on_a_bright_image():
    labels = draw("......", "......", "..11..", "..11..", "......", "......")
    drawn = overlay_outcomes(np.full((6, 6, 3), 200, np.uint8), labels, {1: "invented"})
    assert tuple(drawn[2, 2]) == parse_colour(COLOURS["invented"])
    assert tuple(drawn[1, 2]) == (70, 70, 70)
    assert tuple(drawn[0, 0]) == (200, 200, 200)


def test_nuclei_whose_outcome_is_not_given_get_no_outline():
    labels = draw("11.22", "11.22")
    image = np.full((2, 5, 3), 200, np.uint8)
    drawn = overlay_outcomes(image, labels, {1: "hit"}, line_px=1)
    assert (drawn[:, 3:] == 200).all()
    assert np.array_equal(overlay_outcomes(image, labels, {}), image)


def test_a_letter_stands_on_a_large_nucleus_that_is_no_hit():
    labels = np.zeros((60, 120), np.int32)
    labels[5:55, 5:55], labels[5:55, 65:115] = 1, 2
    black = np.zeros((60, 120, 3), np.uint8)
    written = write_letters(black, labels, {1: "hit", 2: "missed"})
    assert not written[:, :60].any()
    assert (written[:, 60:] == parse_colour(COLOURS["missed"])).all(axis=2).any()
    assert not write_letters(black, labels, {2: "missed"}, size_px=51).any()
    rows, columns = np.nonzero(written.any(axis=2))
    assert abs(rows.mean() - 29.5) < 2
    assert abs(columns.mean() - 89.5) < 2


def test_a_thumbnail_keeps_the_shape_and_shows_the_outlines():
    labels = np.zeros((100, 200), np.int32)
    labels[30:70, 50:100] = 1
    image = np.full((100, 200, 3), 200, np.uint8)
    thumb = draw_thumbnail(image, [(labels, {1: "invented"})], side_px=80)
    assert thumb.shape == (40, 80, 3)
    blue = thumb[..., 2].astype(int)
    assert blue[20, 30] == 200  # inside
    assert blue[12:28, 20:22].min() < 100  # the yellow outline


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 3)])
def test_a_webp_holds_the_image(shape):
    pixels = np.full(shape, 130, np.uint8)
    decoded = np.array(Image.open(io.BytesIO(base64.b64decode(encode_webp(pixels, quality=80)))))
    assert decoded.shape == (6, 7, 3)
    assert np.abs(decoded.astype(int) - 130).max() < 4


@pytest.mark.parametrize("shape", [(20, 16384), (16384, 20, 3), (40000, 1)])
def test_an_image_beyond_the_limit_of_webp_is_reduced_by_a_whole_number(shape):
    encoded = encode_webp(np.zeros(shape, np.uint8), quality=80)
    decoded = Image.open(io.BytesIO(base64.b64decode(encoded)))
    reduction = find_reduction(shape)
    assert reduction == (3 if 40000 in shape else 2)
    assert decoded.size == tuple(max(1, side // reduction) for side in shape[1::-1])


def test_more_nuclei_than_a_page_can_number_are_refused():
    with pytest.raises(InputError, match="an image has 65536 nuclei; a page can show at most"):
        pack_labels(np.arange(65537, dtype=np.int32)[np.newaxis])
