import numpy as np
import pytest

from kaggle_dsb.instances.size import choose_zoom, median_diameter
from kaggle_dsb.training.crops import CropDataset, CropNumbers, choose_evenly
from tests.training.tiny import tiny


def test_a_crop_depends_on_seed_and_number_alone(data):
    dataset, again = (CropDataset(data, tiny(), seed=0) for _ in range(2))
    again[3]
    assert all((a == b).all() for a, b in zip(dataset[7], again[7], strict=True))
    assert (dataset[7][0] != dataset[8][0]).any()
    assert (dataset[7][0] != CropDataset(data, tiny(), seed=1)[7][0]).any()


def test_crops_show_nuclei_at_the_size_the_network_is_made_for(data):
    settings = tiny("augment.scale_range=[1, 1]", "augment.crop_px=192", "network.nucleus_px=20")
    dataset = CropDataset(data, settings, seed=0)
    wanted = [choose_zoom(median_diameter(s.labels), 20) for s in data.train]
    assert dataset.zooms == wanted
    assert len(set(wanted)) > 1


def numbers_of_epoch(epoch, *, crops, batch_size, n_ranks):
    ranks = []
    for rank in range(n_ranks):
        sampler = CropNumbers(crops, batch_size=batch_size, rank=rank, n_ranks=n_ranks)
        sampler.set_epoch(epoch)
        assert len(list(sampler)) == len(sampler)
        ranks.append(list(sampler))
    return ranks


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_devices_together_see_the_batches_that_one_device_sees(n_ranks):
    alone = numbers_of_epoch(2, crops=26, batch_size=8, n_ranks=1)[0]
    shared = numbers_of_epoch(2, crops=26, batch_size=8, n_ranks=n_ranks)
    of_each = 8 // n_ranks
    assert alone == list(range(52, 76))  # without the last batch, which would be too small
    for batch in range(3):
        parts = [part[batch * of_each : (batch + 1) * of_each] for part in shared]
        assert sorted(np.concatenate(parts)) == alone[batch * 8 : (batch + 1) * 8]


def test_an_epoch_of_a_single_small_batch_is_shared_evenly():
    assert numbers_of_epoch(0, crops=5, batch_size=8, n_ranks=2) == [[0, 2], [1, 3]]
    assert numbers_of_epoch(1, crops=5, batch_size=8, n_ranks=1) == [[5, 6, 7, 8, 9]]


def test_the_images_that_are_scored_are_evenly_chosen():
    assert choose_evenly(3, 200) == [0, 1, 2]
    chosen = choose_evenly(727, 200)
    assert (chosen[0], chosen[-1], len(set(chosen))) == (0, 726, 200)
