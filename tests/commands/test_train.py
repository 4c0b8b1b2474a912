import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from kaggle_dsb.cli import run
from kaggle_dsb.config import Settings
from kaggle_dsb.network.model import NucleusNet
from kaggle_dsb.settings_files import write_settings
from tests.commands.examples import TINY_NETWORK, TWO_FOLDS, write_png
from tests.forks import call as forked_call


def test_training_goes_on_only_with_the_settings_it_was_begun_with(data, capsys):
    Path("runs/mine").mkdir(parents=True)
    write_settings(Path("runs/mine/config.toml"), Settings())
    assert run(["train", "--set", "training.epochs=9"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: runs/mine/config.toml: this run was started with training.epochs = 15, not 9; "
        "resume with the same settings or choose another --name"
    )


def test_a_training_goes_on_only_from_networks_that_have_not_seen_what_is_held_out(
    data, weights, capsys
):
    call = ["train", "--set", "training.start_from=weights", "--fold", "7"]
    assert run(call) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: fold 7 does not exist")
    assert not Path("runs").exists()
    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/folds.csv").write_text(
        "ImageId,type,group,fold\nn0,fluorescence,0,1\nn1,fluorescence,1,0\n"
    )
    assert run(call) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: runs/mine/folds.csv: its folds differ from weights/folds.csv; a network of "
        "training.start_from or training.teacher would have been trained on images held out here"
    )


@pytest.mark.parametrize("parts", [["teacher"], ["start_from", "teacher"]])
def test_a_teacher_must_not_have_seen_what_is_held_out(data, weights, capsys, parts):
    shutil.copytree(weights, "other")
    turned = "ImageId,type,group,fold\nn0,fluorescence,0,1\nn1,fluorescence,1,0\n"
    Path("other/folds.csv").write_text(turned)
    folders = {"start_from": "weights", "teacher": "other"}
    options = [x for part in parts for x in ("--set", f"training.{part}={folders[part]}")]
    if parts == ["teacher"]:
        Path("runs/mine").mkdir(parents=True)
        shutil.copy(weights / "folds.csv", "runs/mine")
    assert run(["train", *options]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: runs/mine/folds.csv: its folds differ from other/folds.csv; a network of "
        "training.start_from or training.teacher would have been trained on images held out here"
    )


def test_more_folds_than_the_networks_to_start_from_are_refused(foreign, weights, capsys):
    write_png(foreign / "images" / "f2.png", np.zeros((64, 80), np.uint8))
    write_png(foreign / "labels" / "f2.png", np.ones((64, 80), np.uint16))
    (foreign / "groups.csv").write_text("ImageId,group\nf0,a\nf1,b\nf2,c\n")
    call = ["train", "--data", "foreign", "--set", "folds.n_folds=3"]
    assert run([*call, "--set", "training.start_from=weights"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: training.start_from = weights: has no network of fold 2, only of 0, 1; "
        "train it, or lower folds.n_folds"
    )
    assert not Path("runs").exists()
    assert run([*call, "--set", "training.start_from=weights", "--dry-run", "--fold", "2"]) == 2


def test_fine_tuning_needs_no_pretrained_weights(foreign, weights, monkeypatch):
    asked = []

    def build(settings, *, pretrained):
        asked.append(pretrained)
        return NucleusNet(settings, pretrained=False)

    monkeypatch.setattr("kaggle_dsb.commands.train.NucleusNet", build)
    tiny = [word for setting in TINY_NETWORK for word in ("--set", setting)]
    call = ["train", "--data", "foreign", "--dry-run", *TWO_FOLDS, *tiny]
    assert run(call) == 0
    assert run([*call, "--set", "training.start_from=weights"]) == 0
    assert asked == [True, False]


def test_a_training_in_8_bits_claims_no_folder(data, capsys):
    assert run(["train", *TWO_FOLDS, "--set", "hardware.precision=int8"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: hardware.precision = 'int8': only OpenVINO computes in it")
    assert not Path("runs").exists()


def test_a_network_that_cannot_be_built_claims_no_folder(data, capsys):
    assert run(["train", *TWO_FOLDS, "--set", "network.encoder_name=resnet9000"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: network.encoder_name = 'resnet9000' with encoder_weights = ")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("extra", "remark"),
    [
        ([], "no extra source is given"),
        (["--extra", "foreign"], "the extra sources are foreign"),
    ],
)
def test_shares_of_sources_that_are_not_there_are_told_in_one_line(
    data, foreign, extra, remark, capsys
):
    shares = ["tnbc=0.1", "dsb2018=0.5", "foreign=0.2"]
    sets = [x for share in shares for x in ("--set", f"training.source_shares.{share}")]
    assert run(["train", *extra, *TWO_FOLDS, "--fold", "7", *sets]) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if "source_shares" in line]
    named = "dsb2018, tnbc" if extra else "dsb2018, foreign, tnbc"
    assert told == [f"training.source_shares has no effect for {named}: {remark}"]


@pytest.mark.slow
def test_an_interrupted_training_says_so_and_goes_on(data, forks):
    # So many epochs that it cannot end before it is interrupted.
    tiny = ["training.epochs=9999", "training.patience=9999", "training.crops_per_epoch=4"]
    tiny += ["augment.crop_px=64", "folds.n_folds=2", *TINY_NETWORK]
    overrides = [x for setting in tiny for x in ("--set", setting)]
    said = Path("said.txt")
    arguments = ["train", "--fold", "0", *overrides]
    process = forks.Process(target=forked_call, args=(arguments, Path.cwd(), said))
    process.start()
    checkpoint = Path("runs/mine/fold0/last.ckpt")
    deadline = time.monotonic() + 240
    while not checkpoint.exists() and process.exitcode is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.terminate()  # as Kaggle does at its limit of time
    process.join(timeout=120)
    assert process.exitcode == 130, said.read_text()
    assert said.read_text().splitlines()[-1] == (
        "error: interrupted; run the same command again to resume"
    )
    assert "Traceback" not in said.read_text()
    assert checkpoint.exists()
    assert not list(Path("runs").rglob("*.safetensors"))


def test_a_run_is_not_continued_with_other_images(data, foreign, capsys):
    Path("runs/mine").mkdir(parents=True)
    table = (
        "ImageId,source,type,group,fold\nx,foreign,fluorescence,0,0\ny,foreign,fluorescence,1,1\n"
    )
    Path("runs/mine/folds.csv").write_text(table)
    assert run(["train", "--data", "foreign", *TWO_FOLDS]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: runs/mine/folds.csv: names none of the images of foreign; train with the data that "
        "the run was started with, or choose another --name"
    )


def test_a_run_is_not_continued_without_some_of_its_images(data, foreign, capsys):
    Path("runs/mine").mkdir(parents=True)
    table = "ImageId,source,type,group,fold\n" + "".join(
        f"{name},foreign,fluorescence,{n},{n % 2}\n" for n, name in enumerate(["f0", "f1", "f9"])
    )
    Path("runs/mine/folds.csv").write_text(table)
    assert run(["train", "--data", "foreign", *TWO_FOLDS, "--dry-run"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: runs/mine/folds.csv: images of it that are missing: 1, such as f9; train "
        "with the images that the run was started with, or choose another --name"
    )
