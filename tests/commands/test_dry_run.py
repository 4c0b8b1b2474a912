"""What a dry run tells, and that it writes nothing but the cache of the data."""

import shutil
from pathlib import Path

import pytest

from kaggle_dsb.cli import run
from tests.commands.examples import QUICK, TWO_FOLDS
from tests.training.tiny import TINY


def files() -> set[str]:
    return {path.as_posix() for path in Path().rglob("*") if "work" not in path.parts}


def test_a_dry_run_of_submit_tells_what_would_be_predicted(data, weights, capsys):
    before = files()
    assert run(["submit", "--weights", "weights", "--name", "first", "--dry-run"]) == 0
    assert capsys.readouterr().out == (
        "submissions/first: 2 images of the set stage1_test would be predicted\n"
        "weights: weights, 2 networks\n"
    )
    assert files() == before


def test_a_dry_run_of_train_tells_what_would_be_trained(data, capsys):
    before = files()
    settings = [word for setting in TINY for word in ("--set", setting)]
    assert run(["train", "--dry-run", *TWO_FOLDS, *settings]) == 0
    assert capsys.readouterr().out == (
        "runs/mine/fold0.safetensors: would be trained on 1 images, 1 held out, for 2 epochs of 8 "
        "crops\nruns/mine/fold1.safetensors: would be trained on 1 images, 1 held out, for 2 "
        "epochs of 8 crops\n"
    )
    assert files() == before


def test_a_dry_run_of_train_tells_which_networks_there_are(data, weights, capsys):
    shutil.copytree(weights, "runs/mine")
    settings = (Path("runs/mine") / "config.toml").as_posix()
    Path("runs/mine/fold1.safetensors").unlink()
    assert run(["train", "--dry-run", "--config", settings]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "runs/mine/fold0.safetensors: already trained; another --name trains anew"
    assert second.startswith("runs/mine/fold1.safetensors: would be trained on ")


@pytest.mark.parametrize("part", ["start_from", "teacher"])
def test_a_dry_run_of_train_finds_that_there_is_no_network_to_start_or_learn_from(
    data, part, capsys
):
    absent = ["--set", f"training.{part}=absent"]
    assert run(["train", "--dry-run", *TWO_FOLDS, *absent]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(
        "error: absent/fold0.safetensors: cannot be read as a network (No such file or directory"
    )
    assert said.endswith("; expected a .safetensors file written by `kaggle-dsb train`")


@pytest.mark.parametrize("option", ["--config hardware.toml", "--devices 3"])
def test_a_training_is_on_the_devices_of_the_option_or_of_the_settings(data, option, capsys):
    Path("hardware.toml").write_text("[hardware]\ndevices = 3\n")
    settings = [word for setting in TINY for word in ("--set", setting)]
    assert run(["train", "--dry-run", *option.split(), *TWO_FOLDS, *settings]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: training.batch_size = 4: must be a multiple of the number of devices (3), and "
        "training.crops_per_epoch at least that number"
    )


def test_a_dry_run_of_kaggle_submit_checks_and_sends_nothing(data, weights, capsys):
    assert run(["submit", "--weights", "weights", "--name", "first", *QUICK]) == 0
    capsys.readouterr()
    assert run(["kaggle-submit", "--name", "first", "--message", "a try", "--dry-run"]) == 0
    assert capsys.readouterr().out == (
        "submissions/first/submission.csv: valid; would be submitted as 'a try'\n"
    )
    assert run(["kaggle-submit", "--name", "second", "--message", "a try", "--dry-run"]) == 2
