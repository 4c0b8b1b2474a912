import numpy as np
import pytest
import torch

from kaggle_dsb.instances.features import FEATURES
from kaggle_dsb.instances.forest import Forest
from kaggle_dsb.instances.patch_network import (
    PATCHES_AT_ONCE,
    PatchNetwork,
    normalise_patches,
    standardise,
)
from kaggle_dsb.instances.patches import PATCH_CHANNELS, PATCH_PX
from kaggle_dsb.instances.scorer import CandidateScorer
from kaggle_dsb.instances.tuning import Described
from kaggle_dsb.training.patch_networks import _Network, _to_arrays, add_networks
from kaggle_dsb.training.patch_networks import train_patch_network as train


def ignore(done, total):
    """Show no progress."""


def draw(n, seed):
    """Draw random patches and features of n candidates."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (n, PATCH_PX, PATCH_PX, len(PATCH_CHANNELS)), dtype=np.uint8)
    return patches, rng.normal(1, 2, (n, len(FEATURES))).astype(np.float32)


@pytest.fixture(scope="module")
def in_torch():
    """Return a network with random weights and random statistics."""
    torch.manual_seed(0)
    network = _Network().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(module.weight, 1, 0.3)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    return network


@pytest.fixture(scope="module")
def network(in_torch):
    centre, scale = np.ones(len(FEATURES), np.float32), np.full(len(FEATURES), 2, np.float32)
    return _to_arrays(in_torch, centre, scale)


def test_numpy_computes_what_torch_does(in_torch, network):
    patches, features = draw(PATCHES_AT_ONCE + 7, 0)
    with torch.inference_mode():
        expected = in_torch(
            torch.from_numpy(normalise_patches(patches)).permute(0, 3, 1, 2),
            torch.from_numpy(standardise(features, network.centre, network.scale)),
        ).numpy()
    assert np.std(expected) > 0.01
    np.testing.assert_allclose(network.predict(patches, features), expected, atol=1e-5)


def test_without_candidates_there_are_no_predictions(network):
    assert network.predict(*draw(0, 0)).shape == (0,)


def test_a_network_comes_back_from_its_tensors(network):
    again = PatchNetwork.from_tensors(network.tensors(prefix="a."), prefix="a.")
    assert (again.predict(*draw(5, 1)) == network.predict(*draw(5, 1))).all()


def test_a_network_without_one_of_its_arrays_is_refused(network):
    tensors = network.tensors(prefix="a.")
    for name in tensors:
        with pytest.raises(KeyError, match=name):
            PatchNetwork.from_tensors({k: v for k, v in tensors.items() if k != name}, prefix="a.")


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("centre", lambda a: a[:5], r"a\.centre is float32 \(5,\), not float32 \(29,\)"),
        ("convolution0.weight", lambda a: a.T, r"a\.convolution0\.weight is float32 \(16, 72\)"),
        ("convolution2.bias", lambda a: a[1:], r"a\.convolution2\.weight is float32"),
        ("output.weight", lambda a: np.repeat(a, 3, 1), r"a\.output\.weight is float32 \(96, 3\)"),
        ("hidden.bias", lambda a: a.astype(np.float64), r"a\.hidden\.bias is float64"),
        ("output.bias", lambda a: a * np.nan, r"a\.output\.bias has values that are not finite"),
        ("scale", lambda a: a * 0, r"a\.scale must be positive"),
    ],
)
def test_a_network_of_other_arrays_is_refused(network, name, spoil, message):
    tensors = network.tensors(prefix="a.")
    tensors[f"a.{name}"] = spoil(tensors[f"a.{name}"])
    with pytest.raises(ValueError, match=message):
        PatchNetwork.from_tensors(tensors, prefix="a.")


def describe_marks(n_images, n, seed):
    """Describe candidates whose mask, a half of the patch or all of it, tells the quality."""
    described = []
    for number in range(n_images):
        patches, features = draw(n, (seed, number))
        is_good = np.random.default_rng((seed, number, 1)).random(n) < 0.5
        patches[..., PATCH_CHANNELS.index("mask")] = 255
        patches[~is_good, : PATCH_PX // 2, :, PATCH_CHANNELS.index("mask")] = 0
        described.append(Described(features, patches, is_good * 0.8 + 0.1))
    return described


def test_a_network_learns_what_only_the_pixels_tell():
    seen = []
    learned = train(
        describe_marks(4, 400, 0),
        weights=[1.0] * 4,
        seed=0,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(step, len(seen)) for step in range(1, len(seen) + 1)]
    of_image = describe_marks(1, 200, 1)[0]
    predicted = learned.predict(of_image.patches, of_image.features)
    assert np.corrcoef(predicted, of_image.quality)[0, 1] > 0.8


def test_the_same_seed_gives_the_same_network():
    described = describe_marks(2, 100, 0)
    of_seed = {
        n: train(described, weights=[1.0, 2.0], seed=seed, progress=ignore)
        for n, seed in enumerate((1, 1, 2))
    }
    first, again, other = (each.predict(*draw(9, 3)) for each in of_seed.values())
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("n", [1, 20, 140, 200])
def test_few_candidates_are_enough_to_train_on(n):
    learned = train(describe_marks(1, n, 0), weights=[1.0], seed=0, progress=ignore)
    assert np.isfinite(learned.predict(*draw(3, 0))).all()


def test_an_image_without_weight_teaches_nothing():
    described = describe_marks(2, 100, 0)
    spoilt = described[1]._replace(quality=1 - described[1].quality)
    alone, beside = (
        train([described[0], other], weights=[1.0, 0.0], seed=1, progress=ignore)
        for other in (described[1], spoilt)
    )
    assert (alone.predict(*draw(9, 3)) == beside.predict(*draw(9, 3))).all()


def constant(value):
    """Return a forest that predicts the same quality of every candidate."""
    leaf = np.zeros(1, np.int32)
    return Forest(
        np.full(1, -1, np.int16), np.zeros(1), leaf, leaf, np.float32([value]), leaf, leaf * 0.0
    )


def test_networks_are_kept_if_they_predict_held_out_images_better():
    folds, described = [0, 0, 1, 1, 1], describe_marks(4, 300, 0)
    described.append(Described(*(part[:0] for part in described[0])))
    scorers = {fold: CandidateScorer(constant(0.5)) for fold in (0, 1)}
    seen = []
    options = {
        "weights": [1.0] * 5,
        "seed": 0,
        "progress": lambda done, total: seen.append((done, total)),
    }
    kept = add_networks(scorers, folds, described, **options)
    assert seen == [(step, len(seen)) for step in range(1, len(seen) + 1)]
    assert [scorer.network is not None for scorer in kept.values()] == [True, True]
    assert kept[0].forest is scorers[0].forest
    # The network that scores a fold was trained on the opposite qualities, so it does worse.
    opposite = [
        of._replace(quality=1 - of.quality) if fold else of
        for fold, of in zip(folds, described, strict=True)
    ]
    assert add_networks(scorers, folds, opposite, **options) == scorers
