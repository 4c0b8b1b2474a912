import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from kaggle_dsb.competition.labels import relabel
from kaggle_dsb.competition.metric import THRESHOLDS_PERCENT, match
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.features import FEATURES
from kaggle_dsb.instances.scorer import CandidateScorer, load_scorer, predict_quality
from kaggle_dsb.instances.scorer_training import candidate_quality, train_scorer
from kaggle_dsb.workspace.run import BUNDLED
from tests.instances.drawn import find_candidates, noise, region


class Oracle:
    """A forest that knows the quality."""

    def __init__(self, quality):
        self.quality = np.asarray(quality)

    def predict(self, features):
        return self.quality


def test_the_quality_of_a_candidate_is_its_share_of_thresholds():
    tree = find_candidates(noise(3), min_seed_px=2)
    truth = relabel(ndimage.label(noise(4)[0] > 0.55)[0].astype(np.int32))
    quality = candidate_quality(tree, truth)
    assert quality.shape == (tree.n_candidates,)
    assert quality.max() > 0
    for candidate in range(tree.n_candidates):
        pairs = match(truth, region(tree, candidate))
        hits = [pairs.hits_at(t).any() for t in THRESHOLDS_PERCENT]
        assert quality[candidate] == np.mean(hits)


def test_the_memory_for_the_quality_does_not_grow_with_candidates_times_nuclei():
    tree = find_candidates(noise(3, (500, 500)), min_seed_px=2)
    truth = relabel(ndimage.label(noise(4, (500, 500))[0] > 0.55)[0].astype(np.int32))
    assert tree.n_candidates * truth.max() > 10**5
    tracemalloc.start()
    candidate_quality(tree, truth)
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < 20 * truth.size


def test_several_scorers_are_averaged():
    scorers = [CandidateScorer(Oracle([0.2, 0.4])), CandidateScorer(Oracle([0.6, 0.5]))]
    features = np.zeros((2, len(FEATURES)), np.float32)
    assert predict_quality(scorers, features) == pytest.approx([0.4, 0.45])


def rows(n, seed):
    return np.random.default_rng(seed).random((n, len(FEATURES)), np.float32)


def test_an_image_counts_by_its_weight_and_not_by_its_candidates():
    """Two images contradict each other everywhere: the mean tells how much each counts."""
    few, many = rows(50, 0) * 0, rows(150, 1) * 0  # features that tell nothing
    for weights, expected in (([1.0, 1.0], 0.5), ([3.0, 1.0], 0.75)):
        scorer = train_scorer([few, many], [np.ones(50), np.zeros(150)], weights=weights, seed=0)
        assert scorer.forest.predict(few[:1])[0] == pytest.approx(expected, abs=1e-5)


def test_without_any_candidate_there_is_nothing_to_learn():
    with pytest.raises(InputError) as error:
        train_scorer([rows(0, 0)], [np.zeros(0)], weights=[1.0], seed=0)
    assert str(error.value) == "the networks find no candidate nuclei: train them longer"


def test_a_scorer_comes_back_from_its_file(tmp_path):
    features = rows(200, 0)
    scorer = train_scorer([features], [features[:, 6].astype(np.float64)], weights=[1.0], seed=0)
    path = tmp_path / "scorer0.safetensors"
    scorer.save(path)
    expected = scorer.forest.predict(rows(50, 2))
    assert (load_scorer(path).forest.predict(rows(50, 2)) == expected).all()
    assert np.std(expected) > 0


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("scorer*")), ids=lambda path: path.name)
def test_a_bundled_scorer_fits_the_features_of_this_version(path):
    assert np.isfinite(load_scorer(path).forest.predict(rows(5, 0))).all()
