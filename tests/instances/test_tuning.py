import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.instances.probability import load_probability, save_probability
from kaggle_dsb.instances.second_level import predict_quality
from kaggle_dsb.instances.selection import select_nuclei
from kaggle_dsb.instances.tuning import (
    COSTS,
    Case,
    choose_nested,
    describe_cases,
    grow_forests,
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


FOLDS = np.array([0, 1, 0, 1, 0, 1])


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


def test_a_forest_is_grown_for_each_fold_without_the_fold(cases):
    described = describe_cases(cases, SPLIT, processes=1, progress=ignore)
    forests = grow_forests(described, FOLDS, seed=0)
    assert set(forests) == {0, 1}
    # Other qualities in fold 0 change the forest of fold 1 alone.
    spoilt = [
        type(one)(one.tree, one.features, 1 - one.quality) if fold == 0 else one
        for one, fold in zip(described, FOLDS, strict=True)
    ]
    others = grow_forests(spoilt, FOLDS, seed=0)
    rows = described[0].features.reshape(-1, described[0].features.shape[-1])
    assert (others[0].predict(rows) == forests[0].predict(rows)).all()
    assert (others[1].predict(rows) != forests[1].predict(rows)).any()


def test_the_second_level_is_scored_with_each_cost(cases):
    described = describe_cases(cases, SPLIT, processes=1, progress=ignore)
    forests = grow_forests(described, FOLDS, seed=0)
    scores = score_costs(cases, described, forests, min_area_px=3, processes=2, progress=ignore)
    assert scores.shape == (len(COSTS), len(cases))
    for column, (case, one) in enumerate(zip(cases, described, strict=True)):
        quality = predict_quality([forests[case.fold]], one.features)
        for row, cost in enumerate(COSTS):
            found = select_nuclei(one.tree, quality, cost=cost, min_area_px=3)
            assert scores[row, column] == score_image(case.truth, found).score
