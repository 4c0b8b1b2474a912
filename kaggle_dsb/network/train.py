"""Train the U-Net of one fold, resumable after any interruption to the same result."""

import ctypes
import importlib.util
import logging
import os
import pickle
import sys
import time
import warnings
from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pytorch_lightning.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
    RichProgressBar,
)
from pytorch_lightning.loggers import TensorBoardLogger
from segmentation_models_pytorch.losses import LovaszLoss
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.config import PredictionSettings, Settings, TrainingSettings
from kaggle_dsb.dataset.samples import Sample
from kaggle_dsb.files import InputError, replacing
from kaggle_dsb.instances.size import choose_zoom, median_diameter
from kaggle_dsb.instances.watershed import split_nuclei
from kaggle_dsb.network.augment import Augmenter
from kaggle_dsb.network.contrast import stretch_contrast
from kaggle_dsb.network.model import NucleusNet, save_network
from kaggle_dsb.network.predict import Predictor, choose_device, choose_precision
from kaggle_dsb.network.targets import N_BINARY, make_targets
from kaggle_dsb.network.transfer import copy_weights

METRICS_FILE = "metrics.csv"

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class FoldData:
    """What one fold trains on, and what is held out of it."""

    train: Sequence[Sample]
    train_weight: Sequence[float]
    held_out: Sequence[Sample]


def divide(
    samples: Sequence[Sample], folds: pd.DataFrame, *, fold: int, settings: Settings
) -> FoldData:
    """Divide samples by a table of folds.

    Parameters
    ----------
    samples : sequence of Sample
        With labels.
    folds : DataFrame
        As :func:`kaggle_dsb.dataset.folds.split_folds` gives it.

    Raises
    ------
    InputError
        When a sample stands in no fold, or nothing is left to train on or to hold out.

    Notes
    -----
    Each image type is drawn with the share that the settings give it, and within a type an image in
    proportion to the root of its area over the root of its group's size, so that neither 16 large
    images nor 75 crops of one screen are all that is seen.
    """
    row_of = folds.set_index("ImageId")
    missing = [sample.id for sample in samples if sample.id not in row_of.index]
    if missing:
        raise InputError(
            f"image {missing[0]} stands in no fold ({len(missing)} such): remake the folds"
        )
    train = [sample for sample in samples if row_of.at[sample.id, "fold"] != fold]
    held_out = [sample for sample in samples if row_of.at[sample.id, "fold"] == fold]
    if not (train and held_out):
        raise InputError(
            f"fold {fold} leaves {len(train)} images to train on and holds out {len(held_out)}: "
            f"both need at least one; there are folds {sorted(folds['fold'].unique().tolist())}"
        )
    rows = row_of.loc[[sample.id for sample in train]]
    area = np.array([sample.image[..., 0].size for sample in train])
    weight = np.sqrt(area / rows["group"].map(folds["group"].value_counts()).to_numpy())
    total = pd.Series(weight).groupby(rows["type"].to_numpy()).transform("sum").to_numpy()
    share = rows["type"].map(settings.training.type_shares.model_dump()).to_numpy()
    return FoldData(train, (weight / total * share).tolist(), held_out)


class CropDataset(Dataset[Batch]):
    """Training crops, each a function of the seed and its number alone.

    Crop n is the same whoever asks for it and whenever, so that neither the number of workers nor
    an interruption changes a training.
    """

    def __init__(self, data: FoldData, settings: Settings) -> None:
        self._images = [stretch_contrast(sample.image) for sample in data.train]
        self._labels = [require_labels(sample) for sample in data.train]
        weight = np.asarray(data.train_weight)
        self._share = weight / weight.sum()
        wanted = settings.network.nucleus_px
        self.zooms = [choose_zoom(median_diameter(one), wanted) for one in self._labels]
        self._augment = Augmenter(settings.augment)
        self._seed = settings.training.seed
        self._border_share = settings.training.border_share

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng([self._seed, number])
        chosen = int(rng.choice(len(self._share), p=self._share))
        image, labels = self._augment(
            self._images[chosen], self._labels[chosen], rng, zoom=self.zooms[chosen]
        )
        chw = np.ascontiguousarray(image.transpose(2, 0, 1))
        return torch.from_numpy(chw), torch.from_numpy(
            make_targets(labels, border_share=self._border_share)
        )


def require_labels(sample: Sample) -> NDArray[np.int32]:
    """Give the labels of a sample, or raise ``InputError`` where it has none."""
    if sample.labels is None:
        raise InputError(f"image {sample.id} has no masks: training needs a set with masks")
    return sample.labels


class CropNumbers(Sampler[int], Sized):
    """Counts the crops through all epochs; Lightning tells it the epoch."""

    def __init__(self, crops_per_epoch: int) -> None:
        self._n = crops_per_epoch
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Take the numbers of this epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._epoch * self._n, (self._epoch + 1) * self._n))

    def __len__(self) -> int:
        return self._n


