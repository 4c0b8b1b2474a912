import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.instances.candidates import LEVELS
from kaggle_dsb.instances.finder import NucleusFinder
from kaggle_dsb.instances.outline_choice import choose_level, describe_levels
from kaggle_dsb.instances.probability import load_probability, save_probability
from kaggle_dsb.instances.second_level import predict_quality
from kaggle_dsb.instances.tuning import (
    COSTS,
    USUAL_COST,
    Case,
    choose_nested,
    describe_cases,
    grow_second_levels,
    propose_splits,
    score_costs,
    score_splits,
)
from kaggle_dsb.instances.watershed import split_nuclei
from tests.instances.test_second_level import draw_discs, soften

SPLIT = {"body_threshold": 0.5, "seed_threshold": 0.6, "min_seed_px": 3, "min_area_px": 3}


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
        made.append(Case(number % 2, path, image, truth))
    return made


@given(st.integers(0, 10**6))
def test_a_nested_choice_never_looks_at_the_fold_it_is_scored_on(seed):
    rng = np.random.default_rng(seed)
    scores, folds = rng.random((5, 12)), np.arange(12) % 3
    nested = choose_nested(scores, folds)
    changed = scores.copy()
    changed[:, folds == 0] = rng.random((5, 4))
    for fold in range(3):
        held_out = folds == fold
        best = scores[:, ~held_out].mean(axis=1).argmax()
        assert (nested.scores[held_out] == scores[best, held_out]).all()
    # What is chosen for fold 0 does not depend on the scores of fold 0.
    again = choose_nested(changed, folds)
    best = scores[:, folds != 0].mean(axis=1).argmax()
    assert (again.scores[folds == 0] == changed[best, folds == 0]).all()
    assert nested.best == scores.mean(axis=1).argmax()


def test_proposals_are_spread_and_repeatable():
    splits = propose_splits(16, seed=3)
    assert splits == propose_splits(16, seed=3)
    assert splits != propose_splits(16, seed=4)
    thresholds = [split["body_threshold"] for split in splits]
    assert min(thresholds) < 0.47
    assert max(thresholds) > 0.73
    assert len({tuple(split.values()) for split in splits}) == 16


def test_splits_are_scored_as_they_would_be_one_by_one(cases):
    splits = [SPLIT, SPLIT | {"body_threshold": 0.8}]
    scores = score_splits(cases, splits, processes=2, progress=ignore)
    assert scores.shape == (2, 6)
    for row, split in enumerate(splits):
        for column, case in enumerate(cases):
            predicted = split_nuclei(load_probability(case.probability), **split)
            assert scores[row, column] == score_image(case.truth, predicted).score


@pytest.fixture(scope="module")
def described(cases):
    return describe_cases(cases, SPLIT, processes=1, progress=ignore)


def grow(cases, described):
    return grow_second_levels(cases, described, min_area_px=3, seed=0, processes=1, progress=ignore)


@pytest.fixture(scope="module")
def second_levels(cases, described):
    return grow(cases, described)


def test_a_second_level_is_grown_for_each_fold_without_the_fold(cases, described, second_levels):
    assert set(second_levels) == {0, 1}
    # Other qualities in fold 0 change the forest of fold 1 alone.
    spoilt = [
        type(one)(one.tree, one.features, 1 - one.quality) if case.fold == 0 else one
        for case, one in zip(cases, described, strict=True)
    ]
    others = grow(cases, spoilt)
    rows = described[0].features.reshape(-1, described[0].features.shape[-1])
    assert (others[0].quality.predict(rows) == second_levels[0].quality.predict(rows)).all()
    assert (others[1].quality.predict(rows) != second_levels[1].quality.predict(rows)).any()


def test_the_outlines_are_learned_from_what_levels_score_outside_the_fold(tmp_path):
    """In one kind of image the truth lies further out than the probability says, in others not."""
    made = []
    for number in range(96):
        rng = np.random.default_rng(number)
        row, column = rng.integers(25, 55, 2)
        loose = number % 4 < 2
        body = draw_discs((row, column, 12))
        truth = draw_discs((row, column, 15)) if loose else body
        path = tmp_path / f"{number}.npy"
        save_probability(path, soften(body, sigma=4))
        # Without contrast the body alone tells; how bright the image is tells the kind.
        image = np.full((80, 100, 3), 90 if loose else 20, np.uint8)
        made.append(Case(number % 2, path, image, truth))
    seen = describe_cases(made, SPLIT, processes=1, progress=ignore)
    second_levels = grow(made, seen)
    chosen = {True: set(), False: set()}
    for case, one in zip(made, seen, strict=True):
        own = second_levels[case.fold]
        quality = predict_quality([own.quality], one.features)
        rows = describe_levels(one.features, quality, cost=USUAL_COST)
        loose = bool(case.image.max() == 90)
        chosen[loose].add(LEVELS[choose_level([own.outline], rows)])
    assert max(chosen[True]) < min(chosen[False])


def test_the_second_level_is_scored_with_each_cost(cases, described, second_levels):
    options = {"min_area_px": 3, "processes": 2, "progress": ignore}
    scores = score_costs(cases, described, second_levels, **options)
    assert scores.shape == (len(COSTS), len(cases))
    for column, case in enumerate(cases):
        probability = load_probability(case.probability)
        for row, cost in enumerate(COSTS):
            finder = NucleusFinder(SPLIT, [second_levels[case.fold]], cost)
            found = finder.find(probability, case.image)
            assert scores[row, column] == score_image(case.truth, found).score
