import numpy as np
import pytest

from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.instances import tiled
from kaggle_dsb.instances.features import FEATURES
from kaggle_dsb.instances.finder import NucleusFinder
from kaggle_dsb.instances.outline_rule import OutlineRule
from kaggle_dsb.instances.patches import PATCH_CHANNELS, PATCH_PX
from kaggle_dsb.instances.refine import refine_nuclei
from kaggle_dsb.instances.scorer import CandidateScorer
from kaggle_dsb.instances.watershed import watershed_nuclei
from tests.instances.drawn import BLACK, OUTLINE, TOUCHING, WATERSHED, find_candidates, soften
from tests.instances.test_scorer import Oracle


def test_without_scorers_the_nuclei_are_those_of_the_watershed():
    probability = soften(TOUCHING)
    nuclei = NucleusFinder(WATERSHED, [], OUTLINE).find(probability[np.newaxis], BLACK)
    assert (nuclei == watershed_nuclei(probability, WATERSHED)).all()
    assert nuclei.max() == 3


def test_in_an_empty_map_no_nuclei_are_found():
    nothing = np.zeros((2, 3, 9, 7), np.float32)
    finder = NucleusFinder(WATERSHED, [CandidateScorer(Oracle([]))], OUTLINE)
    assert not finder.find(nothing, np.zeros((9, 7, 3), np.uint8)).any()


def test_the_finder_follows_its_scorer():
    probability = soften(TOUCHING)
    tree = find_candidates(probability, min_seed_px=5)
    quality = np.zeros(tree.n_candidates)
    quality[tree.basins[60, 80] - 1] = 0.9
    finder = NucleusFinder(WATERSHED, [CandidateScorer(Oracle(quality))], OUTLINE)
    nuclei = finder.find(probability[np.newaxis], BLACK)
    assert nuclei.max() == 1
    assert score_image((TOUCHING == 3).astype(np.int32), nuclei).hits[0] == 1


class Merger:
    """A network that prefers unions."""

    def predict(self, patches, features):
        assert patches.shape == (len(features), PATCH_PX, PATCH_PX, len(PATCH_CHANNELS))
        return (features[:, FEATURES.index("n_basins")] > 1) * 1.0


@pytest.mark.parametrize("large_px", [tiled.LARGE_PX, 0], ids=["whole", "in tiles"])
def test_the_network_of_a_scorer_has_a_say(monkeypatch, large_px):
    monkeypatch.setattr(tiled, "LARGE_PX", large_px)
    probability = soften(TOUCHING)
    quality = np.full(find_candidates(probability, min_seed_px=5).n_candidates, 0.8)
    by_forest, by_both = (
        tiled.find_nuclei(
            NucleusFinder(WATERSHED, [CandidateScorer(Oracle(quality), network)], OUTLINE),
            probability[np.newaxis],
            BLACK,
        )
        for network in (None, Merger())
    )
    assert by_forest.max() == 3
    assert by_both.max() == 2
    assert by_both[30, 25] == by_both[30, 51] > 0


@pytest.mark.parametrize("threshold", [0.2, 0.3, 0.5])
def test_all_nuclei_end_where_the_rule_says(threshold):
    probability = soften(TOUCHING)
    tree = find_candidates(probability, min_seed_px=5, outline_threshold=threshold)
    scorer = CandidateScorer(Oracle(np.full(tree.n_candidates, 0.9)))
    rule = OutlineRule(dark=threshold, glowing=0.9)
    nuclei = NucleusFinder(WATERSHED, [scorer], rule).find(probability[np.newaxis], BLACK)
    assert ((nuclei > 0) == (refine_nuclei(tree.labels) > 0)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_each_scale_adds_the_nuclei_that_it_sees(dtype):
    left, right = soften(np.where(TOUCHING == 1, 1, 0)), soften(np.where(TOUCHING == 3, 3, 0))
    probability = np.stack([left, right]).astype(dtype)
    finder = NucleusFinder(WATERSHED, [CandidateScorer(Oracle([0.8]))], OUTLINE)
    nuclei = finder.find(probability, BLACK)
    assert nuclei.dtype == np.int32
    assert score_image(np.where(TOUCHING == 2, 0, TOUCHING), nuclei).hits[0] == 2
    only = NucleusFinder(WATERSHED, [], OUTLINE).find(probability, BLACK)
    assert (only == watershed_nuclei(probability.mean(0).astype(np.float32), WATERSHED)).all()
