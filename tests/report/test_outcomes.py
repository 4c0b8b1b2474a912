import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.report.outcomes import COLOURS, LETTERS, OUTCOMES, find_outcomes
from tests.cases import CASES, draw

LABELS = hnp.arrays(np.int32, (5, 6), elements=st.sampled_from([0, 0, 1, 2, 7]))

EXPECTED = {
    "same": ({1: "hit", 2: "hit", 3: "hit"}, {1: "hit", 2: "hit", 3: "hit"}),
    "missed": ({1: "hit", 2: "missed"}, {1: "hit"}),
    "invented": ({1: "hit"}, {1: "hit", 2: "invented", 3: "invented"}),
    "merged": ({1: "merged", 2: "merged"}, {1: "merged"}),
    "split at exactly 0.5": ({1: "split"}, {1: "split", 2: "split"}),
    "both empty": ({}, {}),
    "empty truth": ({}, {1: "invented"}),
    "empty prediction": ({1: "missed"}, {}),
    "one pixel beside another": ({1: "missed"}, {1: "invented"}),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_known_case_gets_the_name_that_the_eye_gives_it(name):
    outcomes = find_outcomes(CASES[name].truth, CASES[name].predicted)
    assert (outcomes.true, outcomes.predicted) == EXPECTED[name]


def test_a_nucleus_swallowed_by_a_hit_is_merged():
    outcomes = find_outcomes(draw("111112"), draw("111111"))
    assert outcomes.true == {1: "hit", 2: "merged"}
    assert outcomes.predicted == {1: "hit"}


def test_a_crumb_beside_a_hit_is_split_off():
    outcomes = find_outcomes(draw("111111"), draw("111112"))
    assert outcomes.true == {1: "hit"}
    assert outcomes.predicted == {1: "hit", 2: "split"}


def test_a_pair_that_overlaps_too_little_is_missed_and_invented():
    outcomes = find_outcomes(draw("1111...."), draw("...1111."))
    assert (outcomes.true, outcomes.predicted) == ({1: "missed"}, {1: "invented"})
    assert outcomes.true_iou == {1: 0.143}


@given(LABELS, LABELS)
def test_hits_are_those_of_the_score_and_every_nucleus_gets_a_name(truth, predicted):
    outcomes, score = find_outcomes(truth, predicted), score_image(truth, predicted)
    counts = outcomes.counts()
    assert counts["hit"] == score.hits[0] == list(outcomes.predicted.values()).count("hit")
    assert sum(counts.values()) - counts["invented"] == score.n_true
    assert len(outcomes.predicted) == score.n_predicted


@given(LABELS, LABELS)
def test_seen_from_the_other_side_merged_is_split_and_missed_is_invented(truth, predicted):
    swap = {"hit": "hit", "merged": "split", "split": "merged"} | {
        "missed": "invented",
        "invented": "missed",
    }
    here, there = find_outcomes(truth, predicted), find_outcomes(predicted, truth)
    both = {label for label, name in here.true.items() if name in ("hit", "missed")}
    assert {label: swap[here.true[label]] for label in both} == {
        label: there.predicted[label] for label in both
    }


def test_every_outcome_has_a_colour_and_every_error_a_letter():
    assert set(COLOURS) == set(LETTERS) == set(OUTCOMES)
    assert len(set(COLOURS.values())) == len(set(LETTERS.values())) == len(OUTCOMES)
