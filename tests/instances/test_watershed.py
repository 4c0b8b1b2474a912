from dataclasses import replace

import numpy as np
import pytest

from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.instances.watershed import WatershedParameters, watershed_nuclei
from tests.instances.drawn import make_targets

PARAMETERS = WatershedParameters(
    body_threshold=0.5, seed_threshold=0.6, min_seed_px=1, min_area_px=1
)


def disc(shape, centre, radius):
    rows, columns = np.indices(shape)
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


@pytest.fixture
def touching():
    labels = np.zeros((60, 90), np.int32)
    labels[disc(labels.shape, (30, 30), 15)] = 1
    labels[disc(labels.shape, (30, 58), 15) & (labels == 0)] = 2
    return labels


def test_perfect_targets_of_touching_nuclei_give_the_nuclei_back(touching):
    predicted = watershed_nuclei(make_targets(touching), PARAMETERS)
    assert predicted.max() == 2
    assert score_image(touching, predicted).score > 0.9


def test_the_mask_is_flooded_back_to_its_last_pixel(touching):
    predicted = watershed_nuclei(make_targets(touching), PARAMETERS)
    assert ((predicted > 0) == (touching > 0)).all()


@pytest.mark.parametrize("blind", [1, 2], ids=["border", "depth"])
def test_border_and_depth_each_suffice_to_tell_touching_nuclei_apart(touching, blind):
    targets = make_targets(touching)
    targets[blind] = 0 if blind == 1 else targets[0]
    assert watershed_nuclei(targets, PARAMETERS).max() == 2


def test_without_border_and_depth_touching_nuclei_are_one(touching):
    targets = make_targets(touching)
    targets[1], targets[2] = 0, targets[0]
    assert watershed_nuclei(targets, PARAMETERS).max() == 1


def test_nothing_gives_nothing():
    labels = watershed_nuclei(np.zeros((3, 5, 7), np.float32), PARAMETERS)
    assert labels.shape == (5, 7)
    assert labels.dtype == np.int32
    assert not labels.any()


def test_an_image_full_of_one_nucleus_is_one_nucleus():
    probability = np.zeros((3, 5, 7), np.float32)
    probability[[0, 2]] = 1
    assert (watershed_nuclei(probability, PARAMETERS) == 1).all()


def test_small_seeds_and_small_nuclei_are_dropped():
    probability = np.zeros((3, 30, 30), np.float32)
    probability[[0, 2], 2:4, 2:4] = 1
    probability[[0, 2], 10:20, 10:20] = 1
    assert watershed_nuclei(probability, PARAMETERS).max() == 2
    assert watershed_nuclei(probability, replace(PARAMETERS, **{"min_area_px": 5})).max() == 1
    assert watershed_nuclei(probability, replace(PARAMETERS, **{"min_seed_px": 5})).max() == 1


def test_a_part_of_the_mask_without_a_seed_is_dropped():
    probability = np.full((3, 10, 10), 0.55, np.float32)
    probability[1] = 0
    assert not watershed_nuclei(probability, PARAMETERS).any()


def test_labels_have_no_gaps_and_the_input_stays_as_it_was(touching):
    rng = np.random.default_rng(0)
    probability = rng.random((3, 40, 40), np.float32)
    copy = probability.copy()
    labels = watershed_nuclei(probability, replace(PARAMETERS, **{"min_area_px": 3}))
    assert sorted(np.unique(labels[labels > 0])) == list(range(1, labels.max() + 1))
    assert (probability == copy).all()
