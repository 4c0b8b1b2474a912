"""Lightning callbacks that write checkpoints and metrics during training."""

import io
import os
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from kaggle_dsb.files import replacing
from kaggle_dsb.workspace.run import METRICS_COLUMNS


class FoldCheckpointIO(TorchCheckpointIO):
    """Writes each checkpoint atomically, to a temporary file in its own folder.

    Lightning writes to the system's temporary folder, and copies the file if that is on another
    disk: a process killed meanwhile would leave a truncated checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint atomically."""
        content = io.BytesIO()  # torch's error on a full disk does not name the cause
        torch.save(checkpoint, content)
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(content.getbuffer())


class FoldCheckpoint(ModelCheckpoint):
    """Writes checkpoints, and keeps the best score when the run's folder has been moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of an interrupted training, with paths in the current folder."""
        super().load_state_dict(_move(state_dict, state_dict["dirpath"], str(self.dirpath)))


def _move(state: Any, old: str, new: str) -> Any:
    """Return nested dictionaries with each path below ``old`` moved to ``new``."""
    if isinstance(state, dict):
        return {_move(key, old, new): _move(value, old, new) for key, value in state.items()}
    is_below = isinstance(state, str) and f"{state}{os.sep}".startswith(f"{old}{os.sep}")
    return new + state[len(old) :] if is_below else state


class LastEpochValidation(Callback):
    """Validates after the last epoch, whatever the number of epochs between validations."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate after each epoch from the last one on."""
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1


class MetricsFile(Callback):
    """Writes one row of `METRICS_COLUMNS` per epoch to ``metrics.csv``.

    A resumed training drops the rows of the epochs that it repeats.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._started = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the timer of the epoch."""
        self._started = time.monotonic()
        trainer.callback_metrics.pop("score", None)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the row and, if stderr is not a terminal, print it."""
        if not trainer.is_global_zero:
            return
        metrics = trainer.callback_metrics
        values = (
            trainer.current_epoch,
            round(float(metrics["loss"]), 5),
            round(float(metrics["score"]), 5) if "score" in metrics else None,
            trainer.optimizers[0].param_groups[0]["lr"],
            round(time.monotonic() - self._started, 1),
        )
        row = dict(zip(METRICS_COLUMNS, values, strict=True))
        rows = pd.read_csv(self._path).to_dict("records") if self._path.exists() else []
        kept = [old for old in rows if old["epoch"] < trainer.current_epoch]
        with replacing(self._path) as temporary:
            pd.DataFrame([*kept, row]).to_csv(temporary, index=False)
        if not sys.stderr.isatty():
            shown = row | {"epoch": f"{row['epoch'] + 1} of {trainer.max_epochs}"}
            print(" ".join(f"{k} {v}" for k, v in shown.items()), file=sys.stderr, flush=True)
