import errno
import os
import shutil
import signal
import tempfile
import warnings
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from kaggle_dsb.files import InputError, locking
from kaggle_dsb.network.model import load_network
from kaggle_dsb.training import fit
from kaggle_dsb.training.callbacks import MetricsFile
from kaggle_dsb.training.fit import read_checkpoint, train_fold
from kaggle_dsb.training.module import SegmentationModule
from kaggle_dsb.training.sources import FoldData
from tests.training import killed
from tests.training.tiny import tiny


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


@pytest.mark.parametrize(("every", "validated"), [(2, [1, 2]), (5, [2])])
def test_the_last_epoch_is_always_validated(data, tmp_path, every, validated):
    settings = tiny("training.epochs=3", f"training.validate_every_epochs={every}")
    _, _, facts = load_network(train_fold(data, settings, fold=0, folder=tmp_path))
    metrics = pd.read_csv(tmp_path / "fold0" / "metrics.csv").set_index("epoch")
    assert metrics["score"].dropna().index.tolist() == validated
    assert facts["epoch"] in validated


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


def test_a_training_killed_after_its_early_stop_gives_the_same_network(data, tmp_path, monkeypatch):
    scores = iter([0.3, 0.2, 0.5, 0.6])
    score = SegmentationModule.on_validation_epoch_end

    def log_next(module):
        score(module)
        module.trainer.callback_metrics["score"] = torch.tensor(next(scores))

    monkeypatch.setattr(SegmentationModule, "on_validation_epoch_end", log_next)
    settings = tiny("training.epochs=4", "training.patience=1")
    trained = train_fold(data, settings, fold=0, folder=tmp_path)
    kept = trained.read_bytes()
    assert len(pd.read_csv(tmp_path / "fold0" / "metrics.csv")) == 2
    trained.unlink()
    assert train_fold(data, settings, fold=0, folder=tmp_path).read_bytes() == kept
    assert len(pd.read_csv(tmp_path / "fold0" / "metrics.csv")) == 2


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


def test_no_pretrained_weights_are_needed_where_others_replace_them(
    trained, data, tmp_path, monkeypatch
):
    asked = []

    class Recording(SegmentationModule):
        def __init__(self, *args, pretrained, **kwargs):
            asked.append(pretrained)
            super().__init__(*args, pretrained=pretrained, **kwargs)

    monkeypatch.setattr(fit, "SegmentationModule", Recording)
    for start in (None, trained):
        train_fold(data, tiny(), fold=0, folder=tmp_path / str(start)[-4:], start_from=start)
    assert asked == [True, False]


def test_a_training_may_learn_from_trained_networks(trained, data, tmp_path):
    settings = tiny("training.epochs=1", "training.teacher_share=1")
    alone, taught = (
        train_fold(data, settings, fold=0, folder=tmp_path / name, teachers=teachers)
        for name, teachers in [("alone", []), ("taught", [trained])]
    )
    assert load_file(alone).keys() == load_file(taught).keys() == load_file(trained).keys()
    name = "unet.segmentation_head.0.weight"
    assert not torch.equal(load_file(alone)[name], load_file(taught)[name])


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
    assert str(error.value).endswith(f"); remove {work} to restart the fold")
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


def test_a_checkpoint_is_written_beside_the_place_it_takes(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    io = fit._trainer(tiny(), tmp_path, validates=True).strategy.checkpoint_io
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no temporary folder"))
    io.save_checkpoint({"epoch": 1}, path)

    def write_half(temporary, content):
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'$"):
        io.save_checkpoint({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [found.name for found in tmp_path.iterdir()] == ["last.ckpt"]


def test_two_trainings_of_a_fold_at_once_are_refused(data, tmp_path):
    work = tmp_path / "fold0"
    with locking(work, activity=""), pytest.raises(InputError) as error:
        train_fold(data, tiny(), fold=0, folder=tmp_path)
    assert str(error.value) == (
        f"{work}: another process is training this fold; wait until it finishes"
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name
)
def test_a_training_killed_in_its_middle_goes_on_to_the_same_weights(
    trained, data, forks, tmp_path, how
):
    process = forks.Process(target=killed.main, args=(tmp_path, int(how)))
    process.start()
    process.join()
    assert process.exitcode == (-how if how == signal.SIGKILL else 130)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fold0"]
    metrics = tmp_path / "fold0" / "metrics.csv"
    assert pd.read_csv(metrics)["epoch"].tolist() == [0]
    resumed = train_fold(data, tiny("training.epochs=3"), fold=0, folder=tmp_path)
    assert resumed.read_bytes() == trained.read_bytes()
    columns = ["epoch", "loss", "score", "learning_rate"]
    tables = [
        pd.read_csv(path)[columns] for path in (metrics, trained.parent / "fold0/metrics.csv")
    ]
    pd.testing.assert_frame_equal(*tables)


def test_reading_a_checkpoint_leaves_torchs_remarks_unsaid(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save({"epoch": 1}, path, pickle_protocol=4)  # which torch remarks on
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(InputError, match="cannot be read as a checkpoint"):
            read_checkpoint(path)
    assert not said
