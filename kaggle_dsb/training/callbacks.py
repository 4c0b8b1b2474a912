"""What a training writes down while it runs."""

import io
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
    """Writes a checkpoint beside the place it takes.

    Lightning writes it to the system's temporary folder, and copies it where that is on another
    disk: a process killed meanwhile would leave the first part of it.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint, whole or not at all."""
        content = io.BytesIO()  # of a full disk torch does not say that it is full
        torch.save(checkpoint, content)
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(content.getbuffer())


class FoldCheckpoint(ModelCheckpoint):
    """Writes a checkpoint, and keeps the best score when the run's folder has been moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the state of an interrupted training, with the paths of the present folder."""
        super().load_state_dict(_move(state_dict, state_dict["dirpath"], str(self.dirpath)))


def _move(state: Any, old: str, new: str) -> Any:
    """Return nested dictionaries with each path below ``old`` put below ``new``."""
    if isinstance(state, dict):
        return {_move(key, old, new): _move(value, old, new) for key, value in state.items()}
    is_below = isinstance(state, str) and (state == old or state.startswith(f"{old}/"))
    return new + state[len(old) :] if is_below else state


class MetricsFile(Callback):
    """Writes a row of `METRICS_COLUMNS` an epoch to ``metrics.csv``.

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
