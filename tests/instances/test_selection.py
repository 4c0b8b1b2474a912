import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kaggle_dsb.competition.labels import relabel
from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.instances.scorer_training import candidate_quality
from kaggle_dsb.instances.selection import select_nuclei
from tests.instances.drawn import TOUCHING, basins_of, find_candidates, noise, region, soften


@pytest.fixture
def tree():
    return find_candidates(soften(TOUCHING), min_seed_px=3)


def test_the_best_choice_by_the_true_quality_is_no_worse_than_any_single_cut():
    tree = find_candidates(soften(TOUCHING, sigma=2), min_seed_px=3)
    chosen = select_nuclei(tree, candidate_quality(tree, TOUCHING), min_area_px=3).labels
    assert chosen.max() == 3
    single = relabel(tree.labels)
    assert score_image(TOUCHING, chosen).score >= score_image(TOUCHING, single).score


def test_a_union_is_taken_where_it_is_worth_more_than_its_parts(tree):
    both = basins_of(tree, 3)
    quality = np.array([0.5 if basin in both else 0.9 for basin in (1, 2, 3)] + [0.7])
    # One more nucleus costs half the mean of the three, 0.32: 0.38 for the whole, 0.36 for parts.
    merged, of_merged = select_nuclei(tree, quality, min_area_px=3)
    assert of_merged[merged[60, 80] - 1] == 0.9
    assert of_merged[merged[30, 25] - 1] == 0.7
    assert merged.max() == 2
    assert ((merged > 0) == (tree.labels > 0)).all()
    assert merged[30, 25] == merged[30, 51] != merged[60, 80]
    quality[3] = 0.6
    assert select_nuclei(tree, quality, min_area_px=3).labels.max() == 3


def test_a_nucleus_is_dropped_where_its_quality_is_below_half_of_the_mean(tree):
    alone = next(iter({1, 2, 3} - basins_of(tree, 3)))
    quality = np.array([0.9, 0.9, 0.9, 0])
    for weakest, n_chosen in ((0.37, 3), (0.35, 2)):  # half of the mean of the three is 0.36
        quality[alone - 1] = weakest
        assert select_nuclei(tree, quality, min_area_px=3).labels.max() == n_chosen
    # Where all are as uncertain none is.
    assert select_nuclei(tree, np.array([0.1, 0.1, 0.1, 0]), min_area_px=3).labels.max() == 3
    assert not select_nuclei(tree, np.zeros(4), min_area_px=3).labels.any()
    assert not select_nuclei(tree, quality, min_area_px=5000).labels.any()


def test_from_nothing_nothing_is_chosen():
    tree = find_candidates(np.zeros((3, 9, 7), np.float32), min_seed_px=3)
    chosen = select_nuclei(tree, np.zeros(0), min_area_px=3).labels
    assert chosen.shape == (9, 7)
    assert not chosen.any()


def exhaustive(tree, worth, candidate):
    """Return the best sum of worths below a candidate, written naively."""
    a, b = tree.children[candidate]
    own = max(worth[candidate], 0)
    if a < 0:
        return own
    return max(own, exhaustive(tree, worth, a) + exhaustive(tree, worth, b))


@given(st.integers(0, 10**6))
@settings(max_examples=30)
def test_the_choice_is_the_best_there_is_at_its_own_cost(seed):
    tree = find_candidates(noise(seed), min_seed_px=2)
    quality = np.random.default_rng(seed).random(tree.n_candidates)
    regions = [region(tree, c).tobytes() for c in range(tree.n_candidates)]
    quality[[not any(of) for of in regions]] = 0  # what has no pixel hits nothing
    assume(len(set(regions)) == len(regions))  # else a region does not tell its candidate
    chosen = select_nuclei(tree, quality, min_area_px=0).labels
    picked = [
        regions.index((chosen == label).astype(np.int32).tobytes())
        for label in range(1, chosen.max() + 1)
    ]
    worth = quality - quality[picked].mean() / 2
    best = sum(exhaustive(tree, worth, root) for root in np.flatnonzero(tree.parent() < 0))
    assert sum(worth[picked]) == pytest.approx(best)
