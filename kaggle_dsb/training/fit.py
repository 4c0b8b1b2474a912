"""Train the U-Net of one fold, resumable after any interruption to the same result."""

import importlib.util
import logging
import pickle
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
    RichProgressBar,
)
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from kaggle_dsb.config import Settings
from kaggle_dsb.files import InputError
from kaggle_dsb.network.hardware import choose_device, choose_precision, prepare_hardware
from kaggle_dsb.network.model import save_network
from kaggle_dsb.training.callbacks import METRICS_FILE, MetricsFile
from kaggle_dsb.training.crops import Batch, CropDataset, CropNumbers, FoldData
from kaggle_dsb.training.module import SegmentationModule
from kaggle_dsb.training.transfer import copy_weights


def train_fold(data: FoldData, settings: Settings, *, fold: int, folder: Path) -> Path:
    """Train one fold, or go on where an interrupted training of it stopped.

    Parameters
    ----------
    data : FoldData
    settings : Settings
    fold : int
    folder : Path
        The run's folder. ``fold<N>/`` in it holds checkpoints and ``metrics.csv``.

    Returns
    -------
    Path
        ``fold<N>.safetensors`` in ``folder``: the weights with the best score, averaged over steps.
    """
    finished = folder / f"fold{fold}.safetensors"
    if finished.exists():
        return finished
    work = folder / f"fold{fold}"
    work.mkdir(parents=True, exist_ok=True)
    prepare_hardware(settings)
    pl.seed_everything(settings.training.seed, verbose=False)
    module = SegmentationModule(settings)
    last = _find_checkpoint(work)
    if settings.training.start_from is not None and last is None:
        copy_weights(settings.training.start_from / finished.name, module.network)
    with _quiet_lightning():
        trainer = _trainer(settings, work)
        try:
            trainer.fit(
                module,
                _train_loader(data, settings),
                DataLoader(list(data.held_out), batch_size=8, collate_fn=list),  # type: ignore[arg-type]
                ckpt_path=last,
                weights_only=False,
            )
        except SystemExit:  # what Lightning makes of Ctrl+C
            raise KeyboardInterrupt from None
    best = torch.load(work / "best.ckpt", map_location="cpu", weights_only=False)
    module.load_state_dict(best["state_dict"])
    metrics = pd.read_csv(work / METRICS_FILE).set_index("epoch")
    facts = {"fold": fold, "epoch": best["epoch"], "score": metrics.at[best["epoch"], "score"]}
    save_network(finished, module.network, settings, **facts)
    return finished


def _find_checkpoint(work: Path) -> Path | None:
    """Give the checkpoint to go on from, having seen that it is whole."""
    path = work / "last.ckpt"
    if not path.exists():
        return None
    try:
        torch.load(path, map_location="cpu", weights_only=False, mmap=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: is no readable checkpoint ({reason}); remove {work} to begin the fold anew"
        ) from None
    return path


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep Lightning from advertising, and from warning of what is meant as it is."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*isinstance.treespec, LeafSpec", FutureWarning)
        warnings.filterwarnings("ignore", ".*does not have many workers", UserWarning)
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists", UserWarning)
        yield


def _train_loader(data: FoldData, settings: Settings) -> DataLoader[Batch]:
    training = settings.training
    return DataLoader(
        CropDataset(data, settings),
        batch_size=training.batch_size,
        sampler=CropNumbers(training.crops_per_epoch),
        num_workers=training.workers,
        persistent_workers=training.workers > 0,
        drop_last=training.crops_per_epoch > training.batch_size,
    )


LIGHTNING_PRECISION: dict[str, Any] = {
    "float32": "32-true",
    "bfloat16": "bf16-mixed",
    "float16": "16-mixed",
}


def _trainer(settings: Settings, work: Path) -> pl.Trainer:
    training = settings.training
    device = choose_device(settings.hardware.accelerator)
    precision = choose_precision(settings.hardware.precision, device)
    callbacks: list[Callback] = [
        EMAWeightAveraging(decay=training.ema_decay),
        # The last checkpoint is written after the best one, since it records which that is.
        ModelCheckpoint(work, "best", monitor="score", mode="max", enable_version_counter=False),
        ModelCheckpoint(work, "last", save_on_train_epoch_end=True, enable_version_counter=False),
        EarlyStopping("score", mode="max", patience=training.patience),
        MetricsFile(work / METRICS_FILE),
    ]
    if sys.stderr.isatty():
        callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
    return pl.Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=1,
        precision=LIGHTNING_PRECISION[precision],
        max_epochs=training.epochs,
        check_val_every_n_epoch=min(training.validate_every_epochs, training.epochs),
        num_sanity_val_steps=0,
        callbacks=callbacks,
        logger=_make_logger(settings, work),
        log_every_n_steps=1,
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
        gradient_clip_val=1.0,
    )


def _make_logger(settings: Settings, work: Path) -> TensorBoardLogger | bool:
    if not settings.logging.tensorboard:
        return False
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError(
            "logging.tensorboard: tensorboard is not installed; install kaggle_dsb[tensorboard]"
        )
    return TensorBoardLogger(work, name="", version="tensorboard")
