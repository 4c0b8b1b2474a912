import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

from kaggle_dsb.dataset.demo import write_demo
from kaggle_dsb.files import InputError
from kaggle_dsb.network.model import load_network
from kaggle_dsb.training.callbacks import MetricsFile
from kaggle_dsb.training.fit import train_fold
from kaggle_dsb.training.sources import FoldData
from tests.training.tiny import TINY, tiny


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    settings = tiny("training.epochs=3")
    return train_fold(data, settings, fold=0, folder=folder)


def test_training_lowers_the_loss(trained):
    metrics = pd.read_csv(trained.parent / "fold0" / "metrics.csv")
    assert metrics["epoch"].tolist() == [0, 1, 2]
    assert metrics["loss"].iloc[-1] < metrics["loss"].iloc[0]
    assert metrics["score"].between(0, 1).all()


def test_a_training_shorter_than_the_wait_for_a_score_is_scored_at_its_end(data, tmp_path):
    settings = tiny("training.epochs=1", "training.validate_every_epochs=5")
    _, _, facts = load_network(train_fold(data, settings, fold=0, folder=tmp_path))
    assert facts["epoch"] == 0
    assert 0 <= facts["score"] <= 1


def test_the_kept_network_says_what_it_is(trained):
    network, settings, facts = load_network(trained)
    assert settings == tiny("training.epochs=3")
    assert facts["fold"] == 0
    assert 0 <= facts["score"] <= 1
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 3, 32, 32)


def test_the_same_seed_gives_the_same_weights(trained, data, tmp_path):
    settings = tiny("training.epochs=3")
    again = train_fold(data, settings, fold=0, folder=tmp_path)
    assert again.read_bytes() == trained.read_bytes()


def test_another_seed_gives_other_weights(trained, data, tmp_path):
    settings = tiny("training.epochs=3", "training.seed=1")
    other = train_fold(data, settings, fold=0, folder=tmp_path)
    name = "unet.segmentation_head.0.weight"
    assert not torch.equal(load_file(other)[name], load_file(trained)[name])


def test_a_training_killed_after_its_last_epoch_still_gives_its_network(trained, data):
    before = trained.read_bytes()
    trained.unlink()
    settings = tiny("training.epochs=3")
    assert train_fold(data, settings, fold=0, folder=trained.parent).read_bytes() == before


def test_a_training_may_start_from_a_trained_network(trained, data, tmp_path):
    settings = tiny("training.epochs=1", "training.learning_rate=1e-9")
    name, begun = "unet.segmentation_head.0.weight", load_file(trained)
    folders = {"further": trained, "anew": None}
    weight = {
        folder: load_file(
            train_fold(data, settings, fold=0, folder=tmp_path / folder, start_from=path)
        )[name]
        for folder, path in folders.items()
    }
    assert torch.equal(weight["further"], begun[name])
    assert not torch.equal(weight["anew"], begun[name])


def test_a_network_of_everything_is_the_fast_one_and_has_no_score(data, tmp_path):
    path = train_fold(FoldData(data.train, data.train_weight), tiny(), fold=None, folder=tmp_path)
    assert path == tmp_path / "fast.safetensors"
    assert load_network(path)[2] == {"fold": None, "epoch": 1, "score": None}
    assert pd.read_csv(tmp_path / "fast" / "metrics.csv")["score"].isna().all()


class StoppedError(Exception):
    """What ends a training at the start of its second epoch."""


def stop_in_second_epoch(callback, trainer, module):
    if trainer.current_epoch == 1:
        raise StoppedError