def segmentation_loss(logits: Tensor, targets: Tensor, settings: TrainingSettings) -> Tensor:
    """Binary cross-entropy, plus a loss of overlap for each channel that is 0 or 1.

    Parameters
    ----------
    logits, targets : (B, 3, H, W) float32
    settings : TrainingSettings
        ``overlap_loss`` is one less the Dice overlap over the batch, the Lovász hinge of the
        Jaccard index [1]_, or nothing. The cross-entropy of a pixel within two pixels of a body's
        edge counts ``edge_weight`` times more; each is multiplied by the error to the power of
        ``focal_gamma`` [2]_.

    References
    ----------
    .. [1] M. Berman et al., The Lovász-softmax loss, CVPR 2018.
    .. [2] X. Li et al., Generalized focal loss, NeurIPS 2020: with targets between 0 and 1.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if settings.edge_weight:
        entropy = entropy * (1 + settings.edge_weight * near_edge(targets[:, :1]))
    if settings.focal_gamma:
        entropy = entropy * (targets - torch.sigmoid(logits)).abs() ** settings.focal_gamma
    loss = entropy.mean()
    binary = logits[:, :N_BINARY], targets[:, :N_BINARY]
    if settings.overlap_loss == "dice":
        loss = loss + dice_loss(*binary)
    elif settings.overlap_loss == "lovasz":
        loss = loss + lovasz_loss(*binary)
    return loss


def dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Give one less the Dice overlap of each channel over the batch, (B, C, H, W), their mean."""
    probability = torch.sigmoid(logits)
    overlap = (probability * targets).sum((0, 2, 3))
    total = (probability + targets).sum((0, 2, 3))
    return (1 - (2 * overlap + 1) / (total + 1)).mean()


def lovasz_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Give the Lovász hinge of each channel over the batch, (B, C, H, W), their mean."""
    hinge = LovaszLoss("binary")
    channels = [hinge(logits[:, c].float(), targets[:, c]) for c in range(logits.shape[1])]
    return torch.stack(channels).mean()


def near_edge(body: Tensor) -> Tensor:
    """Mark, 0 or 1, the pixels within two of a body's edge, for bodies (B, 1, H, W) of 0 and 1."""
    inside = F.max_pool2d(body, 5, stride=1, padding=2)
    outside = F.max_pool2d(1 - body, 5, stride=1, padding=2)
    return inside * outside


class FoldModule(pl.LightningModule):
    """The network, its loss and its optimiser, and the competition's score of what is held out."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.network = NucleusNet(settings.network, pretrained=True)
        self._scores: list[float] = []

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Give the loss of a batch of crops."""
        images, targets = batch
        loss = segmentation_loss(self.network(images), targets, self.settings.training)
        self.log("loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(images))
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW under one cycle of the learning rate over the whole training."""
        training = self.settings.training
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=training.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=0.15,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Leave held-out samples where they are: the predictor moves what it needs."""
        if isinstance(batch, list) and isinstance(batch[0], Sample):
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def on_validation_epoch_start(self) -> None:
        """Begin to collect scores, with a predictor that uses the weights of now."""
        self._scores = []
        plain = PredictionSettings(tta="none", scales=(1,))
        precision = choose_precision(self.settings.hardware.precision, self.device)
        self._predictor = Predictor(
            [self.network],
            plain,
            nucleus_px=self.settings.network.nucleus_px,
            device=self.device,
            precision=precision,
        )

    def validation_step(self, batch: list[Sample], _: int) -> None:
        """Score held-out images as the competition does."""
        for sample, probability in zip(
            batch, self._predictor.predict([sample.image for sample in batch]), strict=True
        ):
            predicted = split_nuclei(probability, **self.settings.instances.split())
            self._scores.append(score_image(require_labels(sample), predicted).score)

    def on_validation_epoch_end(self) -> None:
        """Log the mean score."""
        del self._predictor
        self.log("score", float(np.mean(self._scores)), prog_bar=True)


class MetricsFile(Callback):
    """Writes a row an epoch to ``metrics.csv``: epoch, loss, score, learning rate, seconds.

    A resumed training drops the rows of epochs that it does again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._started = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the epoch's clock."""
        self._started = time.monotonic()
        trainer.callback_metrics.pop("score", None)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the row and, where no progress bar can be seen, print it."""
        metrics = trainer.callback_metrics
        row = {
            "epoch": trainer.current_epoch,
            "loss": round(float(metrics["loss"]), 5),
            "score": round(float(metrics["score"]), 5) if "score" in metrics else None,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "elapsed_s": round(time.monotonic() - self._started, 1),
        }
        rows = pd.read_csv(self._path).to_dict("records") if self._path.exists() else []
        kept = [old for old in rows if old["epoch"] < trainer.current_epoch]
        with replacing(self._path) as temporary:
            pd.DataFrame([*kept, row]).to_csv(temporary, index=False)
        if not sys.stderr.isatty():
            print(" ".join(f"{k} {v}" for k, v in row.items()), file=sys.stderr, flush=True)


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
    module = FoldModule(settings)
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


def _trainer(settings: Settings, work: Path) -> pl.Trainer:
    training = settings.training
    device = choose_device(settings.hardware.accelerator)
    half = choose_precision(settings.hardware.precision, device) == torch.bfloat16
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
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if half else "32-true",
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


def count_cores() -> int:
    """Count the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare_hardware(settings: Settings) -> None:
    """Set the number of threads, and keep freed memory for the next step.

    Notes
    -----
    glibc gives each large array back to the system and so lets the kernel zero the same pages
    again at every step; a step on the CPU takes 7 to 14 % less time without
    (``python -m benchmarks.training_step``).
    """
    threads = settings.hardware.threads or count_cores()
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(-4, 0)  # M_MMAP_MAX
            libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
