"""Every verb on labelled images of one's own, in each layout in which people have them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile

from kaggle_dsb.cli import run
from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.dataset.export import export_labels
from tests.commands.examples import crop_on_a_nucleus, write_png
from tests.training.tiny import TINY

IDS = ("p1_1", "p1_2", "p2_1", "p2_2")
QUICK = ["--set", "prediction.tta=none", "--set", "prediction.scales=[1]"]
SETTINGS = [word for setting in (*TINY, "folds.n_folds=2") for word in ("--set", setting)]


def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw an image of 64 x 64 pixels on nuclei that do not touch, so that a mask tells them."""
    image, labels = crop_on_a_nucleus(*make_image(number, look=0), (64, 64))
    _, labels = cv2.connectedComponents((labels > 0).astype(np.uint8))
    return image, labels.astype(np.uint16)


IMAGES = {image_id: draw(number) for number, image_id in enumerate(IDS)}


def write_tiff(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array)


def write_stardist(folder: Path) -> None:
    for image_id, (image, labels) in IMAGES.items():
        write_png(folder / "images" / f"{image_id}.png", image)
        write_tiff(folder / "masks" / f"{image_id}.tif", labels)


def write_stardist_splits(folder: Path) -> None:
    write_stardist(folder / "train")
    write_stardist(folder / "test")


def write_cellpose(folder: Path) -> None:
    for image_id, (image, labels) in IMAGES.items():
        write_png(folder / f"{image_id}.png", image)
        write_png(folder / f"{image_id}_cp_masks.png", labels)


def write_cellpose_splits(folder: Path) -> None:
    write_cellpose(folder / "train")
    write_cellpose(folder / "test")


def write_cellpose_arrays(folder: Path) -> None:
    for image_id, (image, labels) in IMAGES.items():
        write_png(folder / f"{image_id}.png", image)
        np.save(folder / f"{image_id}_seg.npy", {"masks": labels}, allow_pickle=True)  # type: ignore[arg-type]


def write_one_label_image_an_id(folder: Path) -> None:
    for image_id, (image, labels) in IMAGES.items():
        write_png(folder / image_id / "images" / f"{image_id}.png", image)
        write_png(folder / image_id / "masks" / "all.png", labels)


def write_binary_masks(folder: Path) -> None:
    for image_id, (image, labels) in IMAGES.items():
        write_png(folder / "images" / f"{image_id}.png", image)
        write_png(folder / "masks" / f"{image_id}.png", (labels > 0).astype(np.uint8) * 255)


def write_exported(folder: Path, form: str) -> None:
    for image_id, (image, _) in IMAGES.items():
        write_png(folder / f"{image_id}.png", image)
    labels = {image_id: labels.astype(np.int32) for image_id, (_, labels) in IMAGES.items()}
    export_labels(folder, labels, [form])


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "StarDist": write_stardist,
    "StarDist, train and test": write_stardist_splits,
    "Cellpose": write_cellpose,
    "Cellpose, train and test": write_cellpose_splits,
    "Cellpose, seg.npy": write_cellpose_arrays,
    "ID/masks": write_one_label_image_an_id,
    "binary masks": write_binary_masks,
    "COCO": lambda folder: write_exported(folder, "coco"),
    "GeoJSON": lambda folder: write_exported(folder, "geojson"),
    "ROI zip": lambda folder: write_exported(folder, "roi"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two folds that was trained for a second, and the label images that it has seen."""
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_stardist(folder / "cells")
        assert run(["train", "--data", "cells", "--name", "tiny", *SETTINGS]) == 0
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.slow
def test_every_verb_works_on_labelled_images_in_every_layout(
    trained, tmp_path, monkeypatch, capsys, layout
):
    monkeypatch.chdir(tmp_path)
    LAYOUTS[layout](tmp_path / "cells")
    shutil.copytree(trained / "runs" / "tiny", "runs/tiny")
    # The pixels are the same in each layout, so that they are predicted once.
    data = ["--data", "cells", "--work", str(trained / "work")]
    data += ["--connected-components"] if layout == "binary masks" else []
    network = ["--weights", "runs/tiny", *QUICK]
    of_set = ["--set-name", "train"] if "train" in layout else []

    assert run(["score", str(trained / "cells" / "masks"), *data, *of_set, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["score"] == 1
    assert run(["train", *data, "--name", "tiny", *SETTINGS]) == 0  # goes on: nothing is left to do
    assert run(["validate", *data, *network, "--save", "scores.csv"]) == 0
    assert sorted(pd.read_csv("scores.csv")["ImageId"]) == sorted(IDS)
    assert run(["tune", *data, *network, "--trials", "1"]) == 0
    assert run(["submit", *data, *network, "--name", "own"]) == 0
    assert run(["report", "own", *data]) == 0
    page = (tmp_path / "submissions" / "own" / "report.html").read_text()
    assert all(image_id in page for image_id in IDS)
