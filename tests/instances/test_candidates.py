import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.instances.drawn import TOUCHING, basins_of, find_candidates, noise, soften


def test_touching_nuclei_are_candidates_each_alone_and_together():
    tree = find_candidates(soften(TOUCHING), min_seed_px=3)
    assert tree.n_basins == 3
    assert [basins_of(tree, c) for c in range(3)] == [{1}, {2}, {3}]
    both = {tree.basins[30, 25], tree.basins[30, 51]}
    assert basins_of(tree, 3) == both
    assert tree.parent().tolist() == [3 if basin in both else -1 for basin in (1, 2, 3)] + [-1]
    assert tree.saddle[:3].tolist() == [1, 1, 1]
    assert 0 < tree.saddle[3] < 1


@given(st.integers(0, 10**6))
@settings(max_examples=25)
def test_children_are_disjoint_come_first_and_make_up_their_parent(seed):
    tree = find_candidates(noise(seed), min_seed_px=2)
    for candidate, (a, b) in enumerate(tree.children.tolist()):
        if candidate < tree.n_basins:
            assert (a, b) == (-1, -1)
            assert basins_of(tree, candidate) == {candidate + 1}
            continue
        assert max(a, b) < candidate
        assert tree.last[a] + 1 == tree.first[b]
        assert basins_of(tree, a) | basins_of(tree, b) == basins_of(tree, candidate)
        assert tree.saddle[candidate] <= min(tree.saddle[a], tree.saddle[b])
    assert set(np.unique(tree.basins)) - {0} == set(range(1, tree.n_basins + 1))


@given(st.integers(0, 10**6))
@settings(max_examples=10)
def test_what_adds_up_over_basins_is_counted_for_each_candidate(seed):
    tree = find_candidates(noise(seed), min_seed_px=2)
    of_basins = np.bincount(tree.basins.ravel(), minlength=tree.n_basins + 1)
    for candidate, total in enumerate(tree.add_up(of_basins)):
        assert total == np.isin(tree.basins, list(basins_of(tree, candidate))).sum()


def test_an_empty_map_has_no_candidates():
    tree = find_candidates(np.zeros((3, 9, 7), np.float32), min_seed_px=3)
    assert (tree.n_basins, tree.n_candidates) == (0, 0)
    assert tree.parent().tolist() == []


@pytest.mark.parametrize("threshold", [0.2, 0.3, 0.5])
def test_nuclei_end_where_the_membership_falls_to_the_threshold(threshold):
    probability = soften(TOUCHING, sigma=2)
    tree = find_candidates(probability, min_seed_px=3, outline_threshold=threshold)
    assert ((tree.labels > 0) == (probability[0] > threshold)).all()
    assert (tree.labels == tree.basins)[tree.labels > 0].all()
    other = find_candidates(probability, min_seed_px=3, outline_threshold=0.4)
    assert (other.end_at(threshold).labels == tree.labels).all()
