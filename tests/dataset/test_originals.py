from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from kaggle_dsb.dataset.originals import name_originals, opening_originals
from kaggle_dsb.dataset.prepare import prepare
from kaggle_dsb.dataset.read_options import DEFAULT_OPTIONS, ReadOptions
from kaggle_dsb.dataset.samples import load_samples

DIM = np.arange(12, dtype=np.uint16).reshape(3, 4) + 500


def test_an_image_of_16_bits_has_the_values_of_its_file(
    tmp_path: Path, zip_folder: Callable
) -> None:
    (tmp_path / "own" / "images").mkdir(parents=True)
    assert cv2.imwrite(str(tmp_path / "own" / "images" / "a.png"), DIM)
    packed = zip_folder(tmp_path / "own", tmp_path / "own.zip")
    for source in (tmp_path / "own", packed):
        with opening_originals(source, "images", options=DEFAULT_OPTIONS) as read:
            np.testing.assert_array_equal(read("a"), np.repeat(DIM[..., None], 3, axis=2))
        assert name_originals(source, "images") == {"a": "images/a.png"}


def test_a_channel_is_chosen_as_when_the_image_was_prepared(tmp_path: Path) -> None:
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, np.stack([DIM, DIM + 9]), imagej=True, metadata={"axes": "CYX"})
    with opening_originals(path, "images", options=ReadOptions(channel=2)) as read:
        assert read("cells")[0, 0].tolist() == [509, 509, 509]


@pytest.mark.parametrize("set_name", ["stage1_train", "stage1_test"])
def test_images_of_8_bits_are_those_of_the_cache(
    tmp_path: Path, write_set: Callable, pictures: dict, set_name: str
) -> None:
    for name in ("stage1_train", "stage1_test"):
        write_set(tmp_path / "data" / name, pictures)
    cache = prepare(tmp_path / "data", tmp_path / "data" / "cache").cache
    data = tmp_path / "data"
    with opening_originals(data, set_name, options=DEFAULT_OPTIONS, skipped=[cache]) as read:
        for sample in load_samples(cache, set_name):
            np.testing.assert_array_equal(read(sample.id), sample.image)
