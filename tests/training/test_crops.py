import pytest

from kaggle_dsb.files import InputError
from kaggle_dsb.instances.size import choose_zoom, median_diameter
from kaggle_dsb.training.crops import CropDataset, divide
from tests.training.tiny import tiny


def test_what_is_held_out_is_not_trained_on(samples, folds):
    data = divide(samples, folds, fold=0, settings=tiny())
    assert [s.id for s in data.held_out] == ["i0"]
    assert [s.id for s in data.train] == ["i1", "i2", "i3"]


def test_each_type_is_drawn_with_its_share(samples, folds):
    shares = tiny().training.type_shares
    weight = divide(samples, folds, fold=0, settings=tiny()).train_weight
    assert weight == pytest.approx([shares.fluorescence, shares.tissue, shares.brightfield])


def test_an_image_in_no_fold_is_refused(samples, folds):
    with pytest.raises(InputError) as error:
        divide(samples, folds[1:], fold=0, settings=tiny())
    assert str(error.value) == "image i0 stands in no fold (1 such): remake the folds"


def test_a_fold_that_holds_nothing_out_is_refused(samples, folds):
    with pytest.raises(InputError) as error:
        divide(samples, folds, fold=5, settings=tiny())
    assert str(error.value) == (
        "fold 5 leaves 4 images to train on and holds out 0: both need at least one; "
        "there are folds [0, 1]"
    )


def test_a_crop_depends_on_its_number_alone(samples, folds):
    data = divide(samples, folds, fold=0, settings=tiny())
    one, other = CropDataset(data, tiny()), CropDataset(data, tiny())
    other[3]
    assert all((a == b).all() for a, b in zip(one[7], other[7], strict=True))
    assert (one[7][0] != one[8][0]).any()
    assert (one[7][0] != CropDataset(data, tiny("training.seed=1"))[7][0]).any()


def test_crops_show_nuclei_at_the_size_the_network_is_made_for(samples, folds):
    settings = tiny("augment.scale_range=[1, 1]", "augment.crop_px=192", "network.nucleus_px=20")
    data = divide(samples, folds, fold=0, settings=settings)
    dataset = CropDataset(data, settings)
    wanted = [choose_zoom(median_diameter(s.labels), 20) for s in data.train]
    assert dataset.zooms == wanted
    assert len(set(wanted)) > 1
