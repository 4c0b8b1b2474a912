"""Small data, networks and calls that the tests of the verbs share."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from kaggle_dsb.config import NetworkSettings
from kaggle_dsb.instances.forest import Forest
from kaggle_dsb.instances.scorer import CandidateScorer

# The encoder is one that timm makes for tests: it is compiled and run in a fifth of the time.
TINY = NetworkSettings(
    encoder_name="tu-test_efficientnet",
    encoder_weights=None,
    decoder_channels=(16, 8, 8, 8, 8),
)
TINY_NETWORK = [
    f"network.encoder_name={TINY.encoder_name}",
    "network.encoder_weights=",
    f"network.decoder_channels={list(TINY.decoder_channels)}",
]
QUICK = ["--set", "prediction.tta=none"]
TWO_FOLDS = ["--set", "folds.n_folds=2"]


def write_png(path: Path, array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def crop_on_a_nucleus(image, labels, size):
    """Cut a window around the first nucleus, so that there is something in it."""
    middle = np.argwhere(labels == 1).mean(axis=0).astype(int)
    top, left = (
        max(0, min(m - s // 2, n - s)) for m, s, n in zip(middle, size, labels.shape, strict=True)
    )
    window = np.s_[top : top + size[0], left : left + size[1]]
    return image[window], labels[window]


def save_scorer(folder, *, fold, quality=0.5):
    """Write a scorer that expects the same quality of every candidate."""
    forest = Forest(
        feature=np.full(1, -1, np.int16),
        threshold=np.zeros(1),
        left=np.zeros(1, np.int32),
        right=np.zeros(1, np.int32),
        value=np.full(1, quality, np.float32),
        start=np.zeros(1, np.int32),
        base=np.zeros(1, np.float32),
    )
    CandidateScorer(forest).save(folder / f"scorer{fold}.safetensors")


def call_in_a_process(*arguments: str, **options) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kaggle_dsb", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **options)
