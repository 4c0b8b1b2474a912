"""Train the U-Net of one fold; an interrupted training resumes to the same result."""

import importlib.util
import logging
import os
import pickle
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    RichProgressBar,
)
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from kaggle_dsb.config import Settings
from kaggle_dsb.files import InputError, locking, remove_leftovers
from kaggle_dsb.network.hardware import (
    choose_device,
    choose_precision,
    keep_freed_memory,
    prepare_hardware,
)
from kaggle_dsb.network.model import load_network, save_network
from kaggle_dsb.training.callbacks import (
    FoldCheckpoint,
    FoldCheckpointIO,
    LastEpochValidation,
    MetricsFile,
)
from kaggle_dsb.training.crops import FoldDataModule
from kaggle_dsb.training.module import SegmentationModule
from kaggle_dsb.training.sources import FoldData
from kaggle_dsb.training.transfer import copy_weights
from kaggle_dsb.workspace.run import METRICS_FILE, Run

LIGHTNING_PRECISION: dict[str, Any] = {
    "float32": "32-true",
    "bfloat16": "bf16-mixed",
    "float16": "16-mixed",
}


def train_fold(
    data: FoldData,
    settings: Settings,
    *,
    fold: int | None,
    folder: Path,
    start_from: Path | None = None,
    teachers: Sequence[Path] = (),
) -> Path:
    """Train the network of a fold, or resume an interrupted training of it.

    Parameters
    ----------
    data : FoldData
    settings : Settings
    fold : int or None
        None is the network trained on everything.
    folder : Path
        The run's folder. Its subfolder ``fold<N>/`` holds checkpoints and ``metrics.csv``.
    start_from : Path, optional
        A trained network to initialise the weights from.
    teachers : sequence of Path
        Trained networks for knowledge distillation.

    Returns
    -------
    Path
        ``fold<N>.safetensors`` in ``folder``: the EMA weights with the best score. For the network
        trained on everything, ``fast.safetensors``: the last EMA weights.

    Raises
    ------
    InputError
        When a checkpoint is damaged, another process trains the fold, or the network to start from
        has another architecture.
    """
    trained, work = Run(folder).network_file(fold), Run(folder).work_folder(fold)
    if trained.exists():
        return trained
    work.mkdir(parents=True, exist_ok=True)
    with _locked(work) if is_first_process() else nullcontext():
        seed = settings.training.seed + (fold or 0)
        module = _fit(data, settings, work, seed=seed, start=start_from, teachers=teachers)
        if is_first_process():
            kept = work / ("best.ckpt" if data.held_out else "last.ckpt")
            checkpoint = read_checkpoint(kept)
            module.load_state_dict(checkpoint["state_dict"])
            metrics = pd.read_csv(work / METRICS_FILE).set_index("epoch")
            epoch = checkpoint["epoch"]
            score = metrics["score"].to_dict()[epoch] if data.held_out else None
            save_network(trained, module.network, settings, fold=fold, epoch=epoch, score=score)
    return trained


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    """Lock the folder of a fold, and remove leftovers of killed processes."""
    with locking(work, activity="training this fold"):
        remove_leftovers(work, age_s=0)
        yield


def is_first_process() -> bool:
    """Return whether this is the only process of a training, or the first of several."""
    rank = int(getattr(rank_zero_only, "rank", None) or 0)
    node = int(os.environ.get("NODE_RANK") or os.environ.get("GROUP_RANK") or 0)
    return rank == node == 0


def _fit(
    data: FoldData,
    settings: Settings,
    work: Path,
    *,
    seed: int,
    start: Path | None,
    teachers: Sequence[Path],
) -> SegmentationModule:
    prepare_hardware(settings)
    keep_freed_memory()
    pl.seed_everything(seed, verbose=False)
    last = _find_checkpoint(work)
    module = SegmentationModule(
        settings,
        pretrained=start is None and last is None,
        teachers=[load_network(path)[0] for path in teachers],
    )
    if start is not None and last is None:
        copy_weights(start, module.network)
    if last is not None and _has_stopped(last):
        return module  # interrupted between its early stop and the saving of the network
    with _quiet_lightning():
        trainer = _trainer(settings, work, validates=bool(data.held_out))
        try:
            trainer.fit(
                module,
                datamodule=FoldDataModule(data, settings, seed=seed),
                ckpt_path=last,
                weights_only=True,
            )
        except SystemExit:  # Lightning turns Ctrl+C and SIGTERM into it
            raise KeyboardInterrupt from None
        except RuntimeError as error:
            if trainer.world_size > 1 and _is_lost_connection(error):
                raise InputError(
                    f"{work}: one of the {trainer.world_size} processes was lost; run the same "
                    "command again on every machine to resume"
                ) from None
            raise
    return module


