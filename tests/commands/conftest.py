"""A folder to stand in, with data and networks as small as they can be."""

import numpy as np
import pytest
import torch

from kaggle_dsb.competition.submission import write_submission
from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.network.model import NucleusNet, save_network
from kaggle_dsb.settings_files import write_settings
from tests.commands.examples import TINY, crop_on_a_nucleus, write_png


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to stand in, without bundled weights or data."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data(here):
    """Kaggle's layout with two training and two test images of odd sizes, and the solution."""
    rows = ["ImageId,EncodedPixels,Height,Width,Usage"]
    for number, (height, width) in enumerate([(64, 64), (70, 61), (64, 64), (50, 90)]):
        image, labels = crop_on_a_nucleus(*make_image(number, look=number), (height, width))
        assert labels.any()
        part = "stage1_train" if number < 2 else "stage1_test"
        write_png(here / "data" / part / f"n{number}" / "images" / f"n{number}.png", image)
        for label in np.unique(labels[labels > 0]) if number < 2 else ():
            mask = (labels == label).astype(np.uint8) * 255
            write_png(here / "data" / part / f"n{number}" / "masks" / f"{label}.png", mask)
        if number >= 2:
            write_submission(here / "one.csv", {f"n{number}": labels})
            lines = (here / "one.csv").read_text().splitlines()[1:]
            rows += [f"{line},{height},{width},Public" for line in lines]
    (here / "data" / "stage1_solution.csv").write_text("\n".join(rows) + "\n")
    sample = "ImageId,EncodedPixels\nn3,1 1\nn2,1 1\n"
    (here / "data" / "stage1_sample_submission.csv").write_text(sample)
    return here / "data"


@pytest.fixture
def weights(here):
    """Two untrained networks, as a training leaves them."""
    folder = here / "weights"
    settings = Settings(network=TINY)
    for fold in (0, 1):
        torch.manual_seed(fold)
        network = NucleusNet(TINY, pretrained=False)
        save_network(folder / f"fold{fold}.safetensors", network, settings, fold=fold)
    write_settings(folder / "config.toml", settings)
    table = "ImageId,type,group,fold\nn0,fluorescence,0,0\nn1,fluorescence,1,1\n"
    (folder / "folds.csv").write_text(table)
    return folder


@pytest.fixture
def foreign(here):
    """Two labelled images of another source, as a folder of images and one of label images."""
    for number in range(2):
        image, labels = crop_on_a_nucleus(*make_image(7 + number, look=number), (64, 80))
        write_png(here / "foreign" / "images" / f"f{number}.png", image)
        write_png(here / "foreign" / "labels" / f"f{number}.png", labels.astype(np.uint16))
    return here / "foreign"
