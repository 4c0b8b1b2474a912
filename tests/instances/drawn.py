"""Nuclei that are drawn, and the probabilities that a network could give of them."""

from functools import partial

import numpy as np
from scipy import ndimage

from kaggle_dsb.instances import candidates, features
from kaggle_dsb.instances.colours import find_colours
from kaggle_dsb.instances.outline_rule import OutlineRule
from kaggle_dsb.instances.watershed import WatershedParameters
from kaggle_dsb.training import targets

make_targets = partial(targets.make_targets, border_share=0.1)

WATERSHED = WatershedParameters(
    body_threshold=0.5, seed_threshold=0.6, min_seed_px=3, min_area_px=3
)
OUTLINE = OutlineRule(dark=0.45, glowing=0.2)
BLACK = np.zeros((80, 100, 3), np.uint8)


def draw_discs(*discs):
    """Draw discs (row, column, radius) as labels of 80 x 100 pixels."""
    labels = np.zeros((80, 100), np.int32)
    rows, columns = np.indices(labels.shape)
    for label, (row, column, radius) in enumerate(discs, 1):
        labels[(np.hypot(rows - row, columns - column) <= radius) & (labels == 0)] = label
    return labels


TOUCHING = draw_discs((30, 25, 14), (30, 51, 14), (60, 80, 9))


def soften(labels, sigma=1.0):
    return np.stack([ndimage.gaussian_filter(channel, sigma) for channel in make_targets(labels)])


def noise(seed, shape=(40, 50)):
    """Return smooth random probabilities with many hills."""
    rng = np.random.default_rng(seed)
    planes = [ndimage.gaussian_filter(rng.random(shape), 2) for _ in range(3)]
    return np.stack([(p - p.min()) / (p.max() - p.min()) for p in planes]).astype(np.float32)


def find_candidates(probability, *, min_seed_px, outline_threshold=0.3):
    """Find candidates in an image without contrast: the body alone tells where they end."""
    return candidates.find_candidates(
        probability.astype(np.float32),
        np.zeros(probability.shape[1:], np.float32),
        min_seed_px=min_seed_px,
        outline_threshold=outline_threshold,
    )


def describe(tree, probability, image, *, diameter_px):
    """Return each candidate's features by name."""
    colours = find_colours(image)
    table = features.describe_candidates(tree, probability, colours, diameter_px=diameter_px)
    assert table.shape == (tree.n_candidates, len(features.FEATURES))
    return dict(zip(features.FEATURES, table.T, strict=True))


def basins_of(tree, candidate):
    return set(range(tree.first[candidate], tree.last[candidate] + 1))


def region(tree, candidate):
    return np.isin(tree.labels, list(basins_of(tree, candidate))).astype(np.int32)
