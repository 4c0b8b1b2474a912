"""What a training writes down while it runs."""

import sys
import time
from pathlib import Path

import pandas as pd
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from kaggle_dsb.files import replacing

METRICS_FILE = "metrics.csv"


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
