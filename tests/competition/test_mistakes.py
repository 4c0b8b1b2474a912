import numpy as np
import pytest

from kaggle_dsb.competition.metric import score_images
from kaggle_dsb.competition.mistakes import find_likely_mistakes
from kaggle_dsb.competition.rle import decode_labels, encode_labels, parse_runs
from tests.cases import draw

TRUTH = draw(
    "111..222..",
    "111..222..",
    "111..222..",
    "..........",
    "33333.4444",
    "33333.4444",
)


def mistakes(predicted: np.ndarray, truth: np.ndarray = TRUTH, *, from_runs: bool = False):
    labels = {"a": truth}, {"a": predicted}
    return find_likely_mistakes(*labels, score_images(*labels), from_runs=from_runs)


def read_wrongly(labels: np.ndarray, shape: tuple[int, int], *, first: int) -> np.ndarray:
    """Read runs that another program numbered from ``first`` the way the competition asks for."""
    runs = [parse_runs(text) - [1 - first, 0] for text in encode_labels(labels)]
    return decode_labels([nucleus[nucleus[:, 0] > 0] for nucleus in runs], shape)


@pytest.mark.parametrize("from_runs", [False, True])
@pytest.mark.parametrize("predicted", [TRUTH, np.where(TRUTH == 4, 0, TRUTH), draw("...")])
def test_labels_that_are_good_or_merely_bad_have_no_likely_mistake(predicted, from_runs):
    truth = TRUTH if predicted.size > 3 else draw("1.2")
    assert mistakes(predicted, truth, from_runs=from_runs) == []


def test_a_mask_of_all_nuclei_is_pointed_out():
    assert mistakes((TRUTH > 0).astype(int)) == [
        "no image of the prediction has more than one label, the other has 4 per image: are these "
        "binary masks? Each nucleus needs its own label, e.g. from skimage.measure.label"
    ]


def test_a_truth_that_is_a_mask_of_all_nuclei_is_pointed_out():
    assert mistakes(TRUTH, (TRUTH > 0).astype(int)) == [
        "no image of the truth has more than one label, the other has 4 per image: are these "
        "binary masks? Each nucleus needs its own label, e.g. from skimage.measure.label"
    ]


def test_one_nucleus_an_image_is_no_mistake():
    assert mistakes(draw("11.", "11."), draw("11.", "1..")) == []


def test_counts_that_differ_tenfold_are_pointed_out():
    predicted = np.arange(1, 61).reshape(6, 10)
    assert mistakes(predicted) == [
        "60 predicted nuclei for 4 true ones: do both cover the same images at the same size?"
    ]


def test_runs_along_rows_are_pointed_out():
    predicted = read_wrongly(TRUTH.T, TRUTH.shape, first=1)
    assert mistakes(predicted, from_runs=True) == [
        "with pixels numbered along rows, the run-length encoding of 1 images scores 1.0000 "
        "instead of 0.0000; the competition numbers pixels from 1, down the columns"
    ]


def test_runs_from_0_are_pointed_out():
    truth = np.pad(TRUTH, 1)
    predicted = read_wrongly(truth, truth.shape, first=0)
    assert mistakes(predicted, truth, from_runs=True) == [
        "with pixels numbered from 0, the run-length encoding of 1 images scores 1.0000 instead "
        "of 0.0000; the competition numbers pixels from 1, down the columns"
    ]


def test_runs_along_rows_and_from_0_are_pointed_out():
    truth = np.pad(TRUTH, 1)
    predicted = read_wrongly(truth.T, truth.shape, first=0)
    assert mistakes(predicted, truth, from_runs=True) == [
        "with pixels numbered along rows and from 0, the run-length encoding of 1 images scores "
        "1.0000 instead of 0.0000; the competition numbers pixels from 1, down the columns"
    ]
