import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kaggle_dsb.competition.metric import (
    THRESHOLDS_PERCENT,
    ImageScore,
    match,
    score_image,
    score_images,
)
from kaggle_dsb.files import InputError
from tests import reference
from tests.cases import CASES, draw

NUMBERS = st.sampled_from([0, 0, 1, 1, 2, 5, 300])


@st.composite
def pairs(draw_from):
    """Return a truth and a prediction that differs in some pixels, so that nuclei do overlap."""
    shape = draw_from(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6))
    truth = draw_from(hnp.arrays(np.int32, shape, elements=NUMBERS))
    other = draw_from(hnp.arrays(np.int32, shape, elements=NUMBERS))
    kept = draw_from(hnp.arrays(bool, shape, elements=st.sampled_from([True, True, True, False])))
    return truth, np.where(kept, truth, other)


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_known_case_scores_what_the_eye_says(case):
    result = score_image(case.truth, case.predicted)

    assert result.hits == case.hits
    assert result.score == pytest.approx(case.score, abs=1e-12)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_naive_score_agrees_on_known_cases(case):
    mean = np.mean(reference.precision(case.truth, case.predicted))
    assert mean == pytest.approx(case.score, abs=1e-12)


def test_an_iou_of_exactly_the_threshold_is_no_hit_at_any_threshold():
    for index, percent in enumerate(THRESHOLDS_PERCENT):
        truth = np.ones((1, 100), dtype=np.int32)
        predicted = np.where(np.arange(100) < percent, 1, 0)[np.newaxis]
        assert score_image(truth, predicted).hits == (1,) * index + (0,) * (10 - index)


def test_labels_as_large_as_int32_cost_no_memory():
    truth = np.array([[2**31 - 1, 0, 2**31 - 2]], dtype=np.int32)
    assert score_image(truth, truth).score == 1


def test_many_nuclei_are_counted_without_a_table_of_all_pairs():
    truth = np.arange(1, 4097, dtype=np.int32).reshape(64, 64)
    result = score_image(truth, np.where(truth % 4 == 0, 0, truth))
    assert result == ImageScore(n_true=4096, n_predicted=3072, hits=(3072,) * 10)


def test_labels_of_different_types_are_compared():
    assert score_image(draw("12").astype(np.uint16), draw("12").astype(np.int64)).score == 1


@given(pairs())
def test_the_precision_is_that_of_comparing_every_pair_of_masks(pair):
    np.testing.assert_array_equal(score_image(*pair).precision, reference.precision(*pair))


@given(pairs())
def test_labels_score_1_against_themselves(pair):
    assert score_image(pair[0], pair[0]).score == 1


@given(pairs(), st.permutations([3, 7, 20, 21, 22]))
def test_other_numbers_for_the_nuclei_change_nothing(pair, numbers):
    lookup = np.zeros(301, dtype=np.int64)
    lookup[[1, 2, 5, 300]] = numbers[:4]
    assert score_image(pair[0], lookup[pair[1]]) == score_image(*pair)


@given(pairs())
def test_flips_and_a_transpose_change_nothing(pair):
    truth, predicted = pair
    expected = score_image(truth, predicted)
    assert score_image(truth[::-1], predicted[::-1]) == expected
    assert score_image(truth[:, ::-1], predicted[:, ::-1]) == expected
    assert score_image(truth.T, predicted.T) == expected


@given(pairs())
def test_truth_and_prediction_can_change_places(pair):
    assert score_image(*pair).hits == score_image(*pair[::-1]).hits


@given(pairs())
def test_the_precision_never_rises_with_the_threshold(pair):
    assert np.all(np.diff(score_image(*pair).precision) <= 0)


@given(pairs())
def test_a_nucleus_hits_at_most_once(pair):
    matches = match(*pair)
    hits = matches.hits_at(50)
    assert len(set(matches.true_index[hits])) == np.count_nonzero(hits)
    assert len(set(matches.predicted_index[hits])) == np.count_nonzero(hits)


def test_a_match_lists_the_pairs_that_share_pixels():
    matches = match(draw("11.22", "11.2."), draw("99975", "..075"))

    np.testing.assert_array_equal(matches.true_labels, [1, 2])
    np.testing.assert_array_equal(matches.predicted_labels, [5, 7, 9])
    np.testing.assert_array_equal(matches.true_areas_px, [4, 3])
    np.testing.assert_array_equal(matches.predicted_areas_px, [2, 2, 3])
    np.testing.assert_array_equal(matches.true_index, [0, 1, 1])
    np.testing.assert_array_equal(matches.predicted_index, [2, 0, 1])
    np.testing.assert_array_equal(matches.intersection_px, [2, 1, 2])
    np.testing.assert_array_equal(matches.union_px, [5, 4, 3])
    np.testing.assert_allclose(matches.iou, [2 / 5, 1 / 4, 2 / 3])
    np.testing.assert_allclose(matches.best_iou_of_true, [2 / 5, 2 / 3])
    np.testing.assert_allclose(matches.best_iou_of_predicted, [1 / 4, 2 / 3, 2 / 5])


