import numpy as np
import pytest

from kaggle_dsb.instances.candidates import LEVELS
from kaggle_dsb.instances.features import FEATURES
from kaggle_dsb.instances.outline_choice import (
    FEATURES_OF_A_LEVEL,
    USUAL,
    choose_level,
    describe_levels,
)

SHAPE = (len(LEVELS), 5)


class Oracle:
    """A forest that knows the gain."""

    def __init__(self, *gain):
        self.gain = np.array(gain)

    def predict(self, rows):
        return self.gain


def named(rows, name):
    return rows[:, FEATURES_OF_A_LEVEL.index(name)]


def test_levels_are_described_by_the_mean_of_the_worthy_candidates_and_against_the_usual():
    rng = np.random.default_rng(0)
    features = rng.random((*SHAPE, len(FEATURES))).astype(np.float32)
    quality = np.full(SHAPE, 0.1)
    quality[0, 1], quality[2, 3] = 0.5, 0.75  # the others are below the cost
    rows = describe_levels(features, quality, cost=0.25)
    assert rows.shape == (len(LEVELS), len(FEATURES_OF_A_LEVEL))
    area = features[..., FEATURES.index("area_px")]
    mean = (area[:, 1] + 2 * area[:, 3]) / 3
    assert named(rows, "area_px") == pytest.approx(mean, abs=1e-4)
    assert named(rows, "area_px_against_usual") == pytest.approx(mean - mean[USUAL], abs=1e-4)


def test_an_image_without_candidates_is_described_by_zeros():
    rows = describe_levels(
        np.zeros((len(LEVELS), 0, len(FEATURES)), np.float32), np.zeros((len(LEVELS), 0)), cost=0.25
    )
    assert rows.shape == (len(LEVELS), len(FEATURES_OF_A_LEVEL))
    assert not rows.any()


def test_the_level_of_most_gain_on_the_mean_is_chosen():
    rows = np.zeros((len(LEVELS), len(FEATURES_OF_A_LEVEL)), np.float32)
    assert choose_level([Oracle(0.1, 0.3, 0.0)], rows) == 1
    assert choose_level([Oracle(0.1, 0.3, 0.0), Oracle(0.5, 0.0, 0.0)], rows) == 0


def test_the_usual_level_is_kept_where_none_is_better():
    rows = np.zeros((len(LEVELS), len(FEATURES_OF_A_LEVEL)), np.float32)
    assert choose_level([Oracle(-0.1, -0.2, 0.9)], rows) == USUAL
    assert choose_level([Oracle(-0.1, -0.2, -0.9)], rows) == USUAL


def test_on_bright_ground_the_usual_level_is_kept():
    rows = np.zeros((len(LEVELS), len(FEATURES_OF_A_LEVEL)), np.float32)
    rows[:, FEATURES.index("image_grey")] = 200 / 255
    assert choose_level([Oracle(0.5, 0.3, 0.0)], rows) == USUAL
    rows[:, FEATURES.index("image_grey")] = 90 / 255
    assert choose_level([Oracle(0.5, 0.3, 0.0)], rows) == 0
