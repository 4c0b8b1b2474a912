"""Score a run on held-out images disturbed as by other microscopes."""

from collections.abc import Iterator, Sequence
from itertools import compress

import numpy as np
import pandas as pd

from kaggle_dsb.aliases import Progress
from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.disturb import DISTURBANCES
from kaggle_dsb.dataset.samples import require_labels
from kaggle_dsb.instances.tiled import find_nuclei
from kaggle_dsb.network.hardware import prepare_hardware
from kaggle_dsb.network.load import load_finder, load_predictor
from kaggle_dsb.network.out_of_fold import (
    HeldOut,
    held_out_samples,
    network_folds,
    unseen_samples,
)
from kaggle_dsb.progress import show_progress
from kaggle_dsb.workspace.run import Run
from kaggle_dsb.workspace.source import Source, require_distinct_names


def score_disturbed(
    source: Source,
    run: Run,
    settings: Settings,
    *,
    every: int = 1,
    foreign: Sequence[Source] = (),
) -> pd.DataFrame:
    """Score each image under each disturbance, by the networks that were not trained on it.

    Parameters
    ----------
    source, run, settings
        As `kaggle_dsb.commands.validate.validate_run` takes them.
    every : int
        Use every Nth image of each type and fold.
    foreign : sequence of Source
        Further labelled images.

    Returns
    -------
    DataFrame
        One row per disturbance: the mean score by image type of the main source, by foreign source,
        and over ``all`` images.

    Notes
    -----
    The truth of a rescaled image is rescaled by nearest-neighbour interpolation, which moves
    outlines by half a pixel: at half the size no prediction can reach the score of the full size.
    """
    require_distinct_names([source, *foreign])
    prepare_hardware(settings)
    rows: list[tuple[str, str, float]] = []
    for number, each in enumerate((source, *foreign)):
        held_out = (unseen_samples if number else held_out_samples)(each, run)
        with show_progress(f"disturbing {each.dataset_name}") as progress:
            for name, type_, score in _score(each, held_out, run, settings, every, progress):
                rows.append((name, each.shown_name if number else type_, score))
    scores = pd.DataFrame(rows, columns=["disturbance", "type", "score"])
    table = scores.pivot_table("score", "disturbance", "type", margins=True, margins_name="all")
    return table.reindex(list(DISTURBANCES)).astype(np.float64)


def _score(
    source: Source,
    held_out: HeldOut,
    run: Run,
    settings: Settings,
    every: int,
    progress: Progress,
) -> Iterator[tuple[str, str, float]]:
    """Yield a disturbance, an image type and a score for each chosen image, fold by fold."""
    cells = pd.DataFrame(
        [(held_out.type_of[sample.id], held_out.fold_of[sample.id]) for sample in held_out.samples],
        columns=["type", "fold"],
    )
    is_chosen = cells.groupby(["type", "fold"], dropna=False).cumcount() % every == 0
    chosen = list(compress(held_out.samples, is_chosen))
    done = 0
    for fold in {held_out.fold_of[sample.id]: None for sample in chosen}:
        predictor = load_predictor(run, settings, folds=network_folds(run, fold))
        scorer_folds = run.scorer_folds(fold, source.dataset_name)
        finder = load_finder(run, settings, folds=scorer_folds)
        for sample in (each for each in chosen if held_out.fold_of[each.id] == fold):
            for name, disturb in DISTURBANCES.items():
                image, truth = disturb(sample.image, require_labels(sample))
                (probability,) = predictor.predict([image])
                score = score_image(truth, find_nuclei(finder, probability, image)).score
                yield name, held_out.type_of[sample.id], score
            done += 1
            progress(done, len(chosen))
