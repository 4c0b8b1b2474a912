"""Time instance segmentation of a probability map, step by step.

The map is synthetic: 100 nuclei on 512 x 640 pixels, with edges as uncertain as a network's.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import Row, compare
from kaggle_dsb.config import InstanceSettings
from kaggle_dsb.instances.candidates import CandidateTree
from kaggle_dsb.instances.colours import find_colours
from kaggle_dsb.instances.features import describe_image
from kaggle_dsb.instances.finder import NucleusFinder
from kaggle_dsb.instances.outline_rule import OutlineRule
from kaggle_dsb.instances.patches import cut_patches
from kaggle_dsb.instances.scorer import load_scorer, predict_quality
from kaggle_dsb.instances.watershed import WatershedParameters, watershed_nuclei
from kaggle_dsb.workspace.run import BUNDLED

SHAPE, N_NUCLEI = (512, 640), 100


def draw() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw an image and its probability map."""
    rng = np.random.default_rng(0)
    body, depth = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    for row, column in rng.integers(20, np.array(SHAPE) - 20, (N_NUCLEI, 2)).tolist():
        cv2.circle(body, (column, row), 14, 1, -1)
        cv2.circle(depth, (column, row), 8, 1, -1)
    body, depth = (cv2.GaussianBlur(plane, (0, 0), 2).astype(np.float32) for plane in (body, depth))
    noisy = np.clip(200 * body + rng.normal(20, 6, SHAPE), 0, 255).astype(np.uint8)
    return np.repeat(noisy[..., None], 3, 2), np.stack([body, 0 * body, depth])


def time_steps(data: Path | None = None, work: Path | None = None) -> Iterator[Row]:
    """Yield rows on the segmentation of a probability map, against its single steps."""
    image, probability = draw()
    colours = find_colours(image)
    settings = InstanceSettings()
    parameters = WatershedParameters(**settings.watershed())
    outline = OutlineRule(settings.outline_threshold, settings.glow_threshold)
    scorer = load_scorer(BUNDLED / "scorer0.safetensors")
    nuclei = watershed_nuclei(probability, parameters)

    def describe() -> tuple[CandidateTree, NDArray[np.float32]]:
        return describe_image(probability, colours, nuclei, outline_threshold=0.3)

    tree, features = describe()
    everything = np.arange(tree.n_candidates)
    cut = partial(cut_patches, tree, probability, colours, is_glowing=True)
    patches = cut(everything)
    finder = NucleusFinder(parameters, [scorer], outline)
    steps = {
        "the watershed alone": lambda: watershed_nuclei(probability, parameters),
        "candidates and features": describe,
        "patches": lambda: cut(everything),
        "one candidate scorer, patches included": lambda: predict_quality([scorer], features, cut),
        "its forest alone": lambda: scorer.forest.predict(features),
        "its network alone": lambda: scorer.network and scorer.network.predict(patches, features),
    }
    task = f"find nuclei, {len(features)} candidates"
    one_scale = probability[np.newaxis]
    yield from compare(task, lambda: finder.find(one_scale, image), steps, rounds=7).rows()
