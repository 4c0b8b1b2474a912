"""The gallery: contact sheets of the training images by type and fold."""

from pathlib import Path

import numpy as np
import pytest

from kaggle_dsb.cli import run
from kaggle_dsb.commands import gallery
from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.dataset.read_options import ReadOptions
from kaggle_dsb.opening import open_data
from kaggle_dsb.options import Reading
from kaggle_dsb.training.sources import load_sources, make_folds
from tests.commands.examples import write_png


@pytest.mark.parametrize("n_images", [1, 2])
def test_few_images_are_shown_in_fewer_folds(here, n_images):
    for number in range(n_images):
        image, labels = make_image(number, look=number)
        write_png(here / f"cells/images/c{number}.png", image[:64, :64])
        write_png(here / f"cells/labels/c{number}.png", labels[:64, :64].astype(np.uint16))
    assert run(["gallery", "--data", "cells"]) == 0


def test_the_gallery_shows_the_folds_that_a_training_would_use(here, monkeypatch):
    groups = ["ImageId,group"]
    for number in range(8):
        image, labels = make_image(number, look=0)
        write_png(here / f"cells/images/c{number}.png", image[:64, :64])
        write_png(here / f"cells/labels/c{number}.png", labels[:64, :64].astype(np.uint16))
        groups.append(f"c{number},patient {number % 4}")
    (here / "cells/groups.csv").write_text("\n".join(groups) + "\n")
    shown = []
    monkeypatch.setattr(gallery, "draw_sheet", lambda path, images, table: shown.append(table))
    assert run(["gallery", "--data", "cells"]) == 0
    source = open_data(here / "cells", Reading(Path("work"), ReadOptions()))
    assert shown[0].equals(make_folds(load_sources(source), Settings()))
    assert (shown[0].groupby("group")["ImageId"].count() == 2).all()
