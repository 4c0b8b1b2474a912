import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaggle_dsb.instances.features import FEATURES
from tests.instances.drawn import (
    BLACK,
    TOUCHING,
    describe,
    draw_discs,
    find_candidates,
    make_targets,
    noise,
    region,
    soften,
)

OF_THE_TREE = {"saddle", "saddle_outside", "n_basins"}
AROUND = ("rim_", "ring_", "relative_rim", "outline", "redness", "greenness")


def test_shape_features_are_those_of_the_shape():
    labels = draw_discs((40, 50, 20))
    probability = make_targets(labels)
    tree = find_candidates(probability, min_seed_px=3)
    grey = np.repeat((labels > 0)[..., None] * np.uint8(200), 3, 2)
    disc = {name: of[0] for name, of in describe(tree, probability, grey, diameter_px=40.0).items()}
    assert disc["relative_area"] == pytest.approx(1, rel=0.02)
    assert disc["ellipse_fit"] == pytest.approx(1, rel=0.01)
    assert disc["elongation"] == pytest.approx(1, rel=0.01)
    assert disc["mean_body"] == 1
    assert disc["edge_share"] == 0
    assert disc["peak"] == 1
    assert disc["saddle_outside"] == 0


def test_a_long_nucleus_is_elongated_and_a_dumbbell_fills_no_ellipse():
    bar = np.zeros((80, 100), np.int32)
    bar[18:22, 10:70] = 1
    two = draw_discs((30, 25, 12), (30, 60, 12))
    two[29:32, 26:60] = 1
    seen = {}
    for name, labels in (("bar", bar), ("dumbbell", (two > 0).astype(np.int32))):
        probability = make_targets(labels)
        tree = find_candidates(probability, min_seed_px=3)
        whole = describe(tree, probability, BLACK, diameter_px=20.0)
        seen[name] = {key: values[-1] for key, values in whole.items()}
    assert seen["bar"]["elongation"] == pytest.approx(4 / 60, rel=0.05)
    assert seen["dumbbell"]["ellipse_fit"] < 0.8 < seen["bar"]["ellipse_fit"]


def test_outline_features_tell_whether_an_outline_lies_where_the_grey_level_falls():
    bright = draw_discs((40, 50, 20)) > 0
    image = np.repeat(bright[..., None] * np.uint8(200), 3, 2)
    seen = {}
    for radius in (16, 20, 26):
        probability = make_targets(draw_discs((40, 50, radius)))
        # Without contrast to go by, the outline is that of the body.
        tree = find_candidates(probability, min_seed_px=3)
        table = describe(tree, probability, image, diameter_px=40.0)
        seen[radius] = {name: float(values[0]) for name, values in table.items()}
    rim = {radius: table["relative_rim_grey"] for radius, table in seen.items()}
    assert rim[16] > 0.99 > rim[20] > 0.01 > rim[26]
    assert 0.5 < seen[20]["outline_level"] < 1
    assert abs(seen[26]["outline_level"]) < 0.01
    assert seen[20]["ring_body"] == 0


def test_a_red_body_among_blue_nuclei_differs_by_its_colour():
    labels = draw_discs((20, 20, 10), (20, 60, 10), (60, 20, 10), (60, 60, 10))
    colours = np.array([[230, 200, 225], *[[90, 60, 160]] * 3, [200, 60, 60]], np.uint8)
    probability = soften(labels)
    tree = find_candidates(probability, min_seed_px=3)
    table = describe(tree, probability, colours[labels], diameter_px=20.0)
    red = tree.labels[60, 60] - 1
    assert tree.n_basins == 4
    blue = [basin for basin in range(4) if basin != red]
    for name, difference in (("redness", 0.3), ("redness_step", 0.5)):
        assert table[name][red] - table[name][blue].max() > difference


def test_a_grey_image_has_no_colour():
    tree = find_candidates(soften(TOUCHING), min_seed_px=3)
    grey = np.repeat(np.random.default_rng(0).integers(0, 255, (80, 100, 1), np.uint8), 3, 2)
    table = describe(tree, soften(TOUCHING), grey, diameter_px=25.0)
    for name in ("redness", "redness_step", "greenness", "greenness_step"):
        assert np.abs(table[name]).max() < 1e-6


@given(st.integers(0, 10**6))
@settings(max_examples=15)
def test_the_features_of_a_union_are_those_of_its_region_alone(seed):
    probability = noise(seed)
    image = np.random.default_rng(seed).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    tree = find_candidates(probability, min_seed_px=2)
    together = describe(tree, probability, image, diameter_px=25.0)
    for candidate in range(tree.n_basins, tree.n_candidates):
        own = np.isin(tree.basins, range(tree.first[candidate], tree.last[candidate] + 1))
        alone = type(tree)(
            own.astype(np.int32),
            tree.membership,
            region(tree, candidate),
            np.array([1]),
            np.array([1]),
            np.array([[-1, -1]]),
            np.ones(1),
        )
        expected = describe(alone, probability, image, diameter_px=25.0)
        for name in FEATURES:
            # The rim of a region knows its neighbours, and its ring leaves them out.
            if name in OF_THE_TREE or name.startswith(AROUND):
                continue
            assert together[name][candidate] == pytest.approx(
                expected[name][0], rel=1e-4, abs=1e-5
            ), name


def count_edges(inside):
    """Count the pixel edges around a mask, one by one."""
    n = 0
    for a, b in ((inside[:-1], inside[1:]), (inside[:, :-1], inside[:, 1:])):
        n += int((a != b).sum())
    return n


@given(st.integers(0, 10**6))
@settings(max_examples=25)
def test_the_perimeter_of_a_union_leaves_out_its_inner_borders(seed):
    probability = noise(seed)
    tree = find_candidates(probability, min_seed_px=2)
    table = describe(tree, probability, np.zeros((40, 50, 3), np.uint8), diameter_px=25.0)
    for candidate in range(tree.n_candidates):
        inside = region(tree, candidate) > 0
        roundness = 4 * np.pi * max(inside.sum(), 1) / max(count_edges(inside), 1) ** 2
        assert table["roundness"][candidate] == pytest.approx(roundness, rel=1e-5)


def test_the_outline_features_of_a_union_are_those_of_its_region_where_nothing_else_is_near():
    tree = find_candidates(soften(TOUCHING), min_seed_px=3)
    image = np.random.default_rng(0).integers(0, 255, (80, 100, 3)).astype(np.uint8)
    together = describe(tree, soften(TOUCHING), image, diameter_px=25.0)
    joined = region(tree, 3)
    alone = type(tree)(
        np.where(np.isin(tree.basins, range(tree.first[3], tree.last[3] + 1)), 1, 0).astype(
            np.int32
        ),
        tree.membership,
        joined,
        np.array([1]),
        np.array([1]),
        np.array([[-1, -1]]),
        np.ones(1),
    )
    expected = describe(alone, soften(TOUCHING), image, diameter_px=25.0)
    for name in FEATURES:
        if name.startswith(("rim_", "ring_", "relative_rim", "outline")):
            assert together[name][3] == pytest.approx(expected[name][0], rel=1e-5), name
