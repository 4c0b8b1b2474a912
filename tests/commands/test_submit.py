import json
from pathlib import Path

import numpy as np
import pandas as pd

from kaggle_dsb.cli import run
from kaggle_dsb.competition.label_files import read_labels
from kaggle_dsb.config import load_settings
from tests.commands.examples import QUICK, save_scorer, write_png


def test_submit_writes_a_checked_submission_and_what_made_it(data, weights, capsys):
    assert run(["submit", "--weights", "weights", "--name", "first", *QUICK]) == 0
    folder = Path("submissions/first")
    written = pd.read_csv(folder / "submission.csv", keep_default_na=False)
    assert list(dict.fromkeys(written["ImageId"])) == ["n3", "n2"]
    made = json.loads((folder / "made.json").read_text())
    assert made["data"] == "data"
    assert set(made["weights_sha256"]) == {"fold0.safetensors", "fold1.safetensors"}
    assert 'tta = "none"' in (folder / "config.toml").read_text()
    assert read_labels(folder / "labels" / "n3.png").shape == (50, 90)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("submissions/first/submission.csv: 2 images, ")
    assert said[1].startswith("score: 0.")
    assert said[-1].startswith("next: open submissions/first/labels, then upload ")


def test_the_same_call_writes_the_same_bytes(data, weights):
    for name in ("first", "again"):
        assert run(["submit", "--weights", "weights", "--name", name, *QUICK]) == 0
    files = [Path("submissions") / name / "submission.csv" for name in ("first", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_submit_takes_a_folder_of_ones_own_images(here, weights):
    write_png(here / "mine" / "cells.tif", np.full((40, 33), 9, np.uint16))
    call = ["submit", "--data", "mine", "--weights", "weights", "--name", "own", *QUICK]
    assert run(call) == 0
    Path("submissions/own/score.json").write_text("{}")
    assert run(call) == 0
    assert not Path("submissions/own/score.json").exists()  # it was of the earlier nuclei
    assert pd.read_csv("submissions/own/submission.csv")["ImageId"].unique().tolist() == ["cells"]


def test_a_scorer_is_used_and_recorded_where_there_is_one(data, weights, capsys):
    for fold in (0, 1):
        save_scorer(weights, fold=fold)
    call = ["submit", "--weights", "weights", "--name", "first", *QUICK]
    assert run([*call, "--set", "instances.nucleus_cost=0.6"]) == 0
    assert ": 2 images, 0 nuclei, checked" in capsys.readouterr().out  # all are too dear
    made = json.loads(Path("submissions/first/made.json").read_text())
    assert "scorer1.safetensors" in made["weights_sha256"]
    (weights / "scorer1.safetensors").unlink()
    assert run(call) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: weights: fold 1 has no candidate scorer, others have; train it with "
        "`kaggle-dsb tune`, or do without: --set instances.candidate_scorer=false"
    )


def test_fast_takes_one_network_and_no_rotations(data, weights):
    assert run(["submit", "--weights", "weights", "--name", "fast", "--fast"]) == 0
    made = json.loads(Path("submissions/fast/made.json").read_text())
    assert list(made["weights_sha256"]) == ["fold0.safetensors"]
    assert load_settings(Path("submissions/fast/config.toml")).prediction.tta == "none"


def test_a_sample_submission_of_other_images_stops_the_submission(data, weights, capsys):
    (data / "stage1_sample_submission.csv").write_text("ImageId,EncodedPixels\nn2,1 1\n")
    assert run(["submit", "--weights", "weights", "--name", "first", *QUICK]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: stage1_sample_submission.csv and stage1_test must name the same images: n3 is only "
        "among the images (1 such); get both files again"
    )
    assert not Path("submissions/first/submission.csv").exists()
