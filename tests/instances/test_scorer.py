import tracemalloc

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy import ndimage

from kaggle_dsb.competition.labels import relabel
from kaggle_dsb.competition.metric import THRESHOLDS_PERCENT, match
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.features import FEATURES
from kaggle_dsb.instances.patches import PATCH_CHANNELS, PATCH_PX
from kaggle_dsb.instances.scorer import (
    LEAST_QUALITY,
    CandidateScorer,
    load_scorer,
    predict_quality,
)
from kaggle_dsb.instances.scorer_training import candidate_quality, train_scorer
from kaggle_dsb.instances.tuning import Described
from kaggle_dsb.training.patch_networks import train_patch_network
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


def refuse(candidates):
    pytest.fail("no network needs patches")


class Seer:
    """A network that knows the quality, which is the first pixel of the patch."""

    def predict(self, patches, features):
        assert len(patches) == len(features)
        return patches[:, 0, 0, 0] / 100


def test_the_quality_is_the_mean_of_forests_and_networks():
    scorers = [CandidateScorer(Oracle([0.2, 0.4]), Seer()), CandidateScorer(Oracle([0.6, 0.5]))]
    patches = np.full((2, 1, 1, 1), 90, np.uint8)
    features = np.zeros((2, len(FEATURES)), np.float32)
    quality = predict_quality(scorers, features, patches.__getitem__)
    assert quality == pytest.approx([(0.55 + 0.6) / 2, (0.65 + 0.5) / 2])


def test_networks_see_no_candidate_that_the_forests_rule_out():
    features = np.zeros((3, len(FEATURES)), np.float32)
    scorers = [CandidateScorer(Oracle([0.5, LEAST_QUALITY / 2, LEAST_QUALITY]), Seer())]

    def cut(candidates):
        assert candidates.tolist() == [0, 2]
        return np.full((2, 1, 1, 1), 30, np.uint8)

    expected = [0.4, LEAST_QUALITY / 2, (LEAST_QUALITY + 0.3) / 2]
    assert predict_quality(scorers, features, cut) == pytest.approx(expected)
    hopeless = [CandidateScorer(Oracle([0.0, 0.01, 0.02]), Seer())]
    assert predict_quality(hopeless, features, refuse) == pytest.approx([0, 0.01, 0.02])


def test_several_scorers_are_averaged():
    scorers = [CandidateScorer(Oracle([0.2, 0.4])), CandidateScorer(Oracle([0.6, 0.5]))]
    features = np.zeros((2, len(FEATURES)), np.float32)
    assert predict_quality(scorers, features, refuse) == pytest.approx([0.4, 0.45])


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


def save(path, *, metadata=None, without=()):
    """Save a scorer with a network, but for some arrays of the file."""
    features = rows(200, 0)
    patches = np.zeros((200, PATCH_PX, PATCH_PX, len(PATCH_CHANNELS)), np.uint8)
    quality = features[:, 6].astype(np.float64)
    of_image = Described(features, patches, quality)
    network = train_patch_network([of_image], weights=[1.0], seed=0, progress=lambda *_: None)
    forest = train_scorer([features], [quality], weights=[1.0], seed=0).forest
    scorer = CandidateScorer(forest, network)
    scorer.save(path)
    with safe_open(path, "numpy") as file:
        kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        tensors = {name: array for name, array in kept.items() if name not in without}
        save_file(tensors, path, file.metadata() if metadata is None else metadata)
    return scorer


def test_a_scorer_comes_back_from_its_file(tmp_path):
    path = tmp_path / "scorer0.safetensors"
    scorer = save(path)
    patches = np.random.default_rng(1).integers(0, 256, (50, PATCH_PX, PATCH_PX, 8), np.uint8)
    loaded = load_scorer(path)
    for part, again, inputs in (
        (scorer.forest, loaded.forest, [rows(50, 2)]),
        (scorer.network, loaded.network, [patches, rows(50, 2)]),
    ):
        expected = part.predict(*inputs)
        assert np.std(expected) > 0
        assert (again.predict(*inputs) == expected).all()


def test_a_scorer_without_a_network_is_its_forest(tmp_path):
    """As earlier versions wrote them."""
    path = tmp_path / "scorer0.safetensors"
    scorer = train_scorer([rows(200, 0)], [np.linspace(0, 1, 200)], weights=[1.0], seed=0)
    scorer.save(path)
    loaded = load_scorer(path)
    assert loaded.network is None
    assert (loaded.forest.predict(rows(50, 2)) == scorer.forest.predict(rows(50, 2))).all()


@pytest.mark.parametrize("names", [FEATURES[1:], FEATURES[::-1]])
def test_a_scorer_of_other_features_is_refused(tmp_path, names):
    path = tmp_path / "scorer0.safetensors"
    save(path, metadata={"quality": " ".join(names)})
    with pytest.raises(InputError) as error:
        load_scorer(path)
    assert str(error.value) == (
        f"{path}: was trained on other candidate features than this version computes; train it "
        "again with `kaggle-dsb tune`"
    )


@pytest.mark.parametrize("array", ["quality.value", "network.output.bias"])
def test_a_scorer_without_one_of_its_arrays_is_refused(tmp_path, array):
    path = tmp_path / "scorer0.safetensors"
    save(path, without=[array])
    with pytest.raises(InputError) as error:
        load_scorer(path)
    assert str(error.value) == (
        f"{path}: cannot be read as a candidate scorer (lacks the array '{array}'); train it again "
        "with `kaggle-dsb tune`"
    )


@pytest.mark.parametrize("content", [b"", b"no scorer"])
def test_a_damaged_scorer_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "scorer0.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_scorer(path)
    assert str(error.value).startswith(f"{path}: cannot be read as a candidate scorer (")
    assert str(error.value).endswith("); train it again with `kaggle-dsb tune`")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("scorer*")), ids=lambda path: path.name)
def test_a_bundled_scorer_fits_the_features_and_patches_of_this_version(path):
    patches = np.zeros((5, PATCH_PX, PATCH_PX, len(PATCH_CHANNELS)), np.uint8)
    scorer = load_scorer(path)
    assert np.isfinite(scorer.forest.predict(rows(5, 0))).all()
    assert np.isfinite(scorer.network.predict(patches, rows(5, 0))).all()
