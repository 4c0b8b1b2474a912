import os
from dataclasses import replace
from multiprocessing import current_process

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.files import InputError
from kaggle_dsb.instances import tuning
from kaggle_dsb.instances.features import FEATURES
from kaggle_dsb.instances.finder import NucleusFinder
from kaggle_dsb.instances.forest import Forest
from kaggle_dsb.instances.outline_rule import OutlineRule, describe_appearance
from kaggle_dsb.instances.probability import load_probability, mean_over_scales, save_probability
from kaggle_dsb.instances.scorer import CandidateScorer
from kaggle_dsb.instances.tuning import (
    Case,
    choose_nested,
    describe_cases,
    learn_outlines,
    mean_over_sources,
    propose_watersheds,
    score_scorers,
    score_watersheds,
    train_without_each,
)
from kaggle_dsb.instances.watershed import watershed_nuclei
from tests.instances.drawn import WATERSHED, draw_discs, soften


def ignore(done, total):
    """Show no progress."""


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probabilities")
    made = []
    for number in range(6):
        rng = np.random.default_rng(number)
        places = rng.integers(12, 68, (7, 2))
        truth = draw_discs(*((row, column, 6 + n) for n, (row, column) in enumerate(places)))
        path = folder / f"{number}.npy"
        save_probability(path, soften(truth, sigma=1 + number / 3))
        image = np.repeat((truth > 0)[..., None] * np.uint8(150), 3, 2)
        made.append(Case(str(number), "ab"[number % 2], "", number % 3, path, image, truth))
    return made


def test_sources_count_alike_however_many_images_they_have():
    scores = np.array([[0.0, 0.0, 0.0, 1.0], [0.3, 0.3, 0.3, 0.3]])
    assert mean_over_sources(scores, ["a", "a", "a", "b"]) == pytest.approx([0.5, 0.3])
    assert choose_nested(scores, ["a", "a", "a", "b"]).best == 0


@given(st.integers(0, 10**6))
def test_a_nested_choice_never_looks_at_the_source_it_is_scored_on(seed):
    rng = np.random.default_rng(seed)
    sources = np.array(list("abcabcaabcca"))
    scores = rng.random((5, 12))
    nested = choose_nested(scores, sources.tolist())
    for own, others in (("a", "bc"), ("b", "ac"), ("c", "ab")):
        means = np.mean([scores[:, sources == other].mean(axis=1) for other in others], axis=0)
        expected = scores[means.argmax(), sources == own]
        assert (nested.scores[sources == own] == expected).all()
    changed = scores.copy()
    changed[:, sources == "a"] = rng.random((5, 5))
    again = choose_nested(changed, sources.tolist())
    best = mean_over_sources(scores[:, sources != "a"], sources[sources != "a"].tolist()).argmax()
    assert (again.scores[sources == "a"] == changed[best, sources == "a"]).all()


def test_proposals_are_spread_and_repeatable():
    proposals = propose_watersheds(16, seed=3)
    assert proposals == propose_watersheds(16, seed=3)
    assert proposals != propose_watersheds(16, seed=4)
    thresholds = [proposal.body_threshold for proposal in proposals]
    assert min(thresholds) < 0.3
    assert max(thresholds) > 0.7
    assert len(set(proposals)) == 16


def test_watersheds_are_scored_as_they_would_be_one_by_one(cases):
    proposals = [WATERSHED, replace(WATERSHED, body_threshold=0.8)]
    scores = score_watersheds(cases, proposals, processes=2, progress=ignore)
    assert scores.shape == (2, 6)
    for row, proposal in enumerate(proposals):
        for column, case in enumerate(cases):
            probability = mean_over_scales(load_probability(case.probability))
            predicted = watershed_nuclei(probability, proposal)
            assert scores[row, column] == score_image(case.truth, predicted).score


def describe_process(_):
    return type(current_process()).__name__, cv2.getNumThreads()


def test_each_process_starts_afresh_and_computes_with_one_thread():
    assert list(tuning._run(describe_process, [0] * 3, 2, ignore)) == [("SpawnProcess", 1)] * 3


def test_a_process_that_is_killed_is_told():
    with pytest.raises(InputError) as caught:
        list(tuning._run(os._exit, [9], 4, ignore))
    assert str(caught.value) == (
        "one of the 4 processes that tune was lost, perhaps for lack of memory; use fewer with "
        "--set hardware.threads=2"
    )


RULE = OutlineRule(dark=0.3, glowing=0.3)
OPTIONS = {"processes": 1, "progress": ignore}


@pytest.fixture(scope="module")
def described(cases):
    return describe_cases(cases, WATERSHED, outlines=[RULE] * 6, **OPTIONS)


def train(cases, described):
    sources = [case.source for case in cases]
    return train_without_each(sources, described, weights=[1.0] * 6, seed=0, progress=ignore)


@pytest.fixture(scope="module")
def scorers(cases, described):
    return train(cases, described)


