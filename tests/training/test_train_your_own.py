"""The commands of docs/train-your-own.md, run in miniature."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from kaggle_dsb.cli import run
from kaggle_dsb.dataset.demo import make_image, write_demo

PAGE = Path(__file__).parents[2] / "docs" / "train-your-own.md"
IN_MINIATURE = {
    "data": [],
    "train": ["--limit", "8", "--set", "augment.crop_px=64", "--set", "hardware.threads=1"],
    "validate": ["--limit", "4", "--set", "prediction.tta=none", "--set", "prediction.scales=[1]"],
    "submit": ["--set", "prediction.tta=none", "--set", "prediction.scales=[1]"],
}


def write_cells(folder, names):
    for number, name in enumerate(names):
        image, labels = (array[:96, :96] for array in make_image(number, look=number))
        for kind, array in (("images", image[..., ::-1]), ("labels", labels.astype(np.uint16))):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / kind / f"{name}.png"), array)


@pytest.mark.slow
def test_every_command_of_the_page_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_demo(Path("data"), n_train=8, n_test=1, largest_px=96)
    # The bundled networks have four folds, each of which must hold something out.
    write_cells(Path("cells"), [f"p{patient}_{n}" for patient in range(1, 5) for n in (1, 2)])
    write_cells(Path("drawn"), [f"p{n}" for n in range(1, 5)])
    shutil.copytree("drawn/images", "new")
    calls = re.findall(r"^    ((?:kaggle-dsb|mkdir) .*)$", PAGE.read_text(), re.MULTILINE)
    assert len(calls) == 10
    for call in calls:
        command, *arguments = shlex.split(call)
        if command == "mkdir":
            subprocess.run(call, shell=True, check=True)
        else:
            assert run([*arguments, *IN_MINIATURE[arguments[0]]]) == 0, call
    said = capsys.readouterr().out.splitlines()
    assert "runs/both/fast.safetensors" in said
    table = pd.read_csv("runs/both/folds.csv")
    assert {"dsb2018", "cells"} <= set(table["source"])
    adapted = pd.read_csv("runs/adapted/folds.csv")
    assert adapted["source"].eq("own").sum() == 4
    of_cells = table[table["source"] == "cells"].set_index("ImageId")
    assert of_cells["group"].nunique() == 4
    assert of_cells.groupby("group")["fold"].nunique().eq(1).all()
    assert len(list(Path("submissions/new/labels").glob("*.png"))) == 4
