"""Score a run on held-out images that were changed as other microscopes would change them."""

import numpy as np
import pandas as pd

from kaggle_dsb.competition.metric import score_image
from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.disturb import DISTURBANCES
from kaggle_dsb.dataset.samples import require_labels
from kaggle_dsb.network.hardware import prepare_hardware
from kaggle_dsb.network.load import load_finder, load_predictor
from kaggle_dsb.network.out_of_fold import held_out_samples
from kaggle_dsb.progress import show_progress
from kaggle_dsb.workspace.run import Run
from kaggle_dsb.workspace.source import Source


def score_disturbed(
    source: Source, run: Run, settings: Settings, *, every: int = 1
) -> pd.DataFrame:
    """Score each image under each disturbance, by the networks that have not seen it.

    Parameters
    ----------
    source, run, settings
        As `kaggle_dsb.commands.validate.validate_run` takes them.
    every : int
        Take only every so many-th image of each type and fold.

    Returns
    -------
    DataFrame
        A row a disturbance: the mean score by image type and over ``all``.

    Notes
    -----
    The truth of a rescaled image is rescaled by nearest neighbour, which itself moves outlines by
    half a pixel: at half the size no prediction can reach the score of the full size.
    """
    prepare_hardware(settings)
    held_out = held_out_samples(source, run)
    cells = pd.DataFrame(
        [(s.id, held_out.type_of[s.id], held_out.fold_of[s.id]) for s in held_out.samples],
        columns=["ImageId", "type", "fold"],
    )
    chosen = set(cells[cells.groupby(["type", "fold"]).cumcount() % every == 0]["ImageId"])
    samples = [sample for sample in held_out.samples if sample.id in chosen]
    rows = []
    with show_progress("scoring disturbed images") as progress:
        for fold in run.networks:
            predictor = load_predictor(run, settings, folds=[fold])
            finder = load_finder(run, settings, folds=[fold])
            for sample in (s for s in samples if held_out.fold_of[s.id] == fold):
                for name, disturb in DISTURBANCES.items():
                    image, truth = disturb(sample.image, require_labels(sample))
                    (probability,) = predictor.predict([image])
                    score = score_image(truth, finder.find(probability, image)).score
                    rows.append((name, held_out.type_of[sample.id], score))
                progress(len(rows) // len(DISTURBANCES), len(samples))
    scores = pd.DataFrame(rows, columns=["disturbance", "type", "score"])
    table = scores.pivot_table("score", "disturbance", "type", margins=True, margins_name="all")
    return table.reindex(list(DISTURBANCES)).astype(np.float64)
