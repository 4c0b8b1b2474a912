"""Time scoring, run lengths and loading against alternatives."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import peers
from benchmarks.examples import Labels, draw_discs, load_labels, predict
from benchmarks.timing import Comparison, Job, Row, compare
from kaggle_dsb.competition.label_files import write_labels
from kaggle_dsb.competition.labels import number_pixels
from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.competition.rle import decode_labels, encode_labels, parse_runs
from kaggle_dsb.dataset.samples import load_samples
from kaggle_dsb.workspace.source import open_source, require_train_set

N_SCORED = 65
N_LOADED = 100
ROUNDS = 7


def time_scores(data: Path | None, work: Path) -> Iterator[Row]:
    """Yield rows on scoring a small image, a large one, and many."""
    labels = load_labels(data, work)
    for comparison in compare_scores(labels[:: max(1, len(labels) // N_SCORED)][:N_SCORED]):
        yield from comparison.rows()


def time_run_lengths(data: Path | None, work: Path) -> Iterator[Row]:
    """Yield rows on encoding all labels as run lengths and decoding them."""
    for comparison in compare_run_lengths(load_labels(data, work)):
        yield from comparison.rows()


def time_loading(data: Path | None, work: Path) -> Iterator[Row]:
    """Yield rows on loading a data set."""
    yield from compare_loading(data, work).rows()


def compare_scores(labels: list[Labels]) -> Iterator[Comparison]:
    """Time scoring a small image, a large one, and many."""
    small, large = draw_discs((256, 256), 30), draw_discs((1040, 1388), 375)
    tasks = {
        "score 256 x 256, 30 nuclei": [(small, predict(small))],
        "score 1040 x 1388, 375 nuclei": [(large, predict(large))],
        f"score {len(labels)} images": [(truth, predict(truth)) for truth in labels],
    }
    scorers: Mapping[str, peers.Scorer | None] = {
        "bincount of label pairs": peers.score_with_bincount,
        "histogram2d of public kernels": peers.score_with_histogram2d,
        "cellpose average_precision": peers.cellpose_scorer(),
        "stardist matching": peers.stardist_scorer(),
    }
    for task, pairs in tasks.items():
        jobs = {name: scorer and _score_all(scorer, pairs) for name, scorer in scorers.items()}
        yield compare(task, _score_all(_score, pairs), jobs, rounds=ROUNDS)


def _score(truth: Labels, predicted: Labels) -> float:
    return score_image(truth, predicted).score


def _score_all(scorer: peers.Scorer, pairs: list[tuple[Labels, Labels]]) -> Job:
    return lambda: [scorer(truth, predicted) for truth, predicted in pairs]


def compare_run_lengths(labels: list[Labels]) -> Iterator[Comparison]:
    """Time encoding labels as run lengths and decoding them."""
    coco = peers.coco_masks()
    encoded: list[list[dict[str, Any]]] = []

    def encode_with_coco() -> None:
        encoded[:] = [peers.encode_with_coco(coco, item) for item in labels]

    texts = [encode_labels(item) for item in labels]
    n_nuclei = sum(map(len, texts))
    yield compare(
        f"encode {n_nuclei} nuclei",
        lambda: [encode_labels(item) for item in labels],
        {
            "loop of public kernels": lambda: [peers.encode_with_loop(item) for item in labels],
            "pycocotools": encode_with_coco if coco else None,
        },
        rounds=2,
    )
    shapes = [(item.shape[0], item.shape[1]) for item in labels]
    yield compare(
        f"decode {n_nuclei} nuclei",
        lambda: [
            decode_labels([parse_runs(text) for text in of_image], shape)
            for of_image, shape in zip(texts, shapes, strict=True)
        ],
        {
            "loop of public kernels": lambda: [
                peers.decode_with_loop(of_image, shape)
                for of_image, shape in zip(texts, shapes, strict=True)
            ],
            "pycocotools": coco
            and (lambda: [peers.decode_with_coco(coco, item) for item in encoded if item]),
        },
        rounds=2,
    )


def compare_loading(data: Path | None, work: Path) -> Comparison:
    """Time loading from the cache against reading masks one by one."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = open_source(data, work=work, limit=N_LOADED, demo=data is None)
        name = require_train_set(source)
        samples = load_samples(source.cache, name)
        for sample in samples:
            if sample.labels is None:
                continue
            cv2.imwrite(str(folder / f"{sample.id}.png"), sample.image)
            for number in range(1, int(sample.labels.max()) + 1):
                write_labels(
                    folder / sample.id / f"{number}.png", (sample.labels == number).astype(np.uint8)
                )
        return compare(
            f"load {len(samples)} images",
            lambda: load_samples(source.cache, name),
            {"masks one by one": lambda: [_read_masks(folder, sample.id) for sample in samples]},
            rounds=3,
        )


def _read_masks(folder: Path, image_id: str) -> object:
    cv2.imread(str(folder / f"{image_id}.png"))
    paths = sorted((folder / image_id).glob("*.png"))
    masks = [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) for path in paths]
    return number_pixels(map(np.flatnonzero, masks), masks[0].shape[:2])
