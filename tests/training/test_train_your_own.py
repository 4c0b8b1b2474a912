"""The commands of docs/train-your-own.md, run in miniature."""

import re
import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from kaggle_dsb.cli import run
from kaggle_dsb.dataset.demo import make_image, write_demo
from kaggle_dsb.network.model import NucleusNet, save_network
from kaggle_dsb.settings_files import load_settings, write_settings
from kaggle_dsb.workspace.run import BUNDLED
from tests.commands.examples import TINY_NETWORK

PAGE = Path(__file__).parents[2] / "docs" / "train-your-own.md"
IN_MINIATURE = {
    "data": [],
    "train": [
        *("--limit", "8", "--set", "augment.crop_px=64", "--set", "hardware.threads=1"),
        *("--set", "training.epochs=1", "--set", "training.crops_per_epoch=2"),
        *("--set", "training.batch_size=2"),
    ],
    "validate": ["--limit", "4", "--set", "prediction.tta=none", "--set", "prediction.scales=[1]"],
    "tune": ["--outlines-only", "--limit", "4", "--set", "prediction.scales=[1]"],
    "submit": ["--set", "prediction.tta=none", "--set", "prediction.scales=[1]"],
}


def write_cells(folder, names):
    for number, name in enumerate(names):
        image, labels = (array[:96, :96] for array in make_image(number, look=number))
        for kind, array in (("images", image[..., ::-1]), ("labels", labels.astype(np.uint16))):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / kind / f"{name}.png"), array)


def write_small_bundle(folder):
    """Write a run like the bundled one, of networks that are trained in a tenth of the time."""
    settings = load_settings(BUNDLED / "config.toml", overrides=TINY_NETWORK)
    for fold in range(4):
        network = NucleusNet(settings.network, pretrained=False)
        save_network(folder / f"fold{fold}.safetensors", network, settings, fold=fold)
    write_settings(folder / "config.toml", settings)
    shutil.copy(BUNDLED / "folds.csv", folder)


@pytest.mark.slow
def test_every_command_of_the_page_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_demo(Path("data"), n_train=8, n_test=1, largest_px=96)
    # The bundled networks have four folds, each of which must hold something out.
    write_cells(Path("cells"), [f"p{patient}_{n}" for patient in range(1, 5) for n in (1, 2)])
    write_cells(Path("drawn"), [f"p{n}" for n in range(1, 5)])
    shutil.copytree("drawn/images", "new")
    write_small_bundle(tmp_path / "small")
    of_small = [word for setting in TINY_NETWORK for word in ("--set", setting)]
    calls = re.findall(r"^    kaggle-dsb (.*)$", PAGE.read_text(), re.MULTILINE)
    assert len(calls) == 10
    for call in calls:
        arguments = shlex.split(call)
        more = [*IN_MINIATURE[arguments[0]]]
        if arguments[0] == "train" and Path("runs").exists():
            # The first training was of the bundled networks.
            monkeypatch.setattr("kaggle_dsb.workspace.run.BUNDLED", tmp_path / "small")
            more += of_small
        assert run([*arguments, *more]) == 0, call
    said = capsys.readouterr().out.splitlines()
    assert "runs/both/fast.safetensors" in said
    table = pd.read_csv("runs/both/folds.csv")
    assert {"dsb2018", "cells"} <= set(table["source"])
    of_cells = table[table["source"] == "cells"].set_index("ImageId")
    assert of_cells["group"].nunique() == 4
    assert of_cells.groupby("group")["fold"].nunique().eq(1).all()
    assert len(list(Path("submissions/new/labels").glob("*.png"))) == 4
