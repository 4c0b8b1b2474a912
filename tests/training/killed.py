"""Train, and be killed in the second epoch."""

import os
import signal
import sys
from pathlib import Path

from kaggle_dsb.training.callbacks import MetricsFile
from kaggle_dsb.training.fit import train_fold
from tests.training.tiny import make_data, tiny


def main(folder: Path, number: int) -> None:
    """Train until the signal comes; leave with 130 where it becomes a ``KeyboardInterrupt``."""
    # A shell starts what runs in the background with Ctrl+C ignored, the test run included.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def kill(callback, trainer, *_):
        if trainer.current_epoch == 1:
            os.kill(os.getpid(), number)

    MetricsFile.on_train_batch_end = kill
    try:
        train_fold(make_data(), tiny("training.epochs=3"), fold=0, folder=folder)
    except KeyboardInterrupt:
        sys.exit(130)
