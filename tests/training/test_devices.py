"""Training on several devices at once: here two processes of a CPU."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from kaggle_dsb.cli import run
from kaggle_dsb.dataset.demo import write_demo
from kaggle_dsb.network.model import load_network
from tests.training.tiny import TINY

SETS = [part for setting in TINY for part in ("--set", setting)]


@pytest.mark.slow
def test_two_processes_train_one_network_together(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_demo(tmp_path / "data", n_train=4, n_test=1)
    call = ["train", "--limit", "4", *SETS]
    assert run([*call, "--name", "alone", "--fold", "0"]) == 0
    assert capsys.readouterr().out.splitlines() == ["runs/alone/fold0.safetensors"]
    # Each of the two begins from the command line.
    command = [sys.executable, "-m", "kaggle_dsb", *call, "--devices", "2", "--name", "together"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = [f"runs/together/fold{fold}.safetensors" for fold in (0, 1)]
    assert done.stdout.splitlines() == names
    alone, together = (
        pd.read_csv(tmp_path / "runs" / name / "fold0" / "metrics.csv")
        for name in ("alone", "together")
    )
    assert together["epoch"].tolist() == [0, 1]
    assert together["loss"].to_numpy() == pytest.approx(alone["loss"].to_numpy(), rel=0.1)
    assert load_network(tmp_path / "runs/together/fold1.safetensors")[2]["fold"] == 1


def test_a_batch_that_devices_cannot_share_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_demo(Path("data"), n_train=4, n_test=1)
    assert run(["train", *SETS, "--set", "folds.n_folds=2", "--devices", "3"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: training.batch_size = 4: must be a multiple of the 3 devices, and "
        "training.crops_per_epoch not below them"
    )
    assert not Path("runs").exists()
