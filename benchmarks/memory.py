"""Measure the memory of ``submit --fast`` above that for one small image.

``python -m benchmarks.memory --images 3019`` predicts that many images of the demo's generator, and
``--side 10000`` one image of 10,000 x 10,000 pixels assembled from some; each runs for many
minutes. Measured is the peak resident memory of the whole command, one process.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.timing import describe_machine
from kaggle_dsb.dataset.demo import make_image

N_PATTERNS = 16


def measure_peak(folder: Path) -> float:
    """Return the peak memory, in GiB, of ``submit --fast`` for the images in ``folder/data``."""
    command = [sys.executable, "-m", "kaggle_dsb", "submit", "--fast", "--data", "data"]
    child = os.posix_spawn(
        "/usr/bin/env",
        ["env", "-C", str(folder), f"PYTHONPATH={Path.cwd()}", *command, "--name", "memory"],
        os.environ,
    )
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"submit ended with status {status}")
    return usage.ru_maxrss / 2**20  # from KiB


def write_images(folder: Path, n_images: int) -> None:
    """Write images of the demo's generator."""
    folder.mkdir(parents=True)
    for number in range(n_images):
        image, _ = make_image(number, look=number)
        cv2.imwrite(str(folder / f"image{number:05}.png"), image[..., ::-1])


def write_large(folder: Path, side: int) -> None:
    """Write one large image, assembled from generated ones of one look."""
    folder.mkdir(parents=True)
    tiles = [make_image(seed)[0] for seed in range(N_PATTERNS)]
    height = min(tile.shape[0] for tile in tiles)
    strip = np.concatenate([tile[:height] for tile in tiles], axis=1)
    times = (-(-side // height), -(-side // strip.shape[1]), 1)
    image = np.tile(strip, times)[:side, :side]
    cv2.imwrite(str(folder / "large.png"), image[..., ::-1])


def main() -> None:
    """Print one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=0, metavar="N")
    parser.add_argument("--side", type=int, default=0, metavar="PX")
    arguments = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as scratch:
        small = Path(scratch, "small")
        write_images(small / "data", 1)
        base_gb = measure_peak(small)
        print(f"one small image: {base_gb:.2f} GiB", flush=True)
        for name, n, write in (
            (f"{arguments.images} images", arguments.images, write_images),
            (f"{arguments.side} x {arguments.side} pixels", arguments.side, write_large),
        ):
            if not n:
                continue
            folder = Path(scratch, name)
            write(folder / "data", n)
            started_s = time.monotonic()
            peak_gb = measure_peak(folder)
            print(
                f"{name}: {peak_gb:.2f} GiB, {peak_gb - base_gb:.2f} above, "
                f"{time.monotonic() - started_s:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
