import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kaggle_dsb.competition import rle
from kaggle_dsb.files import InputError
from tests import reference
from tests.cases import draw

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)
MASKS = hnp.arrays(bool, SHAPES)
LABELS = hnp.arrays(np.int32, SHAPES, elements=st.sampled_from([0, 0, 1, 2, 5, 300]))

# Drawn by hand: the pixels of 3 x 4 are numbered 1, 2, 3 down the first column, and so on.
CORNERED = draw(
    "1..1",
    "1.11",
    "...1",
)


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


def encode(mask):
    """Return the runs of one nucleus."""
    (runs,) = rle.labels_to_runs(np.asarray(mask).astype(np.int32)) or [np.empty((0, 2), np.int64)]
    return runs


def test_a_known_nucleus_has_the_known_runs():
    assert rle.encode_labels((CORNERED > 0).astype(np.int32)) == ["1 2 8 1 10 3"]


def test_the_known_runs_draw_the_known_nucleus():
    labels = rle.decode_labels([rle.parse_runs("1 2 8 1 10 3")], (3, 4))

    np.testing.assert_array_equal(labels, CORNERED > 0)


def test_a_run_goes_on_from_the_foot_of_a_column_to_the_head_of_the_next():
    assert rle.encode_labels(draw("01", "11")) == ["2 3"]


@pytest.mark.parametrize("shape", [(2, 3), (0, 5)])
def test_an_image_without_nuclei_has_no_runs(shape):
    assert rle.labels_to_runs(np.zeros(shape, np.int32)) == []
    assert rle.parse_runs("").shape == (0, 2)
    assert rle.format_runs(rle.parse_runs("")) == ""
    np.testing.assert_array_equal(rle.decode_labels([], shape), np.zeros(shape))


@given(MASKS)
def test_parsing_undoes_formatting(mask):
    runs = encode(mask)
    np.testing.assert_array_equal(rle.parse_runs(rle.format_runs(runs)), runs)


@given(MASKS)
def test_runs_are_those_of_a_walk_down_the_columns(mask):
    copy = mask.copy()
    assert [tuple(run) for run in encode(mask).tolist()] == reference.encode(mask)
    np.testing.assert_array_equal(mask, copy)


@given(LABELS)
def test_the_runs_of_labels_are_those_of_each_nucleus_by_itself(labels):
    assert rle.encode_labels(labels) == reference.encode_labels(labels)


@given(LABELS)
def test_decoding_labels_undoes_encoding_but_for_gaps(labels):
    runs = [rle.parse_runs(text) for text in rle.encode_labels(labels)]
    decoded = rle.decode_labels(runs, labels.shape)

    expected = np.unique(np.append(labels, 0), return_inverse=True)[1][:-1].reshape(labels.shape)
    assert decoded.dtype == np.int32
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[1, 2, 7, 3]",
            "'[1, 2, 7, 3]' is a printed Python list; write numbers separated by spaces: 1 2 7 3",
        ),
        (
            "[(1, 2), (7, 3)]",
            "'[(1, 2), (7, 3)]' is a printed Python list; write numbers separated by spaces: 1 2 "
            "7 3",
        ),
        (
            "[1 2 7 3]",
            "'[1 2 7 3]' is a printed Python list; write numbers separated by spaces: 1 2 7 3",
        ),
        (
            "1 2 7",
            "'1 2 7' has 3 entries, an odd number; every start needs its length: 1 2 7 3",
        ),
        (
            "1 2 7.0 3",
            "'7.0' is not an integer; write starts and lengths separated by spaces: 1 2 7 3",
        ),
        (
            "1_0 2",
            "'1_0' is not an integer; write starts and lengths separated by spaces: 1 2 7 3",
        ),
        (
            "nan",
            "'nan' is not an integer; write starts and lengths separated by spaces: 1 2 7 3",
        ),
        (
            "1 1234567890123456789",
            "'1234567890123456789' is not an integer; write starts and lengths separated by "
            "spaces: 1 2 7 3",
        ),
        ("7 3 1 2", "run (1, 2) after (7, 3) is out of order; runs must be sorted and disjoint"),
        (
            "1 3 3 2",
            "run (3, 2) after (1, 3) overlaps the run before it; runs must be sorted and disjoint",
        ),
        (
            "4 1 4 1",
            "run (4, 1) after (4, 1) overlaps the run before it; runs must be sorted and disjoint",
        ),
        (
            "0 2",
            "run (0, 2) is invalid; starts count from 1 and lengths are at least 1",
        ),
        (
            "-3 2",
            "run (-3, 2) is invalid; starts count from 1 and lengths are at least 1",
        ),
        (
            "1 2 7 0",
            "run (7, 0) is invalid; starts count from 1 and lengths are at least 1",
        ),
    ],
)
def test_a_text_that_is_no_runs_is_refused(text, message):
    with pytest.raises(InputError, match=exactly(message)):
        rle.parse_runs(text)


def test_a_long_text_is_cut_in_the_message():
    message = (
        "'1 1 3 1 5 1 7 1 9 1 11 1 13 1 15 1 17 1 ...' has 41 entries, an odd number; "
        "every start needs its length: 1 2 7 3"
    )
    text = " ".join(f"{start} 1" for start in range(1, 41, 2)) + " 41"
    with pytest.raises(InputError, match=exactly(message)):
        rle.parse_runs(text)


def test_runs_that_touch_are_accepted():
    np.testing.assert_array_equal(rle.parse_runs("1 2 3 1"), [[1, 2], [3, 1]])


@pytest.mark.parametrize("text", [" 1 2 7 3 ", "1  2 7\t3", "1 2\u00a07 3", "01 2 7 03"])
def test_other_blanks_and_leading_zeros_are_accepted(text):
    np.testing.assert_array_equal(rle.parse_runs(text), [[1, 2], [7, 3]])


@pytest.mark.parametrize("decode", [rle.find_pixels, lambda runs, s: rle.decode_labels([runs], s)])
@pytest.mark.parametrize("run", [(6, 2), (7, 1), (0, 1), (1, 10**17)])
def test_a_run_beyond_the_image_is_refused(decode, run):
    message = f"run {run} does not fit an image of 2 x 3 pixels"
    with pytest.raises(InputError, match=exactly(message)):
        decode(np.array([[1, 1], run]), (2, 3))


def test_the_last_pixel_fits_the_image():
    assert rle.decode_labels([np.array([[6, 1]])], (2, 3))[1, 2]


def test_nuclei_that_share_pixels_are_refused():
    runs = [rle.parse_runs(text) for text in ("1 2", "5 1", "2 4")]
    message = "nucleus 3 shares 2 px with nucleus 1; a pixel belongs to at most one"
    with pytest.raises(InputError, match=exactly(message)):
        rle.decode_labels(runs, (2, 3))


def test_a_shared_pixel_stays_with_the_first_when_asked():
    runs = [rle.parse_runs(text) for text in ("1 2", "2 1", "2 2")]
    labels = rle.decode_labels(runs, (2, 2), first_wins=True)
    np.testing.assert_array_equal(labels, draw("12", "1."))


def test_a_nucleus_without_runs_gets_no_label():
    runs = [rle.parse_runs(text) for text in ("", "1 1", "", "4 1")]
    np.testing.assert_array_equal(rle.decode_labels(runs, (2, 2)), draw("1.", ".2"))


def test_no_nuclei_decode_to_background():
    np.testing.assert_array_equal(rle.decode_labels([], (2, 3)), np.zeros((2, 3)))


def test_labels_without_background_lose_no_nucleus():
    assert rle.encode_labels(draw("12", "12")) == ["1 2", "3 2"]
