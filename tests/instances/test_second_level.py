"""Candidates, their features and quality, the forest, and the choice among them."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.ensemble import HistGradientBoostingRegressor

from kaggle_dsb.competition.labels import relabel
from kaggle_dsb.competition.metric import THRESHOLDS_PERCENT, match, score_image
from kaggle_dsb.files import InputError
from kaggle_dsb.instances import candidates
from kaggle_dsb.instances import features as of_candidates
from kaggle_dsb.instances.candidates import LEVELS
from kaggle_dsb.instances.features import (
    FEATURES,
    OF_A_VERSION,
    OF_AN_OUTLINE,
)
from kaggle_dsb.instances.finder import NucleusFinder
from kaggle_dsb.instances.forest import Growth, grow_forest, save_forests
from kaggle_dsb.instances.outline import relative_grey
from kaggle_dsb.instances.outline_choice import FEATURES_OF_A_LEVEL, USUAL
from kaggle_dsb.instances.second_level import (
    NAMES,
    SecondLevel,
    describe,
    load_second_level,
    predict_quality,
    quality_of,
)
from kaggle_dsb.instances.selection import select_nuclei
from kaggle_dsb.instances.watershed import split_nuclei
from kaggle_dsb.network.targets import make_targets

SPLIT = {"body_threshold": 0.5, "seed_threshold": 0.6, "min_seed_px": 3, "min_area_px": 3}


def draw_discs(*discs):
    """Draw discs (row, column, radius) as labels of 80 x 100 pixels."""
    labels = np.zeros((80, 100), np.int32)
    rows, columns = np.indices(labels.shape)
    for label, (row, column, radius) in enumerate(discs, 1):
        labels[(np.hypot(rows - row, columns - column) <= radius) & (labels == 0)] = label
    return labels


TOUCHING = draw_discs((30, 25, 14), (30, 51, 14), (60, 80, 9))


def soften(labels, sigma=1.0):
    targets = make_targets(labels)
    return np.stack([ndimage.gaussian_filter(channel, sigma) for channel in targets])


def noise(seed, shape=(40, 50)):
    """Give smooth random probabilities with many hills."""
    rng = np.random.default_rng(seed)
    planes = [ndimage.gaussian_filter(rng.random(shape), 2) for _ in range(3)]
    return np.stack([(p - p.min()) / (p.max() - p.min()) for p in planes]).astype(np.float32)


def find_candidates(probability, grey=None, *, min_seed_px):
    """Find candidates; an image without contrast leaves the body to tell where they end."""
    flat = np.zeros(probability.shape[1:], np.float32)
    return candidates.find_candidates(
        probability.astype(np.float32), flat if grey is None else grey, min_seed_px=min_seed_px
    )


def describe_candidates(tree, probability, image, *, diameter_px):
    return of_candidates.describe_candidates(
        tree, probability, image, grey=relative_grey(image), diameter_px=diameter_px
    )


def members_of(tree, candidate):
    return set(tree.members[[candidate]].indices.tolist())


def region(tree, candidate, level):
    inside = np.isin(tree.version(level), [1 + b for b in members_of(tree, candidate)])
    return inside.astype(np.int32)


def test_touching_nuclei_are_candidates_each_alone_and_together():
    tree = find_candidates(soften(TOUCHING), min_seed_px=3)
    assert tree.n_basins == 3
    assert [members_of(tree, c) for c in range(tree.n_candidates)] == [{0}, {1}, {2}, {0, 1}]
    assert tree.parent().tolist() == [3, 3, -1, -1]
    assert tree.saddle[:3].tolist() == [1, 1, 1]
    assert 0 < tree.saddle[3] < 1


@given(st.integers(0, 10**6))
@settings(max_examples=25)
def test_children_are_disjoint_come_first_and_make_up_their_parent(seed):
    tree = find_candidates(noise(seed), min_seed_px=2)
    for candidate, (one, other) in enumerate(tree.children.tolist()):
        if one < 0:
            assert members_of(tree, candidate) == {candidate}
            continue
        assert max(one, other) < candidate
        assert not members_of(tree, one) & members_of(tree, other)
        assert members_of(tree, one) | members_of(tree, other) == members_of(tree, candidate)
        assert tree.saddle[candidate] <= min(tree.saddle[one], tree.saddle[other])
    assert set(np.unique(tree.basins)) - {0} == set(range(1, tree.n_basins + 1))


def test_an_empty_map_has_no_candidates_and_gives_no_nuclei():
    nothing = np.zeros((3, 9, 7), np.float32)
    tree = find_candidates(nothing, min_seed_px=3)
    assert (tree.n_basins, tree.n_candidates) == (0, 0)
    finder = NucleusFinder(SPLIT, [tiny_second_level()])
    assert not finder.find(nothing, np.zeros((9, 7, 3), np.uint8)).any()


def test_the_quality_of_a_candidate_is_its_share_of_thresholds():
    tree = find_candidates(noise(3), min_seed_px=2)
    truth = relabel(ndimage.label(noise(4)[0] > 0.55)[0].astype(np.int32))
    quality = quality_of(tree, truth)
    assert quality.shape == (len(LEVELS), tree.n_candidates)
    for version, level in enumerate(LEVELS):
        for candidate in range(tree.n_candidates):
            pairs = match(truth, region(tree, candidate, level))
            hits = [pairs.hits_at(t).any() for t in THRESHOLDS_PERCENT]
            assert quality[version, candidate] == np.mean(hits)


def test_the_best_choice_by_the_true_quality_is_no_worse_than_any_single_cut():
    probability = soften(TOUCHING, sigma=2)
    tree = find_candidates(probability, min_seed_px=3)
    quality = quality_of(tree, TOUCHING)
    for version, level in enumerate(LEVELS):
        chosen = select_nuclei(tree, quality, version=version, cost=0.3, min_area_px=3)
        assert chosen.max() == 3
        single = relabel(tree.version(level).astype(np.int32))
        assert score_image(TOUCHING, chosen).score >= score_image(TOUCHING, single).score


def test_a_union_is_taken_where_it_is_worth_more_than_its_parts():
    tree = find_candidates(soften(TOUCHING), min_seed_px=3)
    quality = np.zeros((len(LEVELS), tree.n_candidates))
    quality[1] = [0.5, 0.5, 0.9, 0.95]
    options = {"version": 1, "min_area_px": 3}
    assert select_nuclei(tree, quality, cost=0.0, **options).max() == 3
    merged = select_nuclei(tree, quality, cost=0.3, **options)
    assert merged.max() == 2
    expected = (tree.version(LEVELS[1]) > 0).sum()
    assert (merged > 0).sum() == expected


def test_what_is_worth_less_than_its_cost_is_dropped():
    tree = find_candidates(soften(TOUCHING), min_seed_px=3)
    quality = np.full((len(LEVELS), tree.n_candidates), 0.3)
    quality[1] = 0.1  # a candidate is worth what its best version is
    assert select_nuclei(tree, quality, version=1, cost=0.29, min_area_px=3).max() == 3
    assert not select_nuclei(tree, quality, version=1, cost=0.31, min_area_px=3).any()
    assert not select_nuclei(tree, quality, version=1, cost=0.0, min_area_px=5000).any()


def exhaustive(tree, worth, candidate):
    """Give the best sum of worths below a candidate, written naively."""
    one, other = tree.children[candidate]
    own = max(worth[candidate], 0)
    if one < 0:
        return own
    return max(own, exhaustive(tree, worth, one) + exhaustive(tree, worth, other))


@given(st.integers(0, 10**6), st.integers(0, len(LEVELS) - 1))
@settings(max_examples=20)
def test_the_choice_is_the_best_there_is(seed, version):
    tree = find_candidates(noise(seed), min_seed_px=2)
    quality = np.random.default_rng(seed).random((len(LEVELS), tree.n_candidates))
    areas = [region(tree, c, LEVELS[version]).sum() for c in range(tree.n_candidates)]
    quality[:, np.array(areas) == 0] = 0  # what has no pixel hits nothing
    worth = quality.max(axis=0) - 0.4
    regions = [region(tree, c, LEVELS[version]).tobytes() for c in range(tree.n_candidates)]
    assume(len(set(regions)) == len(regions))  # else a region does not tell its candidate
    chosen = select_nuclei(tree, quality, version=version, cost=0.4, min_area_px=0)
    picked = [
        regions.index((chosen == label).astype(np.int32).tobytes())
        for label in range(1, chosen.max() + 1)
    ]
    best = sum(exhaustive(tree, worth, root) for root in np.flatnonzero(tree.parent() < 0))
    assert sum(worth[picked]) == pytest.approx(best)


def test_shape_features_are_those_of_the_shape():
    labels = draw_discs((40, 50, 20))
    probability = make_targets(labels)
    tree = find_candidates(probability, min_seed_px=3)
    grey = np.repeat((labels > 0)[..., None] * np.uint8(200), 3, 2)
    features = describe_candidates(tree, probability, grey, diameter_px=40.0)
    assert features.shape == (len(LEVELS), 1, len(FEATURES))
    disc = dict(zip(FEATURES, features[USUAL, 0].tolist(), strict=True))
    assert disc["area_px"] == (labels > 0).sum()
    assert disc["relative_area"] == pytest.approx(1, rel=0.02)
    assert disc["ellipse_fit"] == pytest.approx(1, rel=0.01)
    assert disc["elongation"] == pytest.approx(1, rel=0.01)
    assert disc["mean_body"] == 1
    assert disc["mean_grey"] == 1
    assert disc["edge_share"] == 0
    assert disc["peak"] == 1
    assert disc["saddle_outside"] == 0
    assert disc["level"] == pytest.approx(LEVELS[USUAL])


def test_a_long_nucleus_is_elongated_and_a_dumbbell_fills_no_ellipse():
    bar = np.zeros((40, 80), np.int32)
    bar[18:22, 10:70] = 1
    two = draw_discs((30, 25, 12), (30, 60, 12))
    two[
        (two == 0)
        & (np.abs(np.indices(two.shape)[0] - 30) <= 1)
        & (np.indices(two.shape)[1] > 25)
        & (np.indices(two.shape)[1] < 60)
    ] = 1
    seen = {}
    for name, labels in (("bar", bar), ("dumbbell", (two > 0).astype(np.int32))):
        probability = make_targets(labels)
        tree = find_candidates(probability, min_seed_px=3)
        image = np.zeros((*labels.shape, 3), np.uint8)
        features = describe_candidates(tree, probability, image, diameter_px=20.0)
        whole = features[USUAL, -1]
        seen[name] = dict(zip(FEATURES, whole.tolist(), strict=True))
    assert seen["bar"]["elongation"] == pytest.approx(4 / 60, rel=0.05)
    assert seen["dumbbell"]["ellipse_fit"] < 0.8 < seen["bar"]["ellipse_fit"]


def test_outline_features_tell_whether_an_outline_lies_where_the_grey_level_falls():
    bright = draw_discs((40, 50, 20)) > 0
    image = np.repeat(bright[..., None] * np.uint8(200), 3, 2)
    seen = {}
    for radius in (16, 20, 26):
        probability = make_targets(draw_discs((40, 50, radius)))
        tree = find_candidates(probability, min_seed_px=3)
        features = describe_candidates(tree, probability, image, diameter_px=40.0)
        seen[radius] = dict(zip(FEATURES, features[USUAL, 0].tolist(), strict=True))
    assert seen[16]["rim_grey"] > 0.99 > seen[20]["rim_grey"] > 0.01 > seen[26]["rim_grey"]
    assert seen[16]["ring_grey"] > 0.9
    assert 0.5 > seen[20]["ring_grey"] > seen[26]["ring_grey"]
    assert seen[20]["rim_gradient"] > 10 * max(seen[r]["rim_gradient"] for r in (16, 26))
    assert 0.5 < seen[20]["outline_level"] < 1
    assert abs(seen[26]["outline_level"]) < 0.01
    assert seen[20]["relative_rim_gradient"] == 1
    assert seen[20]["ring_body"] == 0
    assert seen[20]["image_rim_gradient"] == seen[20]["rim_gradient"]


def test_the_features_of_a_union_are_those_of_its_region_alone():
    tree = find_candidates(soften(TOUCHING), min_seed_px=3)
    image = np.random.default_rng(0).integers(0, 255, (80, 100, 3)).astype(np.uint8)
    features = describe_candidates(tree, soften(TOUCHING), image, diameter_px=25.0)
    joined = np.where(np.isin(tree.basins, [1, 2]), 1, 0).astype(np.int32)
    alone = type(tree)(
        joined,
        tree.membership,
        np.array([[-1, -1]]),
        np.ones(1),
        type(tree.members)(np.ones((1, 1))),
    )
    expected = describe_candidates(alone, soften(TOUCHING), image, diameter_px=25.0)
    n = len(OF_A_VERSION + OF_AN_OUTLINE)
    assert features[:, 3, :n] == pytest.approx(expected[:, 0, :n], rel=1e-5)


GROWTH = Growth(trees=40, rate=0.1, leaves=8, feature_share=1.0)


def grow(rows, values):
    return grow_forest(rows, values, weights=np.ones(len(rows)), growth=GROWTH, seed=0)


def tiny_second_level():
    rng = np.random.default_rng(0)
    made = []
    for names in (FEATURES, FEATURES_OF_A_LEVEL):
        rows = rng.random((200, len(names)), np.float32)
        made.append(grow(rows, rows[:, 6].astype(np.float64)))
    return SecondLevel(*made)


def test_a_forest_predicts_what_scikit_learn_does(monkeypatch):
    fitted = []
    fit = HistGradientBoostingRegressor.fit
    monkeypatch.setattr(
        HistGradientBoostingRegressor,
        "fit",
        lambda model, *rows, **weights: fitted.append(model) or fit(model, *rows, **weights),
    )
    rng = np.random.default_rng(1)
    rows = rng.random((500, 4), np.float32)
    values = (np.sin(5 * rows[:, 0]) + rows[:, 1]).astype(np.float64)
    forest = grow(rows, values)
    other = rng.random((300, 4), np.float32)
    assert forest.predict(other) == pytest.approx(fitted[0].predict(other), abs=1e-5)
    assert np.std(forest.predict(other)) > 0.1


def test_a_second_level_comes_back_from_its_file(tmp_path):
    kept = tiny_second_level()
    path = tmp_path / "second_level0.safetensors"
    kept.save(path)
    loaded = load_second_level(path)
    for key, names in NAMES.items():
        rows = np.random.default_rng(2).random((50, len(names)), np.float32)
        expected = getattr(kept, key).predict(rows)
        assert (getattr(loaded, key).predict(rows) == expected).all()
        assert np.std(expected) > 0


@pytest.mark.parametrize("key", ["quality", "outline"])
def test_a_second_level_of_other_features_is_refused(tmp_path, key):
    path = tmp_path / "second_level0.safetensors"
    save_forests(path, vars(tiny_second_level()), names=NAMES | {key: NAMES[key][1:]})
    with pytest.raises(InputError) as error:
        load_second_level(path)
    assert str(error.value) == (
        f"{path}: was trained on other features of candidates than this version describes; "
        "make it again with `kaggle-dsb tune`"
    )


def test_a_second_level_of_one_forest_is_refused(tmp_path):
    path = tmp_path / "second_level0.safetensors"
    save_forests(path, {"quality": tiny_second_level().quality}, names=NAMES)
    with pytest.raises(InputError, match="was trained on other features of candidates"):
        load_second_level(path)


@pytest.mark.parametrize("content", [b"", b"no forest"])
def test_a_damaged_forest_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "second_level0.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_second_level(path)
    assert str(error.value).startswith(f"{path}: is no readable forest (")
    assert str(error.value).endswith("make it again with `kaggle-dsb tune`")
    assert "\n" not in str(error.value)


class Oracle:
    """A forest that knows the quality."""

    def __init__(self, quality):
        self.quality = quality

    def predict(self, features):
        return self.quality.ravel()


def test_the_finder_takes_the_plain_split_where_there_is_no_second_level():
    probability, image = soften(TOUCHING), np.zeros((80, 100, 3), np.uint8)
    found = NucleusFinder(SPLIT).find(probability, image)
    assert (found == split_nuclei(probability, **SPLIT)).all()


def test_the_finder_follows_its_second_level():
    probability, image = soften(TOUCHING), np.zeros((80, 100, 3), np.uint8)
    tree = find_candidates(probability, min_seed_px=5)
    only_the_third = np.zeros((len(LEVELS), tree.n_candidates))
    only_the_third[:, 2] = 0.9
    usual = Oracle(np.full(len(LEVELS), -1.0))
    found = NucleusFinder(SPLIT, [SecondLevel(Oracle(only_the_third), usual)]).find(
        probability, image
    )
    assert found.max() == 1
    assert score_image((TOUCHING == 3).astype(np.int32), found).hits[0] == 1


@pytest.mark.parametrize("version", range(len(LEVELS)))
def test_all_nuclei_end_at_the_level_that_the_second_level_chooses(version):
    probability, image = soften(TOUCHING), np.zeros((80, 100, 3), np.uint8)
    tree = find_candidates(probability, min_seed_px=5)
    each_basin = np.zeros((len(LEVELS), tree.n_candidates))
    each_basin[:, : tree.n_basins] = 0.9
    gain = np.full(len(LEVELS), -1.0)
    gain[version] = 1.0
    second_level = SecondLevel(Oracle(each_basin), Oracle(gain))
    found = NucleusFinder(SPLIT, [second_level]).find(probability, image)
    assert ((found > 0) == (tree.version(LEVELS[version]) > 0)).all()


def test_several_forests_are_averaged():
    probability, image = soften(TOUCHING), np.zeros((80, 100, 3), np.uint8)
    _, features = describe(probability, image, TOUCHING)
    shape = features.shape[:-1]
    forests = [Oracle(np.full(shape, 0.2)), Oracle(np.full(shape, 0.6))]
    assert predict_quality(forests, features) == pytest.approx(np.full(shape, 0.4))
