"""Labels for benchmarks: synthetic ones, or those of a data set."""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.dataset.samples import load_samples, require_labels
from kaggle_dsb.workspace.source import open_source, require_train_set

Labels = NDArray[np.int32]

N_DRAWN = 65
SHIFT_PX = 2


def draw_discs(shape: tuple[int, int], n_nuclei: int, *, seed: int = 0) -> Labels:
    """Draw discs, one near the centre of each cell of a grid."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, dtype=np.int32)
    side = int(np.ceil(np.sqrt(n_nuclei)))
    radius = 0.35 * min(shape) / side
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for number in range(n_nuclei):
        cell = (np.array(divmod(number, side)) + 0.5) * np.array(shape) / side
        row, column = cell + rng.uniform(-0.1, 0.1, size=2) * radius
        window = np.s_[
            max(0, int(row - radius)) : int(row + radius) + 2,
            max(0, int(column - radius)) : int(column + radius) + 2,
        ]
        inside = (rows[window[0]] - row) ** 2 + (columns[:, window[1]] - column) ** 2 < radius**2
        labels[window][inside] = number + 1
    return labels


def predict(truth: Labels) -> Labels:
    """Return the truth shifted by two pixels."""
    return np.roll(truth, SHIFT_PX, axis=1)


@cache
def load_labels(data: Path | None, work: Path) -> list[Labels]:
    """Load the labels of a data set, cached in ``work``; draw synthetic ones without."""
    if data is None:
        return [draw_discs((512, 640), 100, seed=seed) for seed in range(N_DRAWN)]
    source = open_source(data, work=work)
    samples = load_samples(source.cache, require_train_set(source))
    return [require_labels(sample) for sample in samples]
