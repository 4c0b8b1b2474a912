"""Time the score and the run lengths against their naive versions, on synthetic labels.

Run from the repository root: ``python -m benchmarks.competition``. The labels are 65 images of
512 x 640 pixels with 100 discs each; the prediction is the truth moved by two pixels.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kaggle_dsb.competition import metric, rle
from tests import reference

SHAPE = (512, 640)
RADIUS_PX = 18
SHIFT_PX = 2
DISCS_A_SIDE = 10


def draw_discs(seed: int) -> NDArray[np.int32]:
    """Draw 100 discs, one near the middle of each cell of a 10 x 10 grid."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(SHAPE)
    labels = np.zeros(SHAPE, dtype=np.int32)
    for number in range(DISCS_A_SIDE**2):
        cell = np.array(divmod(number, DISCS_A_SIDE)) + 0.5
        row, column = cell * np.array(SHAPE) / DISCS_A_SIDE + rng.uniform(-4, 4, size=2)
        labels[(rows - row) ** 2 + (columns - column) ** 2 < RADIUS_PX**2] = number + 1
    return labels


def measure(job: Callable[[], object]) -> float:
    """Return the seconds that a job takes."""
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


def main() -> None:
    """Print the seconds for all images; the naive versions are measured on one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=65)
    n_images = parser.parse_args().images
    truth = {str(seed): draw_discs(seed) for seed in range(n_images)}
    predicted = {key: np.roll(labels, SHIFT_PX, axis=1) for key, labels in truth.items()}

    print(f"{n_images} images of {SHAPE[0]} x {SHAPE[1]} pixels with {DISCS_A_SIDE**2} nuclei")
    score_s = measure(lambda: metric.score_images(truth, predicted))
    naive_s = measure(lambda: reference.precision(truth["0"], predicted["0"])) * n_images
    print(f"score    {score_s:6.2f} s, naive {naive_s:7.0f} s, {naive_s / score_s:6.0f} times")
    encode_s = measure(lambda: [rle.encode_labels(labels) for labels in truth.values()])
    naive_s = measure(lambda: reference.encode_labels(truth["0"])) * n_images
    print(f"encode   {encode_s:6.2f} s, naive {naive_s:7.0f} s, {naive_s / encode_s:6.0f} times")


if __name__ == "__main__":
    main()