def test_a_nucleus_that_nothing_touches_has_a_best_iou_of_0():
    matches = match(draw("1.2"), draw("1.."))
    np.testing.assert_array_equal(matches.best_iou_of_true, [1, 0])


def test_a_match_of_empty_images_is_empty():
    matches = match(draw("..."), draw("..."))
    assert matches.iou.size == matches.best_iou_of_true.size == matches.true_labels.size == 0


def test_matching_leaves_its_input_as_it_was():
    truth, predicted = draw("12.9"), draw("33..")
    match(truth, predicted)
    np.testing.assert_array_equal(truth, draw("12.9"))
    np.testing.assert_array_equal(predicted, draw("33.."))


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        (
            draw("1.", "1.", ".."),
            "predicted labels are 3 x 2 pixels, the image is 2 x 3; the sizes must match",
        ),
        (
            draw("1..", "...") - 1,
            "labels contain -1; a label is 0 (background) or a positive integer",
        ),
        (
            draw("1..", "...") > 0,
            "labels of shape (2, 3) and type bool; expected integers of shape (H, W)",
        ),
        (
            draw("1..", "...") * np.int64(2**31),
            "labels contain 2147483648, above 2147483647; relabel first",
        ),
        (
            draw("1..", "...").astype(np.uint64) << np.uint64(63),
            "labels contain 9223372036854775808, above 2147483647; relabel first",
        ),
    ],
)
def test_labels_that_cannot_be_scored_are_refused(predicted, message):
    with pytest.raises(InputError, match=exactly(message)):
        score_image(draw("1..", "..."), predicted)
    with pytest.raises(InputError, match=exactly(f"image a: {message}")):
        score_images({"a": draw("1..", "...")}, {"a": predicted})


def test_the_score_is_the_mean_over_images_and_not_over_nuclei():
    names = ["same", "missed", "three quarters", "both empty"]
    result = score_images(
        {name: CASES[name].truth for name in names},
        {name: CASES[name].predicted for name in names},
    )

    assert list(result.images) == names
    assert result.mean == pytest.approx((1 + 1 / 2 + 1 / 2 + 1) / 4)
    np.testing.assert_allclose(result.per_threshold, [3.5 / 4] * 5 + [2.5 / 4] * 5)


def test_the_pooled_precision_is_of_all_nuclei_together():
    names = ["same", "missed", "three quarters"]
    result = score_images(
        {name: CASES[name].truth for name in names},
        {name: CASES[name].predicted for name in names},
    )
    # 6 true and 5 predicted nuclei; 5 hits up to 70, and 4 from 75 on.
    np.testing.assert_allclose(result.pooled, [5 / 6] * 5 + [4 / 7] * 5)


def test_the_pooled_precision_of_empty_images_is_1():
    case = CASES["both empty"]
    result = score_images({"a": case.truth}, {"a": case.predicted})
    np.testing.assert_array_equal(result.pooled, [1] * 10)


def test_the_precision_counts_what_was_missed_and_what_was_invented():
    np.testing.assert_allclose(ImageScore(4, 3, (2,) * 10).precision, [2 / 5] * 10)


def test_a_missing_prediction_is_named():
    labels = draw("1")
    message = "2 of 3 images have no prediction: b, c"
    with pytest.raises(InputError, match=exactly(message)):
        score_images({"a": labels, "b": labels, "c": labels}, {"a": labels})


def test_of_many_missing_predictions_five_are_named():
    message = "9 of 9 images have no prediction: 0, 1, 2, 3, 4, ..."
    with pytest.raises(InputError, match=exactly(message)):
        score_images({str(number): draw("1") for number in range(9)}, {})


def test_a_prediction_without_a_truth_is_not_scored():
    result = score_images({"a": draw("1")}, {"decoy": draw("11"), "a": draw("1")})
    assert list(result.images) == ["a"]


def test_an_empty_truth_is_refused():
    with pytest.raises(InputError, match=exactly("no images to score; the ground truth is empty")):
        score_images({}, {})
