import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from kaggle_dsb.dataset.demo import write_demo
from kaggle_dsb.files import InputError
from kaggle_dsb.network.model import load_network
from kaggle_dsb.training.crops import divide
from kaggle_dsb.training.fit import train_fold
from tests.training.tiny import TINY, tiny


@pytest.fixture(scope="module")
def trained(samples, folds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    settings = tiny("training.epochs=3")
    data = divide(samples, folds, fold=0, settings=settings)
    return train_fold(data, settings, fold=0, folder=folder)


def test_training_lowers_the_loss(trained):
    metrics = pd.read_csv(trained.parent / "fold0" / "metrics.csv")
    assert metrics["epoch"].tolist() == [0, 1, 2]
    assert metrics["loss"].iloc[-1] < metrics["loss"].iloc[0]
    assert metrics["score"].between(0, 1).all()


def test_a_training_shorter_than_the_wait_for_a_score_is_scored_at_its_end(
    samples, folds, tmp_path
):
    settings = tiny("training.epochs=1", "training.validate_every_epochs=5")
    data = divide(samples, folds, fold=0, settings=settings)
    _, _, facts = load_network(train_fold(data, settings, fold=0, folder=tmp_path))
    assert facts["epoch"] == 0
    assert 0 <= facts["score"] <= 1


def test_the_kept_network_says_what_it_is(trained):
    network, settings, facts = load_network(trained)
    assert settings == tiny("training.epochs=3")
    assert facts["fold"] == 0
    assert 0 <= facts["score"] <= 1
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 3, 32, 32)


def test_the_same_seed_gives_the_same_weights(trained, samples, folds, tmp_path):
    settings = tiny("training.epochs=3")
    data = divide(samples, folds, fold=0, settings=settings)
    again = train_fold(data, settings, fold=0, folder=tmp_path)
    assert again.read_bytes() == trained.read_bytes()


def test_another_seed_gives_other_weights(trained, samples, folds, tmp_path):
    settings = tiny("training.epochs=3", "training.seed=1")
    data = divide(samples, folds, fold=0, settings=settings)
    other = train_fold(data, settings, fold=0, folder=tmp_path)
    name = "unet.segmentation_head.0.weight"
    assert not torch.equal(load_file(other)[name], load_file(trained)[name])


def test_a_training_killed_after_its_last_epoch_still_gives_its_network(trained, samples, folds):
    before = trained.read_bytes()
    trained.unlink()
    settings = tiny("training.epochs=3")
    data = divide(samples, folds, fold=0, settings=settings)
    assert train_fold(data, settings, fold=0, folder=trained.parent).read_bytes() == before


def test_a_training_may_go_on_from_the_network_of_another_run(trained, samples, folds, tmp_path):
    slow = ["training.epochs=1", "training.learning_rate=1e-9"]
    settings = tiny(f"training.start_from={trained.parent}", *slow)
    data = divide(samples, folds, fold=0, settings=settings)
    name, begun = "unet.segmentation_head.0.weight", load_file(trained)
    further = load_file(train_fold(data, settings, fold=0, folder=tmp_path / "further"))
    assert torch.equal(further[name], begun[name])
    anew = load_file(train_fold(data, tiny(*slow), fold=0, folder=tmp_path / "anew"))
    assert not torch.equal(anew[name], begun[name])


def test_a_training_cannot_go_on_from_a_network_of_another_shape(trained, samples, folds, tmp_path):
    settings = tiny(
        f"training.start_from={trained.parent}", "network.decoder_channels=[8, 8, 8, 8, 8]"
    )
    data = divide(samples, folds, fold=0, settings=settings)
    with pytest.raises(InputError) as error:
        train_fold(data, settings, fold=0, folder=tmp_path)
    assert str(error.value) == (
        f"{trained}: has another architecture than the network to train; set "
        "network.encoder_name=tu-tf_efficientnet_lite2 and "
        "network.decoder_channels=[16, 8, 8, 8, 8]"
    )


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off"])
def test_a_damaged_checkpoint_is_refused_in_one_line(samples, folds, tmp_path, content):
    path = tmp_path / "fold0" / "last.ckpt"
    path.parent.mkdir()
    path.write_bytes(content)
    data = divide(samples, folds, fold=0, settings=tiny())
    with pytest.raises(InputError) as error:
        train_fold(data, tiny(), fold=0, folder=tmp_path)
    assert str(error.value).startswith(f"{path}: is no readable checkpoint (")
    assert str(error.value).endswith(f"); remove {path.parent} to begin the fold anew")
    assert "\n" not in str(error.value)


def test_tensorboard_files_are_written_if_asked_for(samples, folds, tmp_path):
    pytest.importorskip("tensorboard")
    settings = tiny("training.epochs=1", "logging.tensorboard=true")
    data = divide(samples, folds, fold=0, settings=settings)
    train_fold(data, settings, fold=0, folder=tmp_path)
    assert list((tmp_path / "fold0" / "tensorboard").glob("events.out.tfevents.*"))


def test_a_finished_fold_is_not_trained_again(trained, samples, folds):
    before = trained.stat().st_mtime_ns
    settings = tiny("training.epochs=3")
    data = divide(samples, folds, fold=0, settings=settings)
    assert train_fold(data, settings, fold=0, folder=trained.parent) == trained
    assert trained.stat().st_mtime_ns == before


def start_training(folder: Path) -> subprocess.Popen[bytes]:
    overrides = [x for setting in [*TINY, "training.epochs=6"] for x in ("--set", setting)]
    command = [
        sys.executable,
        "-m",
        "kaggle_dsb",
        "train",
        "--limit",
        "4",
        "--fold",
        "0",
        *overrides,
    ]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.slow
def test_a_training_killed_in_its_middle_goes_on_to_the_same_weights(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for folder in (killed, whole):
        write_demo(folder / "data", n_train=4, n_test=1)
    checkpoint = killed / "runs" / "mine" / "fold0" / "last.ckpt"
    process = start_training(killed)
    deadline = time.monotonic() + 240
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    weights = Path("runs") / "mine" / "fold0.safetensors"
    assert not (killed / weights).exists()
    for folder in (killed, whole):
        process = start_training(folder)
        said = process.communicate(timeout=300)[1].decode()
        assert process.returncode == 0, said
        first_epoch = int(said[said.index("epoch ") :].split()[1])
        assert (first_epoch > 0) == (folder == killed)
    assert (killed / weights).read_bytes() == (whole / weights).read_bytes()
    columns = ["epoch", "loss", "score", "learning_rate"]
    tables = [
        pd.read_csv(f / "runs" / "mine" / "fold0" / "metrics.csv")[columns] for f in (killed, whole)
    ]
    pd.testing.assert_frame_equal(*tables)
    assert np.diff(tables[0]["epoch"]).tolist() == [1] * (len(tables[0]) - 1)
