import numpy as np
import pytest

from kaggle_dsb.files import InputError
from kaggle_dsb.instances.probability import (
    load_probability,
    mean_over_scales,
    save_probability,
)

PROBABILITY = np.linspace(0, 1, 2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)


def test_a_probability_comes_back_within_half_precision(tmp_path):
    save_probability(tmp_path / "a.npy", PROBABILITY)
    back = load_probability(tmp_path / "a.npy")
    assert back.dtype == np.float32
    assert np.abs(back - PROBABILITY).max() < 1e-3


def test_the_map_of_an_older_version_is_read_as_one_scale(tmp_path):
    np.save(tmp_path / "a.npy", PROBABILITY[0])
    assert (load_probability(tmp_path / "a.npy") == PROBABILITY[:1]).all()


@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 4, 4, 5), (1, 2, 3, 4, 5)])
def test_another_array_is_no_probability(tmp_path, shape):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(shape))
    with pytest.raises(InputError) as caught:
        load_probability(path)
    assert str(caught.value) == (
        f"{path}: cannot be read as a probability map (its shape is {shape}); remove it and "
        "predict again"
    )


def test_another_file_is_no_probability(tmp_path):
    path = tmp_path / "a.npy"
    path.write_text("x\n")
    with pytest.raises(InputError) as caught:
        load_probability(path)
    assert str(caught.value) == (
        f"{path}: cannot be read as a probability map (it is no array file); remove it and predict "
        "again"
    )


def test_the_mean_over_one_scale_is_no_copy():
    assert np.allclose(mean_over_scales(PROBABILITY), (PROBABILITY[0] + PROBABILITY[1]) / 2)
    assert np.shares_memory(mean_over_scales(PROBABILITY[:1]), PROBABILITY)