def test_the_candidates_of_all_scales_are_described(cases, described, tmp_path):
    once = np.load(cases[0].probability)
    path = tmp_path / "scales.npy"
    save_probability(path, np.stack([once, np.zeros_like(once), once]))
    (at_scales,) = describe_cases(
        [replace(cases[0], probability=path)], WATERSHED, outlines=[RULE], **OPTIONS
    )
    (alone,) = describe_cases(cases[:1], WATERSHED, outlines=[RULE], **OPTIONS)
    assert len(at_scales.features) == len(at_scales.patches) == 2 * len(alone.features) > 0
    assert (at_scales.quality == np.tile(alone.quality, 2)).all()


def test_a_scorer_is_trained_for_each_source_without_the_source(cases, described, scorers):
    assert set(scorers) == {"a", "b"}
    # Other qualities in source a change the scorer of source b alone.
    spoilt = [
        of._replace(quality=1 - of.quality) if case.source == "a" else of
        for case, of in zip(cases, described, strict=True)
    ]
    others = train(cases, spoilt)
    rows = described[0].features
    assert (others["a"].forest.predict(rows) == scorers["a"].forest.predict(rows)).all()
    assert (others["b"].forest.predict(rows) != scorers["b"].forest.predict(rows)).any()


def make_scorer_of_areas(*, above, small, large):
    """Make a scorer that expects one quality of small candidates and another of large ones."""
    forest = Forest(
        feature=np.array([FEATURES.index("relative_area"), -1, -1], np.int16),
        threshold=np.array([above, 0, 0], np.float64),
        left=np.array([1, 0, 0], np.int32),
        right=np.array([2, 0, 0], np.int32),
        value=np.array([0, small, large], np.float32),
        start=np.array([0], np.int32),
        base=np.zeros(1, np.float32),
    )
    return CandidateScorer(forest)


def test_scorers_are_scored_by_the_nuclei_that_the_finder_chooses_with_them(cases):
    scorers = [
        make_scorer_of_areas(above=0.5, small=0.1, large=large)
        for large in (0.9, 0.9, 0.9, 0, 0, 0)
    ]
    scores = score_scorers(cases, scorers, WATERSHED, outlines=[RULE] * 6, **OPTIONS)
    assert scores.shape == (6,)
    for score, scorer, case in zip(scores, scorers, cases, strict=True):
        finder = NucleusFinder(WATERSHED, [scorer], RULE)
        nuclei = finder.find(load_probability(case.probability), case.image)
        assert score == score_image(case.truth, nuclei).score
    other = score_scorers(cases[:1], scorers[3:4], WATERSHED, outlines=[RULE], **OPTIONS)
    assert scores[0] != other


def test_outlines_are_learned_as_the_annotators_of_each_source_drew_them(cases):
    """The light is blurred; source b is outlined further out in it than source a."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))

    def draw(case):
        grown = cv2.dilate(case.truth.astype(np.uint16), disc).astype(np.int32)
        truth = grown if case.source == "b" else case.truth
        return replace(case, truth=truth, image=cv2.GaussianBlur(case.image, (0, 0), 3))

    drawn = [draw(case) for case in cases]
    known = learn_outlines(drawn, min_area_px=0, **OPTIONS)
    np.testing.assert_array_equal(known.folds, [0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(known.appearances[2], describe_appearance(drawn[2].image))
    inner, outer = known.thresholds[::2], known.thresholds[1::2]
    assert len(set(inner.tolist())) == len(set(outer.tolist())) == 1
    assert inner[0] > outer[0]


def test_a_group_of_enough_images_has_outlines_of_its_own(cases):
    """The outer half of source a: three images are a group, of fewer the source tells."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))

    def draw(case, group):
        grown = cv2.dilate(case.truth.astype(np.uint16), disc).astype(np.int32)
        image = cv2.GaussianBlur(case.image, (0, 0), 3)
        truth = grown if group == "outer" else case.truth
        return replace(case, source="a", group=group, truth=truth, image=image)

    groups = ["outer", "outer", "outer", "inner", "inner", "inner"]
    drawn = [draw(case, group) for case, group in zip(cases, groups, strict=True)]
    of_groups = learn_outlines(drawn, min_area_px=0, **OPTIONS).thresholds
    assert set(of_groups[:3]) != set(of_groups[3:])
    assert of_groups[0] < of_groups[3]
    pairs = [replace(case, group=str(n // 2)) for n, case in enumerate(drawn)]
    assert len(set(learn_outlines(pairs, min_area_px=0, **OPTIONS).thresholds)) == 1


def test_nothing_is_learned_of_nuclei_that_are_darker_than_their_ground(cases):
    dark = [replace(case, image=255 - case.image) for case in cases]
    known = learn_outlines(dark, min_area_px=0, **OPTIONS)
    assert known.appearances.shape == (0, 14)
    assert known.thresholds.size == known.folds.size == 0
