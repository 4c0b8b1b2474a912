"""Training on several devices at once: here two processes of a CPU."""

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from kaggle_dsb.cli import run
from kaggle_dsb.dataset.demo import write_demo
from kaggle_dsb.network.model import load_network
from tests.forks import call as forked_call
from tests.training.nodes import local_nodes, namespace_nodes
from tests.training.tiny import TINY

SETS = [part for setting in TINY for part in ("--set", setting)]


@pytest.mark.slow
def test_two_processes_train_one_network_together(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_demo(tmp_path / "data", n_train=4, n_test=1, largest_px=96)
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


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Prepare data, and return a training on two machines."""
    monkeypatch.chdir(tmp_path)
    write_demo(tmp_path / "data", n_train=4, n_test=1, largest_px=96)
    assert run(["data", "--limit", "4"]) == 0
    return ["train", "--limit", "4", *SETS, "--fold", "0", "--nodes", "2"]


@pytest.fixture
def nodes():
    """Return two machines joined by a network, or two processes where none can be made."""
    try:
        with namespace_nodes() as made:
            yield made
    except (OSError, subprocess.CalledProcessError):
        yield local_nodes()


def start(forks, nodes, arguments):
    """Start the command line on each node; return the processes and what they will have said."""
    said = [Path(f"node{rank}.txt") for rank in range(len(nodes))]
    processes = [
        forks.Process(
            target=forked_call,
            args=(arguments, Path.cwd(), file),
            kwargs={"environment": node.environment, "namespace": node.namespace},
        )
        for node, file in zip(nodes, said, strict=True)
    ]
    for process in processes:
        process.start()
    return processes, said


@pytest.mark.slow
def test_a_lost_machine_ends_the_training_in_one_line_and_two_go_on_together(call, nodes, forks):
    (first, second), said = start(forks, nodes, call)
    while not Path("runs/mine/fold0/last.ckpt").exists():
        assert first.exitcode is None, said[0].read_text()
        time.sleep(0.01)
    second.kill()
    first.join()
    second.join()
    assert first.exitcode == 2
    errors = said[0].read_text()
    assert errors.splitlines()[-1] == (
        "error: runs/mine/fold0: one of the 2 processes was lost; run the same command again on "
        "every machine to resume"
    )
    assert "Traceback" not in errors
    again, said = start(forks, nodes, call)
    for process in again:
        process.join()
    assert [process.exitcode for process in again] == [0, 0], [file.read_text() for file in said]
    assert load_network(Path("runs/mine/fold0.safetensors"))[2]["fold"] == 0
    assert pd.read_csv("runs/mine/fold0/metrics.csv")["epoch"].tolist() == [0, 1]


def test_a_batch_that_devices_cannot_share_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_demo(Path("data"), n_train=4, n_test=1, largest_px=96)
    assert run(["train", *SETS, "--set", "folds.n_folds=2", "--devices", "3"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: training.batch_size = 4: must be a multiple of the number of devices (3), and "
        "training.crops_per_epoch at least that number"
    )
    assert not Path("runs").exists()
