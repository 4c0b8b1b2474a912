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

from kaggle_dsb.config import Settings, TrainingSettings, load_settings
from kaggle_dsb.dataset.demo import make_image, write_demo
from kaggle_dsb.dataset.samples import Sample
from kaggle_dsb.files import InputError
from kaggle_dsb.instances.size import choose_zoom, median_diameter
from kaggle_dsb.network.model import load_network
from kaggle_dsb.network.train import (
    CropDataset,
    divide,
    lovasz_loss,
    near_edge,
    segmentation_loss,
    train_fold,
)

TINY = [
    "network.decoder_channels=[16, 8, 8, 8, 8]",
    "augment.crop_px=64",
    "training.epochs=2",
    "training.crops_per_epoch=8",
    "training.batch_size=4",
    "training.validate_every_epochs=1",
    "hardware.threads=1",
]


def tiny(*more: str) -> Settings:
    return load_settings(overrides=[*TINY, *more])


@pytest.fixture(scope="module")
def samples():
    made = [make_image(look, look=look) for look in (0, 1, 4, 7)]
    return [Sample(f"i{n}", i[:96, :96], x[:96, :96]) for n, (i, x) in enumerate(made)]


@pytest.fixture(scope="module")
def folds():
    return pd.DataFrame(
        {
            "ImageId": ["i0", "i1", "i2", "i3"],
            "type": ["fluorescence", "fluorescence", "tissue", "brightfield"],
            "group": [0, 1, 2, 3],
            "fold": [0, 1, 1, 1],
        }
    )


def test_what_is_held_out_is_not_trained_on(samples, folds):
    data = divide(samples, folds, fold=0, settings=tiny())
    assert [s.id for s in data.held_out] == ["i0"]
    assert [s.id for s in data.train] == ["i1", "i2", "i3"]


def test_each_type_is_drawn_with_its_share(samples, folds):
    shares = tiny().training.type_shares
    weight = divide(samples, folds, fold=0, settings=tiny()).train_weight
    assert weight == pytest.approx([shares.fluorescence, shares.tissue, shares.brightfield])


def test_an_image_in_no_fold_is_refused(samples, folds):
    with pytest.raises(InputError) as error:
        divide(samples, folds[1:], fold=0, settings=tiny())
    assert str(error.value) == "image i0 stands in no fold (1 such): remake the folds"


def test_a_fold_that_holds_nothing_out_is_refused(samples, folds):
    with pytest.raises(InputError) as error:
        divide(samples, folds, fold=5, settings=tiny())
    assert str(error.value) == (
        "fold 5 leaves 4 images to train on and holds out 0: both need at least one; "
        "there are folds [0, 1]"
    )


def test_a_crop_depends_on_its_number_alone(samples, folds):
    data = divide(samples, folds, fold=0, settings=tiny())
    one, other = CropDataset(data, tiny()), CropDataset(data, tiny())
    other[3]
    assert all((a == b).all() for a, b in zip(one[7], other[7], strict=True))
    assert (one[7][0] != one[8][0]).any()
    assert (one[7][0] != CropDataset(data, tiny("training.seed=1"))[7][0]).any()


@pytest.mark.parametrize(
    "loss",
    [
        {},
        {"overlap_loss": "lovasz"},
        {"overlap_loss": "none"},
        {"focal_gamma": 2, "edge_weight": 1},
    ],
)
def test_the_loss_falls_to_nothing_as_the_logits_come_right(loss):
    settings = TrainingSettings(**loss)
    targets = torch.zeros(2, 3, 8, 8)
    targets[:, :, 2:5, 2:5] = 1
    right, wrong = (targets * 2 - 1) * 20, (1 - targets * 2) * 20
    unsure = torch.zeros_like(targets)
    losses = [float(segmentation_loss(x, targets, settings)) for x in (right, unsure, wrong)]
    assert losses[0] < 0.01
    assert losses == sorted(losses)


def test_a_pixel_near_an_edge_counts_more_if_asked():
    targets = torch.zeros(1, 3, 32, 32)
    targets[:, :, 10:22, 10:22] = 1
    far, near = (targets * 2 - 1) * 20, (targets * 2 - 1) * 20
    far[..., 16, 16] = near[..., 10, 16] = -20
    losses = [
        segmentation_loss(x, targets, TrainingSettings(edge_weight=w))
        for x in (far, near)
        for w in (0, 2)
    ]
    assert losses[1] == losses[0] == losses[2]
    assert losses[3] > losses[2]


def test_a_pixel_that_is_nearly_right_counts_less_with_focal_gamma():
    targets = torch.ones(1, 3, 4, 4)
    nearly, wrong = targets * 2, targets * -2

    def share(gamma):
        settings = TrainingSettings(overlap_loss="none", focal_gamma=gamma)
        return segmentation_loss(nearly, targets, settings) / segmentation_loss(
            wrong, targets, settings
        )

    p = torch.sigmoid(torch.tensor(2.0))
    assert share(2) == pytest.approx(float(share(0) * ((1 - p) / p) ** 2))


def test_the_lovasz_loss_of_one_wrong_pixel_is_what_the_jaccard_index_loses():
    targets = torch.zeros(1, 2, 4, 4)
    targets[:, :, :2] = 1
    logits = targets * 2 - 1  # a margin of 1: no hinge
    logits[0, 0, 0, 0] = -1  # a hinge of 2, where the index falls from 8/8 to 7/8
    assert float(lovasz_loss(logits, targets)) == pytest.approx((2 / 8 + 0) / 2)


def test_the_edge_of_a_body_is_two_pixels_wide_to_either_side():
    body = torch.zeros(1, 1, 1, 12)
    body[..., 6:] = 1
    assert near_edge(body)[0, 0, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]


def test_crops_show_nuclei_at_the_size_the_network_is_made_for(samples, folds):
    settings = tiny("augment.scale_range=[1, 1]", "augment.crop_px=192", "network.nucleus_px=20")
    data = divide(samples, folds, fold=0, settings=settings)
    dataset = CropDataset(data, settings)
    wanted = [choose_zoom(median_diameter(s.labels), 20) for s in data.train]
    assert dataset.zooms == wanted
    assert len(set(wanted)) > 1


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
        f"{trained}: cannot start the network that is to be trained, which is built otherwise; set "
        "network.encoder_name=tu-tf_efficientnet_lite2 and "
        "network.decoder_channels=[16, 8, 8, 8, 8] or wider"
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