def _is_lost_connection(error: RuntimeError) -> bool:
    """Return whether a connection to another process failed; gloo has no error type of its own."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def _has_stopped(last: Path) -> bool:
    """Return whether early stopping had ended the training of a checkpoint."""
    states = read_checkpoint(last).get("callbacks", {})
    return any(
        state["wait_count"] >= state["patience"]
        for name, state in states.items()
        if name.startswith("EarlyStopping")
    )


def _find_checkpoint(work: Path) -> Path | None:
    """Return the checkpoint to resume from, after checking it and that of the best epoch."""
    last, best = work / "last.ckpt", work / "best.ckpt"
    if not last.exists():
        return None
    for path in (last, best):
        if path.exists():
            read_checkpoint(path)
    return last


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without executing code that it may contain.

    Raises
    ------
    InputError
        When it is missing, damaged, or holds more than tensors and plain values.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about a damaged file
            checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if not isinstance(checkpoint, dict):
            raise TypeError(f"contains a {type(checkpoint).__name__}")
        return checkpoint
    except pickle.UnpicklingError:
        reason = "it is damaged or contains more than tensors and plain values"
    except Exception as error:  # damaged bytes fail in many ways
        reason = ascii(str(error).partition("\n")[0])[1:-1]
    raise InputError(
        f"{path}: cannot be read as a checkpoint ({reason}); remove {path.parent} to restart the "
        "fold"
    )


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence Lightning's advertisements, and its warnings of intended behaviour."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*isinstance.treespec, LeafSpec", FutureWarning)
        warnings.filterwarnings("ignore", ".*does not have many workers", UserWarning)
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists", UserWarning)
        yield


def _trainer(settings: Settings, work: Path, *, validates: bool) -> pl.Trainer:
    training, hardware = settings.training, settings.hardware
    device = choose_device(hardware.accelerator)
    if device == "cuda" and hardware.devices > torch.cuda.device_count():
        raise InputError(
            f"hardware.devices = {hardware.devices}: torch finds {torch.cuda.device_count()} GPUs "
            "here; hardware.accelerator = 'cpu' trains with as many processes on the CPU"
        )
    n_devices = hardware.devices * hardware.nodes
    return pl.Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        strategy="ddp" if n_devices > 1 else "auto",
        sync_batchnorm=n_devices > 1 and device == "cuda",
        use_distributed_sampler=False,  # CropNumbers distributes the crops
        precision=LIGHTNING_PRECISION[choose_precision(hardware.precision, device)],
        max_epochs=training.epochs,
        check_val_every_n_epoch=training.validate_every_epochs,
        limit_val_batches=None if validates else 0,
        num_sanity_val_steps=0,
        callbacks=_callbacks(settings, work, validates=validates),
        plugins=[FoldCheckpointIO()],
        logger=_make_logger(settings, work),
        log_every_n_steps=1,
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
        gradient_clip_val=1.0,
    )


def _callbacks(settings: Settings, work: Path, *, validates: bool) -> list[Callback]:
    training = settings.training
    callbacks: list[Callback] = [EMAWeightAveraging(decay=training.ema_decay)]
    if validates:
        callbacks += [
            LastEpochValidation(),
            FoldCheckpoint(work, "best", monitor="score", mode="max", enable_version_counter=False),
            EarlyStopping("score", mode="max", patience=training.patience),
        ]
    # The last checkpoint is written after the best one, since it records the best.
    callbacks += [
        FoldCheckpoint(work, "last", save_on_train_epoch_end=True, enable_version_counter=False),
        MetricsFile(work / METRICS_FILE),
    ]
    if sys.stderr.isatty():
        callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
    return callbacks


def _make_logger(settings: Settings, work: Path) -> TensorBoardLogger | bool:
    if not settings.logging.tensorboard:
        return False
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError(
            "logging.tensorboard: tensorboard is not installed; pip install "
            "'kaggle_dsb[tensorboard]'"
        )
    return TensorBoardLogger(work, name="", version="tensorboard")
