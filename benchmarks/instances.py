"""Time how long it takes to cut a probability map into nuclei, step by step.

Run with ``python benchmarks/instances.py``. The map is drawn: 100 nuclei on 512 x 640 pixels, as
uncertain at their edges as a network leaves them. Times are of the processor, best of several.
"""

import time
from collections.abc import Callable

import cv2
import numpy as np

from kaggle_dsb.instances.features import describe_image
from kaggle_dsb.instances.finder import NucleusFinder
from kaggle_dsb.instances.scorer import load_scorer, predict_quality
from kaggle_dsb.instances.watershed import WatershedParameters, watershed_nuclei
from kaggle_dsb.workspace.run import BUNDLED

SHAPE, N_NUCLEI = (512, 640), 100


def draw() -> tuple[np.ndarray, np.ndarray]:
    """Draw an image and its probability map."""
    rng = np.random.default_rng(0)
    body, depth = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    for row, column in rng.integers(20, np.array(SHAPE) - 20, (N_NUCLEI, 2)).tolist():
        cv2.circle(body, (column, row), 14, 1, -1)
        cv2.circle(depth, (column, row), 8, 1, -1)
    body, depth = (cv2.GaussianBlur(plane, (0, 0), 2).astype(np.float32) for plane in (body, depth))
    noisy = np.clip(200 * body + rng.normal(20, 6, SHAPE), 0, 255).astype(np.uint8)
    return np.repeat(noisy[..., None], 3, 2), np.stack([body, 0 * body, depth])


def best_ms(function: Callable[[], object], repeats: int = 7) -> float:
    """Return the least processor time of some calls, in milliseconds."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def main() -> None:
    """Print a line a step."""
    image, probability = draw()
    parameters, scorer = WatershedParameters(), load_scorer(BUNDLED / "scorer0.safetensors")
    nuclei = watershed_nuclei(probability, parameters)

    def describe() -> tuple[object, np.ndarray]:
        return describe_image(probability, image, nuclei, outline_threshold=0.3)

    _, features = describe()
    finder = NucleusFinder(parameters, [scorer])
    steps = {
        "watershed": lambda: watershed_nuclei(probability, parameters),
        "candidates and features": describe,
        "one scorer": lambda: predict_quality([scorer], features),
        "all, with one scorer": lambda: finder.find(probability, image),
    }
    print(f"{SHAPE[0]} x {SHAPE[1]} pixels, {len(features)} candidates")
    for name, step in steps.items():
        print(f"{name:24} {best_ms(step):6.1f} ms")


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