def test_a_run_that_was_moved_keeps_its_best_epoch(data, tmp_path, monkeypatch):
    folder = tmp_path / "begun"
    with monkeypatch.context() as patch:
        patch.setattr(MetricsFile, "on_train_epoch_start", stop_in_second_epoch)
        with pytest.raises(StoppedError):
            train_fold(data, tiny(), fold=0, folder=folder)
    checkpoint = folder / "fold0" / "last.ckpt"
    state = torch.load(checkpoint, weights_only=True)
    for name, callback in state["callbacks"].items():
        if "score" in name and name.startswith("FoldCheckpoint"):
            # No later epoch can be better than this one.
            callback["best_model_score"] = callback["kth_value"] = torch.tensor(2.0)
            callback["best_k_models"] = dict.fromkeys(callback["best_k_models"], torch.tensor(2.0))
    torch.save(state, checkpoint)
    moved = folder.rename(tmp_path / "moved")
    best = (moved / "fold0" / "best.ckpt").read_bytes()
    _, _, facts = load_network(train_fold(data, tiny(), fold=0, folder=moved))
    assert facts["epoch"] == 0
    assert (moved / "fold0" / "best.ckpt").read_bytes() == best
    assert not folder.exists()


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off", None])
def test_a_damaged_checkpoint_is_refused_in_one_line(data, trained, tmp_path, name, content):
    work = tmp_path / "fold0"
    shutil.copytree(trained.parent / "fold0", work)
    path = work / name
    path.write_bytes(path.read_bytes()[:-1000] if content is None else content)
    with pytest.raises(InputError) as error:
        train_fold(data, tiny(), fold=0, folder=tmp_path)
    assert str(error.value).startswith(f"{path}: cannot be read as a checkpoint (")
    assert str(error.value).endswith(f"); remove {work} to begin the fold anew")
    assert "\n" not in str(error.value)


class Crafted:
    """Runs a command of its maker's choice where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_no_code_of_a_crafted_checkpoint_runs(data, trained, tmp_path, name):
    work = tmp_path / "fold0"
    shutil.copytree(trained.parent / "fold0", work)
    state = torch.load(work / name, weights_only=True)
    torch.save(state | {"more": Crafted(tmp_path / "harm")}, work / name)
    with pytest.raises(InputError, match=r"cannot be read as a checkpoint \("):
        train_fold(data, tiny(), fold=0, folder=tmp_path)
    assert not (tmp_path / "harm").exists()


def test_two_trainings_of_a_fold_at_once_are_refused(data, tmp_path):
    work = tmp_path / "fold0"
    work.mkdir()
    with FileLock(work / ".lock"), pytest.raises(InputError) as error:
        train_fold(data, tiny(), fold=0, folder=tmp_path)
    assert str(error.value) == (
        f"{work}: another process trains this fold; wait until it has ended"
    )


def test_tensorboard_files_are_written_if_asked_for(data, tmp_path):
    pytest.importorskip("tensorboard")
    settings = tiny("training.epochs=1", "logging.tensorboard=true")
    train_fold(data, settings, fold=0, folder=tmp_path)
    assert list((tmp_path / "fold0" / "tensorboard").glob("events.out.tfevents.*"))


def test_a_finished_fold_is_not_trained_again(trained, data):
    before = trained.stat().st_mtime_ns
    settings = tiny("training.epochs=3")
    assert train_fold(data, settings, fold=0, folder=trained.parent) == trained
    assert trained.stat().st_mtime_ns == before


def start_training(folder: Path) -> subprocess.Popen[bytes]:
    # Without --limit, which would cut the epochs to two.
    overrides = [*TINY, "training.epochs=6", "folds.n_folds=2"]
    sets = [part for setting in overrides for part in ("--set", setting)]
    command = [sys.executable, "-m", "kaggle_dsb", "train", "--fold", "0", *sets]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
def test_a_training_killed_in_its_middle_goes_on_to_the_same_weights(tmp_path, how):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for folder in (killed, whole):
        write_demo(folder / "data", n_train=4, n_test=1)
    checkpoint = killed / "runs" / "mine" / "fold0" / "last.ckpt"
    process = start_training(killed)
    deadline = time.monotonic() + 240
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(how)
    said = process.communicate(timeout=120)[1].decode()
    if how == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130, said
        assert said.splitlines()[-1] == (
            "error: interrupted; nothing half-written is left, the same command goes on"
        )
    weights = Path("runs") / "mine" / "fold0.safetensors"
    assert not (killed / weights).exists()
    for folder in (killed, whole):
        process = start_training(folder)
        said = process.communicate(timeout=300)[1].decode()
        assert process.returncode == 0, said
        first_epoch = int(said[said.index("epoch ") :].split()[1])
        assert (first_epoch > 1) == (folder == killed)
    assert (killed / weights).read_bytes() == (whole / weights).read_bytes()
    columns = ["epoch", "loss", "score", "learning_rate"]
    tables = [
        pd.read_csv(f / "runs" / "mine" / "fold0" / "metrics.csv")[columns] for f in (killed, whole)
    ]
    pd.testing.assert_frame_equal(*tables)
    assert np.diff(tables[0]["epoch"]).tolist() == [1] * (len(tables[0]) - 1)
