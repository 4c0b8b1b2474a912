import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy import ndimage

from kaggle_dsb.report.diagnosis import (
    LOSSES,
    _cut_merged,
    diagnose_image,
    draw_losses,
    tabulate_losses,
)
from kaggle_dsb.report.display import parse_colour
from kaggle_dsb.report.outcomes import COLOURS
from tests.cases import CASES

LABELS = arrays(np.int32, (8, 9), elements=st.integers(0, 4))


def square(*corners, side=10, shape=(40, 40)):
    labels = np.zeros(shape, np.int32)
    for label, (row, column) in enumerate(corners, 1):
        labels[row : row + side, column : column + side] = label
    return labels


@pytest.mark.parametrize("name", list(CASES))
def test_what_is_won_and_what_is_lost_make_a_whole(name):
    case = CASES[name]
    diagnosis = diagnose_image(case.truth, case.predicted)
    assert diagnosis.score == pytest.approx(case.score)
    assert diagnosis.score + sum(diagnosis.lost.values()) == pytest.approx(1)


@given(LABELS, LABELS)
@settings(max_examples=60)
def test_the_parts_add_up_whatever_the_labels(truth, predicted):
    diagnosis = diagnose_image(truth, predicted)
    assert set(diagnosis.lost) == set(LOSSES)
    assert diagnosis.score + sum(diagnosis.lost.values()) == pytest.approx(1)


@given(LABELS)
@settings(max_examples=30)
def test_a_perfect_prediction_loses_nothing(labels):
    assert all(part == 0 for part in diagnose_image(labels, labels).lost.values())


@pytest.mark.parametrize(
    ("kind", "truth", "predicted"),
    [
        ("missed", square((0, 0), (20, 20)), square((0, 0))),
        ("invented", square((0, 0)), square((0, 0), (20, 20))),
        ("merged", square((0, 0), (0, 10)), (square((0, 0), (0, 10)) > 0).astype(np.int32)),
        ("split", (square((0, 0), (0, 10)) > 0).astype(np.int32), square((0, 0), (0, 10))),
    ],
)
def test_an_error_of_one_kind_is_named_as_that_kind(kind, truth, predicted):
    lost = diagnose_image(truth, predicted).lost
    assert lost[kind] > 0.4
    assert all(part == 0 for name, part in lost.items() if name != kind)


@pytest.mark.parametrize(("grown", "outward"), [(1, 44 / 36), (-1, -36 / 36), (0, 0)])
def test_a_moved_outline_is_measured_in_pixels(grown, outward):
    truth = square((10, 10))
    predicted = np.zeros_like(truth)
    predicted[10 - grown : 20 + grown, 10 - grown : 20 + grown] = 1
    diagnosis = diagnose_image(truth, predicted)
    assert diagnosis.outward_px == pytest.approx(outward)
    assert diagnosis.apart_px == pytest.approx(abs(outward))
    assert diagnosis.lost["outline"] == pytest.approx(1 - diagnosis.score)


def test_an_image_where_nothing_is_found_has_no_outline_to_measure():
    diagnosis = diagnose_image(square((0, 0)), np.zeros((40, 40), np.int32))
    assert np.isnan(diagnosis.outward_px)
    assert np.isnan(diagnosis.apart_px)


def test_the_table_means_over_images_by_type():
    first, second = square((0, 0), (20, 20)), square((0, 0))
    pairs = {"a": (first, second), "b": (first, first), "c": (second, second)}
    diagnoses = {id_: diagnose_image(*pair) for id_, pair in pairs.items()}
    table = tabulate_losses(diagnoses, {"a": "tissue", "b": "tissue", "c": "fluorescence"})
    assert table["images"].to_dict() == {"fluorescence": 1, "tissue": 2, "all": 3}
    assert table.at["tissue", "missed"] == pytest.approx(0.25)
    assert table.at["all", "score"] == pytest.approx((0.5 + 1 + 1) / 3)


def test_the_losses_are_drawn(tmp_path):
    first, second = square((0, 0), (20, 20)), square((0, 0))
    table = tabulate_losses({"a": diagnose_image(first, second)}, {"a": "tissue"})
    draw_losses(tmp_path / "losses.png", table)
    with Image.open(tmp_path / "losses.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    colours = {tuple(c) for c in np.unique(pixels, axis=0).tolist()}
    assert {parse_colour(COLOURS["hit"]), parse_colour(COLOURS["missed"])} <= colours


def test_merged_nuclei_are_cut_at_the_nearest_owner_beyond_their_box():
    truth = np.zeros((20, 30), np.int32)
    truth[2:12, 2:12], truth[2:12, 14:26] = 1, 2
    predicted = np.zeros_like(truth)
    predicted[3:11, 3:25] = 1
    parts = ndimage.distance_transform_edt(truth == 0, return_indices=True)[1]
    expected = np.where(predicted > 0, truth[tuple(parts)], 0)
    np.testing.assert_array_equal(_cut_merged(truth, predicted), expected)
